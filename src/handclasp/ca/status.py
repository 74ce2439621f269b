"""What became of a certificate that was issued. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from handclasp.ca.ledger import ISSUING
from handclasp.certs.private_keys import spki

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography import x509

    from handclasp.ca.ledger import Ledger, Record

_SERIAL = re.compile(r"(?:0x)?([0-9A-Fa-f]{1,40})\Z")


class Standing(StrEnum):
    """What a certificate is good for at a moment."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    ISSUER_REVOKED = "issuer revoked"


def standing(record: Record, now: datetime, *, issuer_revoked: bool = False) -> Standing:
    """Revoked is told before expired: it says more. `issuer_revoked`: the issuing CA is, so a leaf that
    is otherwise valid is refused with it."""
    if record.revoked_at is not None:
        return Standing.REVOKED
    expired = now > record.certificate.not_valid_after_utc
    if expired:
        return Standing.EXPIRED
    return Standing.ISSUER_REVOKED if issuer_revoked and is_leaf(record) else Standing.VALID


def serial_of(text: str) -> int | None:
    """A serial in hexadecimal, colons and 0x allowed; None when it is something else."""
    match = _SERIAL.match(text.replace(":", ""))
    return int(match[1], 16) if match else None


def candidates(ledger: Ledger, text: str) -> Sequence[Record]:
    """The certificate with that serial, else the leaves of that name that are not revoked; where all
    are, the newest of them."""
    serial = serial_of(text)
    found = ledger.by_serial(serial) if serial is not None else None
    if found is not None:
        return [found]
    named = ledger.by_name(text)
    return [one for one in named if one.revoked_at is None] or named[-1:]


def issued_leaves(ledger: Ledger, certificates: Iterable[x509.Certificate]) -> list[Record]:
    """Those among `certificates` that are leaves of this CA, each once."""
    records = {}
    for certificate in certificates:
        record = ledger.by_serial(certificate.serial_number)
        if record is not None and record.certificate == certificate and is_leaf(record):
            records[record.serial] = record
    return [*records.values()]


def same_key(ledger: Ledger, record: Record, now: datetime) -> list[Record]:
    """The other certificates of the key that are still valid: a stolen key serves them all."""
    key = spki(record.certificate.public_key())
    return [
        one
        for one in ledger.records()
        if one.serial != record.serial
        and standing(one, now) is Standing.VALID
        and spki(one.certificate.public_key()) == key
    ]


def is_leaf(record: Record) -> bool:
    """Not one of the CAs themselves."""
    return record.authority == ISSUING
