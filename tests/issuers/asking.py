"""What an issuer is asked in these tests: a request as handclasp would make it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.ca.profile import Use
from handclasp.issuers.protocol import Wanted
from tests import pki

if TYPE_CHECKING:
    from datetime import timedelta


def wanted(
    *names: str,
    use: Use = Use.CLIENT,
    lifetime: timedelta | None = None,
    key_label: str = "asked",
    current: x509.Certificate | None = None,
) -> Wanted:
    """`names` as in pki.general_name; the request has them as SANs, and no subject."""
    general = tuple(pki.general_name(name) for name in names)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName(general), critical=True)
        .sign(pki.key(key_label), hashes.SHA256())
    )
    return Wanted(
        identity="svc-b",
        name=names[0],
        names=general,
        use=use,
        lifetime=lifetime,
        request=request,
        current=current,
    )


def sans(certificate: x509.Certificate) -> list[str]:
    """Its subject alternative names, as values."""
    value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(str(name.value) for name in value)
