"""A client certificate as the facts that rules and encoders ask for, read once."""

from __future__ import annotations

import hashlib
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.backend.identity import spiffe_id
from handclasp.certs import facts
from handclasp.certs.dn import DistinguishedNameError, issuer_text, subject_text
from handclasp.certs.names import subject_alt_names
from handclasp.certs.private_keys import UNREADABLE, spki
from handclasp.identity.names import Name, read_name

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.identity.chain import Chain

_ESCAPED = re.compile(r"[A-Za-z0-9%._~-]+")
_ONE_PEM = re.compile(
    rb"-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n?"
)


class UnreadableCertificateError(ValueError):
    """What was handed over as a certificate cannot be read whole; nobody is let in on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified client certificate.

    `subject` and `issuer` are text as `$ssl_client_s_dn` shows it; `name` is the subject by structure,
    None when it holds bytes that are no text. `sans` are typed (`dns:…`, `ip:…`, `uri:…`, `email:…`),
    in certificate order. Digests are lower-case hex. `chain` is None when no path could be built.
    """

    certificate: x509.Certificate = field(repr=False)
    der: bytes = field(repr=False)
    sha256: str
    spki_sha256: str
    subject: str
    issuer: str
    name: Name | None
    serial: int
    sans: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    is_ca: bool
    chain: Chain | None = None

    def alternative_names(self, kind: str) -> tuple[str, ...]:
        """The values of one type of SAN: `dns`, `ip`, `uri` or `email`."""
        prefix = f"{kind}:"
        return tuple(san.removeprefix(prefix) for san in self.sans if san.startswith(prefix))

    @property
    def spiffe_id(self) -> str | None:
        """The SPIFFE ID, trust domain in lower case; None unless the certificate is an X.509-SVID.

        That takes exactly one URI and a leaf that is no CA (X509-SVID sections 2 and 5.2).
        """
        return None if self.is_ca else spiffe_id(self.alternative_names("uri"))


def read_caller(certificate: x509.Certificate, *, chain: Chain | None = None) -> Caller:
    """The facts of a certificate. Raises UnreadableCertificateError."""
    try:
        der = certificate.public_bytes(Encoding.DER)
        subject = subject_text(certificate)
        return Caller(
            certificate=certificate,
            der=der,
            sha256=hashlib.sha256(der).hexdigest(),
            spki_sha256=hashlib.sha256(spki(certificate.public_key())).hexdigest(),
            subject=subject,
            issuer=issuer_text(certificate),
            name=_structure(subject),
            serial=facts.serial_number(certificate),
            sans=subject_alt_names(certificate),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            # Raises for extensions that cannot be read; above, SANs among them would pass for absent.
            is_ca=facts.is_ca(certificate),
            chain=chain,
        )
    except UNREADABLE as error:
        raise UnreadableCertificateError(f"the certificate cannot be read: {error}") from error


def certificate_from_escaped(text: str) -> x509.Certificate:
    """The certificate of `$ssl_client_escaped_cert`: exactly one URL-encoded PEM block.

    Raises UnreadableCertificateError for anything else, two certificates included.
    """
    if not _ESCAPED.fullmatch(text):
        raise UnreadableCertificateError("the certificate is not URL-encoded text")
    pem = unquote_to_bytes(text)
    if not _ONE_PEM.fullmatch(pem):
        raise UnreadableCertificateError("not one PEM certificate and nothing else")
    try:
        with warnings.catch_warnings():
            # The library warns of serials that RFC 5280 forbids; nginx lets them in all the same.
            warnings.simplefilter("ignore")
            return x509.load_pem_x509_certificate(pem)
    except UNREADABLE as error:
        raise UnreadableCertificateError(f"the certificate cannot be read: {error}") from error


def _structure(subject: str) -> Name | None:
    try:
        return read_name(subject)
    except DistinguishedNameError:
        return None
