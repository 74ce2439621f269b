"""The values a link is made of: listen addresses, URLs and allow rules.

Each has one `parse` that raises ValueError with a sentence for people; pydantic turns it into an
error with the path into the document, and `load` adds file, line and column.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

from handclasp.spec.names import check_host_name, check_path, is_ip, shown, split_host_port

__all__ = ["AllowKind", "AllowRule", "ListenAddress", "Url", "is_ip"]

_DEFAULT_PORT = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a listener waits: an IP address and port, or a unix socket."""

    host: str | None = None
    port: int | None = None
    path: str | None = None

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """`127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `*:443` or `unix:/run/x/app.sock`."""
        if text.startswith("unix:"):
            return cls(path=check_path(text.removeprefix("unix:")))
        host, port = split_host_port(text, what="host:port or unix:/path")
        if host == "localhost":
            host = "127.0.0.1"
        elif host in ("*", ""):
            host = "0.0.0.0"  # noqa: S104  the spec says so; egress needs `expose` for it
        if not is_ip(host):
            raise ValueError(f"{shown(text)}: listen on an IP address, localhost, * or unix:/path")
        return cls(host=str(ipaddress.ip_address(host)), port=port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it (a unix socket counts)."""
        return self.host is None or ipaddress.ip_address(self.host).is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Whether it binds every address of the machine."""
        return self.host is not None and ipaddress.ip_address(self.host).is_unspecified

    @property
    def is_ipv6(self) -> bool:
        """Whether the address is an IPv6 literal."""
        return self.host is not None and ":" in self.host

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Url:
    """Where requests go: scheme and a host with port, or a unix socket. Never a path or query."""

    scheme: str
    host: str | None = None
    port: int | None = None
    path: str | None = None

    @classmethod
    def parse(cls, text: str, *, schemes: tuple[str, ...]) -> Url:
        """`https://name[:port]`, `https://unix:/path`; `schemes` are those allowed here."""
        scheme, separator, rest = text.partition("://")
        wanted = " or ".join(f"{name}://" for name in schemes)
        if not separator:
            raise ValueError(f"{shown(text)} is not a URL; it must begin with {wanted}")
        if scheme not in schemes:
            # The rest is not repeated: it may hold a password.
            raise ValueError(f"the URL must begin with {wanted}, not {shown(scheme + '://')}")
        if rest.startswith("unix:"):
            return cls(scheme=scheme, path=check_path(rest.removeprefix("unix:").removesuffix(":")))
        if "@" in rest:
            raise ValueError("the URL holds a user name or password; leave it out")
        if bad := re.search(r"[\x00-\x20\x7f]", text):
            raise ValueError(f"{shown(text)} holds the character {bad.group()!r}; leave it out")
        rest = rest.removesuffix("/")
        if re.search(r"[/?#]", rest):
            raise ValueError(
                f"{shown(text)}: only scheme, host and port belong here;"
                " requests keep their own path"
            )
        host, port = split_host_port(rest, what="host:port", default=_DEFAULT_PORT[scheme])
        if not host:
            raise ValueError(f"{shown(text)} has no host")
        host = str(ipaddress.ip_address(host)) if is_ip(host) else check_host_name(host)
        return cls(scheme=scheme, host=host, port=port)

    @property
    def is_tls(self) -> bool:
        """Whether the connection is TLS."""
        return self.scheme in ("https", "grpcs")

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine itself, by loopback address or as localhost."""
        if self.host is None:
            return False
        return self.host == "localhost" or (
            is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback
        )

    @property
    def is_named(self) -> bool:
        """Whether the host is a DNS name (not an IP address, not a unix socket)."""
        return self.host is not None and not is_ip(self.host)

    @property
    def authority(self) -> str:
        """host[:port] with the scheme's own port left out."""
        if self.host is None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return (
            f"{self.scheme}://unix:{self.path}"
            if self.path
            else f"{self.scheme}://{self.authority}"
        )


class AllowKind(StrEnum):
    """What an allow rule looks at in the client's certificate."""

    ANY = "any"
    CN = "cn"
    DN = "dn"
    DNS = "dns"
    SPIFFE = "spiffe"
    URI = "uri"
    EMAIL = "email"
    IP = "ip"
    OU = "ou"
    ISSUER = "issuer"
    SHA256 = "sha256"
    SPKI = "spki"


@dataclass(frozen=True, slots=True)
class AllowRule:
    """One allow rule, as written; `value` is without the prefix (the whole URI for spiffe)."""

    kind: AllowKind
    value: str

    @classmethod
    def parse(cls, text: str) -> AllowRule:
        """`cn:svc-b`, `dn:CN=svc-b,O=Example`, `spiffe://…`, `dns:…`, `sha256:…` and so on."""
        if text.startswith("spiffe://"):
            return cls(AllowKind.SPIFFE, text)
        prefix, colon, value = text.partition(":")
        kinds = ", ".join(
            f"{kind}:" for kind in AllowKind if kind not in (AllowKind.ANY, AllowKind.SPIFFE)
        )
        if text == AllowKind.ANY:
            raise ValueError("`any` stands alone, not in a list: `allow: any`")
        if not colon or prefix not in set(AllowKind) or prefix in (AllowKind.ANY, AllowKind.SPIFFE):
            if prefix.lower() in set(AllowKind) and prefix != prefix.lower():
                raise ValueError(f"{shown(text)} is not an allow rule; write {prefix.lower()}:")
            raise ValueError(
                f"{shown(text)} is not an allow rule; rules begin with {kinds} or spiffe://"
            )
        if not value.strip():
            raise ValueError(f"{shown(text)}: nothing follows {prefix}:")
        if value != value.strip() or not value.isprintable():
            raise ValueError(
                f"{shown(text)}: the value begins or ends with a space"
                " or holds an unprintable character"
            )
        return cls(AllowKind(prefix), value)

    def __str__(self) -> str:
        return self.value if self.kind is AllowKind.SPIFFE else f"{self.kind}:{self.value}"
