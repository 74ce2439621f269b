"""Names and paths a spec may hold: what nginx, DNS and file systems take, told in sentences."""

from __future__ import annotations

import ipaddress
import re
import unicodedata

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_SERVER_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\Z")
# Characters that would end or change a token in an nginx configuration, or that nginx or an
# operating system treats specially in a path. Everything else is quoted by the renderer.
_PATH_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\"\\$;{}']")


def is_ip(host: str) -> bool:
    """Whether this is an IPv4 or IPv6 literal (no brackets, no zone)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # nginx takes no zone as in fe80::1%eth0


def shown(text: str) -> str:
    """The text in quotes for a sentence, cut when long."""
    return repr(text if len(text) <= 80 else text[:77] + "…")


def fit_name(text: str) -> str:
    """The nearest name of links, identities and trusts (`links.Name`); empty if nothing is left."""
    bare = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(character for character in bare if not unicodedata.combining(character))
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:63].rstrip("-")


def check_path(text: str) -> str:
    """A path that can stand in a spec, or ValueError naming the character that cannot."""
    if not text:
        raise ValueError("the path is empty")
    if bad := _PATH_FORBIDDEN.search(text):
        # The path is not repeated: where a path to a secret is expected it may be the secret.
        raise ValueError(
            f"the path holds the character {bad.group()!r}, which nginx cannot take in a file name;"
            " use a path without quotes, backslashes, dollar signs, semicolons and braces"
        )
    return text


def check_host_name(text: str) -> str:
    """A DNS name without trailing dot, in lower case, or ValueError."""
    name = text.removesuffix(".").lower()
    if is_ip(name.strip("[]")):
        raise ValueError(f"{shown(text)} is an IP address where a DNS name is needed")
    if not _HOST_NAME.match(name) or name.rpartition(".")[2].isdecimal():
        raise ValueError(f"{shown(text)} is not a host name{_hint(text)}")
    return name


def _hint(text: str) -> str:
    """What most likely makes a text no DNS name."""
    if "://" in text:
        return "; leave out the scheme"
    if " " in text:
        return "; it holds a space"
    if ":" in text:
        return "; leave out the port"
    return "" if text.isascii() else "; write an international name in its xn-- form (IDNA)"


def check_server_name(text: str) -> str:
    """A name a server answers to: a DNS name, or `*.` and one."""
    name = text.removesuffix(".").lower()
    if is_ip(name.strip("[]")):
        raise ValueError(
            f"{shown(text)} is an IP address; clients that connect by IP send no SNI and cannot be"
            " told apart by name: use a DNS name"
        )
    if not _SERVER_NAME.match(name) or len(name) > 253 or name.rpartition(".")[2].isdecimal():
        raise ValueError(
            f"{shown(text)} is not a server name (a DNS name, or `*.` and a DNS name){_hint(text)}"
        )
    return name


def check_accepted_host(text: str) -> str:
    """A Host without port: a server name, or an IP address (IPv6 in brackets, as in the header)."""
    bare = text.removeprefix("[").removesuffix("]")
    if is_ip(bare):
        address = ipaddress.ip_address(bare)
        return f"[{address}]" if address.version == 6 else str(address)
    return check_server_name(text)


def split_host_port(text: str, *, what: str, default: int | None = None) -> tuple[str, int]:
    """`name:80`, `192.0.2.1:80`, `[2001:db8::1]:80`; ValueError names `what` is wanted."""
    if text.startswith("["):
        match = re.fullmatch(r"\[([^\[\]]*)\](?::(.*))?", text)
        if match is None or ":" not in match[1] or not is_ip(match[1]):
            raise ValueError(f"{shown(text)} is not [IPv6]:port")
        host, port_text = match[1], match[2]
    else:
        host, colon, port_text = text.rpartition(":")
        if ":" in host:
            raise ValueError(f"{shown(text)}: write an IPv6 address in brackets, as in [::1]:8080")
        if not colon:
            host, port_text = text, None
    if port_text is None:
        if default is None:
            raise ValueError(f"{shown(text)} has no port; write {what}")
        return host, default
    if not re.fullmatch(r"[0-9]{1,5}", port_text) or not 0 < int(port_text) < 65536:
        raise ValueError(f"{shown(text)}: the port must be a number from 1 to 65535")
    return host, int(port_text)
