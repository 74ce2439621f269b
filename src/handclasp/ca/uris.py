"""URIs that every verifier can parse, and SPIFFE IDs. Pure."""

from __future__ import annotations

import ipaddress
import re

from handclasp.spec.names import shown

SPIFFE = "spiffe://"
_SPIFFE_LENGTH = 2048
_TRUST_DOMAIN = re.compile(r"(?=.{1,255}\Z)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+\Z")
_PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
# RFC 3986 section 3, without userinfo: no verifier agrees with another about what it means.
_URI = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>\[[^\]]*\]|[^/?#:\[\]@]*)(?::(?P<port>[0-9]{1,5}))?"
    rf"(?:/(?:{_PCHAR}|/)*)?(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?\Z"
)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\Z")


def check_uri(text: str) -> None:
    """Raises ValueError for what is no absolute URI with a host (RFC 3986), or no SPIFFE ID."""
    if text.lower().startswith(SPIFFE):
        _check_spiffe(text)
        return
    parts = _URI.match(text)
    if parts is None:
        raise ValueError(f"{shown(text)} is not a URI with a scheme and a host (RFC 3986)")
    if not _is_host(parts["host"]):
        raise ValueError(
            f"{shown(text)}: {shown(parts['host'])} is neither a host name nor an address"
        )
    if parts["port"] is not None and int(parts["port"]) > 65535:
        raise ValueError(f"{shown(text)}: there is no port {parts['port']}")


def check_list_url(text: str) -> None:
    """Raises ValueError unless revocation lists can be fetched from below this URL."""
    check_uri(text)
    if not text.lower().startswith(("http://", "https://")):
        raise ValueError(f"{shown(text)}: revocation lists are fetched by http or https")
    if "?" in text or "#" in text:
        raise ValueError(
            f"{shown(text)}: the lists' names are put behind it, so it ends before a ? or #"
        )


def _is_host(text: str) -> bool:
    address = text[1:-1] if text.startswith("[") else text
    kind = ipaddress.IPv6Address if text.startswith("[") else ipaddress.IPv4Address
    try:
        kind(address)
    except ValueError:
        last = text.rpartition(".")[2]
        return bool(_HOST.match(text)) and not last.isdecimal()
    return "%" not in address


def _check_spiffe(text: str) -> None:
    if not text.startswith(SPIFFE) or len(text) > _SPIFFE_LENGTH:
        raise ValueError(
            f"{shown(text)}: a SPIFFE ID starts with {SPIFFE} and has at most 2048 bytes"
        )
    domain, slash, path = text.removeprefix(SPIFFE).partition("/")
    if not _TRUST_DOMAIN.match(domain):
        raise ValueError(
            f"{shown(text)}: a trust domain has lower-case letters, digits, hyphens and underscores,"
            " and single dots between them"
        )
    segments = path.split("/") if slash else []
    if any(not _SEGMENT.match(segment) or segment in (".", "..") for segment in segments):
        raise ValueError(
            f"{shown(text)}: the path of a SPIFFE ID has segments of letters, digits, dots, hyphens and"
            " underscores, and no slash at its end"
        )
