"""What a DER certificate says about its owner. `cryptography` is loaded with the first one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.backend.distinguished import name_of, name_text
from handclasp.backend.identity import IdentityError, Reason, SubjectAltNames

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from handclasp.backend.distinguished import Name


@dataclass(frozen=True, slots=True)
class Leaf:
    """The leaf as values; both names also as structures, to compare told ones with."""

    der: bytes
    subject: str
    issuer: str
    subject_name: Name
    issuer_name: Name
    common_names: tuple[str, ...]
    sans: SubjectAltNames
    serial_number: int
    sha256: str
    not_before: datetime
    not_after: datetime
    is_ca: bool

    @property
    def sha1(self) -> str:
        """40 lower-case hex digits: what nginx and HAProxy call the fingerprint."""
        return hashlib.sha1(self.der, usedforsecurity=False).hexdigest()


def read_leaf(der: bytes) -> Leaf:
    """Raises IdentityError (not-a-certificate) for anything but one whole X.509 certificate."""
    from cryptography.x509.oid import NameOID

    certificate = _load(der)
    try:
        subject, issuer = certificate.subject, certificate.issuer
        return Leaf(
            der=der,
            subject=name_text(subject),
            issuer=name_text(issuer),
            subject_name=name_of(subject),
            issuer_name=name_of(issuer),
            common_names=tuple(
                str(one.value) for one in subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            ),
            sans=_alternative_names(certificate),
            serial_number=certificate.serial_number,
            sha256=hashlib.sha256(der).hexdigest(),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            is_ca=_is_ca(certificate),
        )
    except IdentityError:
        raise
    except (ValueError, TypeError, OverflowError, Warning) as error:
        raise _unreadable(error) from None


def check_certificate(der: bytes) -> bytes:
    """The same bytes. Raises IdentityError (not-a-certificate)."""
    _load(der)
    return der


def is_issued_by(der: bytes, issuer: bytes) -> bool:
    """Whether the second certificate's name and key issued the first; dates and usages do not count.

    Raises IdentityError (not-a-certificate).
    """
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    child, above = _load(der), _load(issuer)
    try:
        child.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def serial_text(number: int) -> str:
    """Hex as OpenSSL prints it: upper-case, whole bytes, a minus sign before negative ones."""
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + "0" * (len(digits) % 2) + digits


def _load(der: bytes) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    # Warning: of negative serial numbers and the like, where the application makes errors of them.
    except (ValueError, TypeError, x509.InvalidVersion, Warning) as error:
        raise _unreadable(error) from None


def _alternative_names(certificate: x509.Certificate) -> SubjectAltNames:
    from cryptography import x509

    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return SubjectAltNames()
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError) as error:
        raise _unreadable(error) from None
    names = extension.value
    found = SubjectAltNames(
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        ip=tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        uri=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        email=tuple(names.get_values_for_type(x509.RFC822Name)),
    )
    # A line break in a name is an attempt on whoever logs it.
    if not all(name.isprintable() for name in found.typed):
        raise IdentityError(
            Reason.NOT_A_CERTIFICATE, "an alternative name of the certificate is not printable"
        )
    return found


def _is_ca(certificate: x509.Certificate) -> bool:
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _unreadable(error: Exception) -> IdentityError:
    return IdentityError(
        Reason.NOT_A_CERTIFICATE, f"the certificate cannot be read ({type(error).__name__})"
    )
