"""How the catalogue writes its references: one function per kind of source, title and address."""

from __future__ import annotations

_NGINX = "https://nginx.org/en"


def link(title: str, url: str) -> str:
    """A reference as people read it and pages link it: ``title: url``."""
    return f"{title}: {url}"


def rfc(number: int, section: str | None = None) -> str:
    """An RFC, or the section of it that says so."""
    page = f"https://www.rfc-editor.org/rfc/rfc{number}"
    if section is None:
        return link(f"RFC {number}", page)
    return link(f"RFC {number}, section {section}", f"{page}#section-{section}")


def nginx(module: str, name: str) -> str:
    """A directive or variable of an nginx module: ``nginx("http_ssl", "ssl_verify_client")``.

    Variables have anchors of the form ``var_NAME``; the title then shows ``$NAME``.
    """
    folder = "" if module == "core" else f"{module.partition('_')[0]}/"
    title = f"${name.removeprefix('var_')}" if name.startswith("var_") else name
    return link(f"nginx, {title}", f"{_NGINX}/docs/{folder}ngx_{module}_module.html#{name}")


def nginx_page(path: str, title: str) -> str:
    """A page of nginx's documentation, below docs/."""
    return link(f"nginx, {title}", f"{_NGINX}/docs/{path}")


def nginx_advisory(identifier: str | None = None) -> str:
    """nginx's list of vulnerabilities, and the one in it that is meant."""
    title = "nginx, security advisories"
    if identifier is not None:
        title += f", {identifier}"
    return link(title, f"{_NGINX}/security_advisories.html")


def nginx_source(path: str) -> str:
    """A file of nginx's source, for behaviour that its documentation leaves out."""
    return link(f"nginx source, {path}", f"https://github.com/nginx/nginx/blob/master/{path}")


def openssl(page: str) -> str:
    """A manual page of OpenSSL 3.0: ``openssl("man1/openssl-pkcs12")``."""
    section, name = page.split("/")
    return link(
        f"OpenSSL, {name}({section.removeprefix('man')})",
        f"https://docs.openssl.org/3.0/{page}/",
    )
