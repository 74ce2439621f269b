"""Whether what is told beside a certificate is what the certificate says.

A proxy writes all of it from one certificate; a difference means that somebody else wrote a part.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from handclasp.backend.certificate import serial_text
from handclasp.backend.distinguished import parse_name, same_name
from handclasp.backend.identity import ClientIdentity, IdentityError, Reason, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.backend.certificate import Leaf
    from handclasp.backend.identity import Note

_HEX: Final = re.compile(r"-?[0-9A-Fa-f]{1,64}")
_OPENSSL_TIME: Final = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) (?P<day>[ \d]\d) (?P<time>\d\d:\d\d:\d\d) (?P<year>\d{4}) GMT",
    re.ASCII,
)
_MONTHS: Final = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]


def identity_of(
    leaf: Leaf,
    dialect: str,
    *,
    verify: str | None = None,
    chain: tuple[bytes, ...] = (),
    notes: tuple[Note, ...] = (),
) -> ClientIdentity:
    """Everything from the certificate."""
    return ClientIdentity(
        subject=leaf.subject,
        dialect=dialect,
        issuer=leaf.issuer,
        sans=leaf.sans,
        serial=serial_text(leaf.serial_number),
        sha256=leaf.sha256,
        not_before=leaf.not_before,
        not_after=leaf.not_after,
        certificate=leaf.der,
        chain=chain,
        verify=verify,
        is_ca=leaf.is_ca,
        notes=notes,
    )


def check_subject(leaf: Leaf, told: str | None) -> None:
    """RFC 4514 text. Like all checks here: None is not told; raises IdentityError (contradiction)."""
    if told is not None and not same_name(parse_name(told), leaf.subject_name):
        raise _contradiction("subject", told, leaf.subject)


def check_issuer(leaf: Leaf, told: str | None) -> None:
    """RFC 4514 text."""
    if told is not None and not same_name(parse_name(told), leaf.issuer_name):
        raise _contradiction("issuer", told, leaf.issuer)


def check_serial(leaf: Leaf, told: str | None) -> None:
    """Hex, colons allowed."""
    if told is None:
        return
    digits = told.replace(":", "")
    if not _HEX.fullmatch(digits) or int(digits, 16) != leaf.serial_number:
        raise _contradiction("serial number", told, serial_text(leaf.serial_number))


def check_sha1(leaf: Leaf, told: str | None) -> None:
    """Hex, colons allowed."""
    if told is not None and told.replace(":", "").lower() != leaf.sha1:
        raise _contradiction("SHA-1", told, leaf.sha1)


def check_sha256(leaf: Leaf, told: str | None) -> None:
    """Hex, colons allowed."""
    if told is not None and told.replace(":", "").lower() != leaf.sha256:
        raise _contradiction("SHA-256", told, leaf.sha256)


def check_not_after(leaf: Leaf, told: str | None) -> None:
    """As OpenSSL prints it: `Jan  1 00:00:00 2027 GMT`."""
    if told is None:
        return
    # A proxy, or a server on the way, may fold the two blanks before a one-digit day.
    if openssl_time(told) not in (leaf.not_after, None):
        raise _contradiction("end of validity", told, leaf.not_after.isoformat())
    if openssl_time(told) is None:
        raise IdentityError(Reason.MALFORMED, f"no time: {shown(told)}")


def check_names(kind: str, told: Iterable[str], actual: tuple[str, ...]) -> None:
    """Each told name must be in the certificate. `kind` is for the message."""
    for name in told:
        if name not in actual:
            raise _contradiction(kind, name, ", ".join(actual))


def check_text(kind: str, told: str | None, actual: Iterable[str]) -> None:
    """`told` must be one of the spellings in `actual`."""
    expected = tuple(actual)
    if told is not None and told not in expected:
        raise _contradiction(kind, told, ", ".join(expected))


def openssl_time(text: str) -> datetime | None:
    """`Jan  1 00:00:00 2027 GMT`, a one-digit day with one blank or two."""
    parts = text.split()
    padded = f"{parts[0]} {parts[1]:>2} {' '.join(parts[2:])}" if len(parts) == 5 else ""
    match = _OPENSSL_TIME.fullmatch(padded)
    if match is None or match["month"] not in _MONTHS:
        return None
    month = _MONTHS.index(match["month"]) + 1
    try:
        return datetime.strptime(
            f"{match['year']}-{month:02}-{int(match['day']):02} {match['time']}",
            "%Y-%m-%d %H:%M:%S",
        ).replace(tzinfo=UTC)
    except ValueError:
        return None


def _contradiction(what: str, told: str, actual: str) -> IdentityError:
    return IdentityError(
        Reason.CONTRADICTION,
        f"the {what} told, {shown(told)}, is not the certificate's, {shown(actual)}",
    )
