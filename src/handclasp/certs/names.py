"""Names in certificates: SANs as typed text, and whether a certificate covers a name or address.

The rules are RFC 9525 (formerly 6125) as OpenSSL's X509_check_host applies them, with two
differences on the strict side: a wildcard counts only as the whole left-most label (OpenSSL alone
also takes `f*.example.com`; Go, Java and browsers do not), and nothing matches a bare TLD.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from handclasp.certs.dn import name_text

if TYPE_CHECKING:
    from collections.abc import Iterable

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_PORT = re.compile(r"[0-9]*(/|$)(?!/)")


class Coverage(StrEnum):
    """How a certificate relates to a name."""

    SAN = "san"
    COMMON_NAME = "common-name"  # nginx and OpenSSL accept it without DNS SANs; others refuse
    IP_AS_DNS = "ip-as-dns"  # the address is there, but as dNSName, which nothing accepts
    NONE = "none"


def subject_alt_names(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> tuple[str, ...]:
    """`dns:…`, `ip:…`, `uri:…`, `email:…`, in certificate order; rarer ones as `dirname:`, `rid:`,
    `other:OID`.
    """
    return tuple(_typed(name) for name in _alternative_names(certificate))


def common_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Every CN of the subject, in certificate order."""
    values = (
        attribute.value
        for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    )
    return tuple(value if isinstance(value, str) else value.decode("latin-1") for value in values)


def as_address(name: str) -> IPAddress | None:
    """An IP address, with or without the brackets of a URL; None for anything else."""
    text = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_uri(name: str) -> bool:
    """`spiffe://example.org/b`, `urn:uuid:…`: a scheme and more (RFC 3986); `host:8443` is none."""
    scheme, colon, rest = name.partition(":")
    return bool(colon and _SCHEME.fullmatch(scheme) and not _PORT.match(rest)) and (
        as_address(name) is None
    )


def coverage(certificate: x509.Certificate, name: str) -> Coverage:
    """How `name`, a DNS name or an IP address, is covered."""
    sans = _alternative_names(certificate)
    dns_names = [san.value for san in sans if isinstance(san, x509.DNSName)]
    address = as_address(name)
    if address is not None:
        if any(isinstance(san, x509.IPAddress) and san.value == address for san in sans):
            return Coverage.SAN
        written = any(as_address(dns_name) == address for dns_name in dns_names)
        return Coverage.IP_AS_DNS if written else Coverage.NONE
    if any(matches(pattern, name) for pattern in dns_names):
        return Coverage.SAN
    if not dns_names and any(matches(pattern, name) for pattern in common_names(certificate)):
        return Coverage.COMMON_NAME
    return Coverage.NONE


def covers(certificate: x509.Certificate, name: str) -> bool:
    """A TLS client that follows the rules of today accepts the certificate for `name`."""
    return coverage(certificate, name) is Coverage.SAN


def matches(pattern: str, name: str) -> bool:
    """A dNSName of a certificate against a name; no case, a trailing dot of `name` ignored.

    A `name` that is itself a wildcard (an nginx server_name) is covered by the same wildcard only.
    """
    wanted, given = name.lower().removesuffix("."), pattern.lower()
    if not wanted or not given:
        return False
    if given == wanted:
        return True
    if not given.startswith("*."):
        return False
    label, dot, parent = wanted.partition(".")
    # At least two labels after the star, as OpenSSL's valid_star asks.
    return bool(label and dot) and label != "*" and "." in parent and parent == given[2:]


def readable(name: x509.GeneralName) -> str:
    """A name in a sentence: hosts, addresses, URIs and mail addresses as they are, others by their kind."""
    kind, _, text = _typed(name).partition(":")
    if isinstance(name, x509.DirectoryName):
        return f"'{name_text(name.value)}'"
    return text if kind in ("dns", "ip", "uri", "email") else f"{kind}:{text}"


def _alternative_names(
    certificate: x509.Certificate | x509.CertificateSigningRequest,
) -> Iterable[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    return tuple(extension.value)


def _typed(name: x509.GeneralName) -> str:
    if isinstance(name, x509.DNSName):
        return f"dns:{name.value}"
    if isinstance(name, x509.IPAddress):
        return f"ip:{name.value}"
    if isinstance(name, x509.UniformResourceIdentifier):
        return f"uri:{name.value}"
    if isinstance(name, x509.RFC822Name):
        return f"email:{name.value}"
    if isinstance(name, x509.DirectoryName):
        return f"dirname:{name.value.rfc4514_string()}"
    if isinstance(name, x509.RegisteredID):
        return f"rid:{name.value.dotted_string}"
    if isinstance(name, x509.OtherName):
        return f"other:{name.type_id.dotted_string}"
    return "other:unknown"
