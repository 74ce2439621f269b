"""Does a certificate carry a name: needed only where the verified name is not the SNI.

Where both are the same OpenSSL checks it itself. These are OpenSSL's rules (X509_check_host,
X509_check_ip): SANs decide, the CN counts only when there is no DNS SAN, a wildcard is the whole
leftmost label and stands for exactly one (RFC 9525 section 6.3 allows no more).
"""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.x509.oid import NameOID


def certificate_names(der: bytes, name: str) -> bool:
    """True when the certificate is good for `name`, a DNS name or an IP address.

    A certificate that cannot be read is good for nothing.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        sans = _sans(certificate)
    except ValueError:
        return False
    if is_address(name):
        address = ipaddress.ip_address(name)
        return any(isinstance(san, x509.IPAddress) and san.value == address for san in sans)
    wanted = name.rstrip(".").lower()
    patterns = [san.value for san in sans if isinstance(san, x509.DNSName)]
    return any(_matches(pattern.lower(), wanted) for pattern in patterns or _cn(certificate))


def is_address(name: str) -> bool:
    """An IPv4 or IPv6 address, which OpenSSL matches against IP SANs and never sends as SNI."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _sans(certificate: x509.Certificate) -> list[x509.GeneralName]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value)


def _cn(certificate: x509.Certificate) -> list[str]:
    attributes = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return [value.value for value in attributes if isinstance(value.value, str)]


def _matches(pattern: str, name: str) -> bool:
    if not pattern.startswith("*."):
        return pattern.rstrip(".") == name
    first, dot, rest = name.partition(".")
    # OpenSSL wants two labels after the star: `*.com` names nobody.
    return bool(first and dot) and "." in rest and pattern[2:] == rest
