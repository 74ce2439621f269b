"""Certificates, requests and revocation lists that parse only in part: which part is broken, and whose
it is. The library parses lazily, so this touches everything the checks read, once and in one place."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from handclasp.certs import der
from handclasp.certs.dn import name_text
from handclasp.certs.private_keys import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.certs.contents import Signed

_NAMES = {
    oid.dotted_string: name.lower().replace("_", " ")
    for name, oid in vars(ExtensionOID).items()
    if isinstance(oid, x509.ObjectIdentifier)
}
_MOST_EXTENSIONS = 64  # more are not tried one by one


def broken_part(value: Signed) -> str | None:
    """What in the object cannot be parsed; None when everything can."""
    try:
        _ = value.extensions, value.signature_algorithm_oid
    except x509.DuplicateExtension as error:
        return f"extension {_called(error.oid.dotted_string)} stands twice in it"
    except UNREADABLE as error:
        return _broken_extension(value, error)
    try:
        if isinstance(value, x509.CertificateRevocationList):
            _ = value.issuer, value.last_update_utc, value.next_update_utc
            return None
        _ = value.subject
        if isinstance(value, x509.Certificate):
            _ = value.issuer, value.not_valid_before_utc, value.not_valid_after_utc
    except UNREADABLE as error:
        return f"a name or a date in it is broken ({error})"
    try:
        value.public_key()
    except UNREADABLE as error:
        return f"its key is damaged or of a kind that is not supported ({error})"
    return None


def readable_part(value: Signed) -> str:
    """What can still be said of it: ` (subject 'CN=a', issuer 'CN=b', until 2027-01-01)` or nothing."""
    told: list[str] = []
    for name in ("subject", "issuer"):
        with contextlib.suppress(*UNREADABLE, AttributeError):
            told.append(f"{name} {name_text(getattr(value, name))!r}")
    with contextlib.suppress(*UNREADABLE, AttributeError):
        told.append(f"until {getattr(value, 'not_valid_after_utc'):%Y-%m-%d}")  # noqa: B009
    return f" ({', '.join(told)})" if told else ""


def _broken_extension(value: Signed, error: Exception) -> str:
    """Each extension in turn is made an unknown one, in a copy that is thrown away: the one without
    which the rest can be parsed is broken."""
    data = value.public_bytes(Encoding.DER)
    for oid, end in _extensions(data):
        # Bit 7 marks where an arc ends, so the last byte may be anything below 128.
        masked = bytearray(data)
        masked[end - 1] = 0x7E if masked[end - 1] == 0x7F else 0x7F
        with contextlib.suppress(*UNREADABLE):
            _ = _loaded(value, bytes(masked)).extensions
            return f"its extension {_called(oid)} is broken ({error})"
    return f"an extension in it is broken ({error})"


def _loaded(like: Signed, data: bytes) -> Signed:
    if isinstance(like, x509.Certificate):
        return x509.load_der_x509_certificate(data)
    if isinstance(like, x509.CertificateSigningRequest):
        return x509.load_der_x509_csr(data)
    return x509.load_der_x509_crl(data)


def _extensions(data: bytes) -> Iterator[tuple[str, int]]:
    """OID and where its bytes end for whatever is built as an Extension is (RFC 5280 section 4.1):
    an OID, perhaps a BOOLEAN, and an OCTET STRING."""
    found = 0
    with contextlib.suppress(der.DerError):
        for element in der.walk(data):
            if element.tag != der.SEQUENCE:
                continue
            parts = der.children(data, element, most=4)
            tags = [part.tag for part in parts]
            if tags in ([der.OID, der.OCTET_STRING], [der.OID, der.BOOLEAN, der.OCTET_STRING]):
                yield der.oid_text(parts[0].content(data)), parts[0].end
                found += 1
                if found == _MOST_EXTENSIONS:
                    return


def _called(oid: str) -> str:
    return f"{oid} ({_NAMES[oid]})" if oid in _NAMES else oid
