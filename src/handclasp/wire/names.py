"""Does a certificate carry a name: needed only where the verified name is not the SNI.

Where both are the same OpenSSL checks it itself. The rules are those of certs.names; a CN without DNS
SANs counts here, because it counts for OpenSSL and so for nginx.
"""

from __future__ import annotations

from cryptography import x509

from handclasp.certs.names import Coverage, as_address, coverage


def certificate_names(der: bytes, name: str) -> bool:
    """True when the certificate is good for `name`, a DNS name or an IP address.

    A certificate that cannot be read is good for nothing.
    """
    try:
        found = coverage(x509.load_der_x509_certificate(der), name)
    except ValueError:
        return False
    return found in {Coverage.SAN, Coverage.COMMON_NAME}


def is_address(name: str) -> bool:
    """An IPv4 or IPv6 address, which OpenSSL matches against IP SANs and never sends as SNI."""
    return as_address(name) is not None
