"""What a reader is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from handclasp.backend.encodings import pem_certificates, percent_decoded
from handclasp.backend.identity import IdentityError, Reason

if TYPE_CHECKING:
    from handclasp.backend.identity import ClientIdentity, Note

Hop = Literal["only", "nearest", "original"]
"""Which XFCC element counts: `only` refuses more than one, `nearest` is the right-most, added by the
proxy in front of us, `original` the left-most, told by the proxy furthest away."""

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reader:
    """`names` are the headers it reads, lower-case."""

    dialect: str
    names: tuple[str, ...]
    read: Callable[[Values, Hop], ClientIdentity | None]


def one_pem(value: str) -> tuple[bytes, tuple[Note, ...]]:
    """DER of exactly one percent-encoded PEM certificate. Raises IdentityError."""
    found, notes = pem_certificates(percent_decoded(value))
    if len(found) != 1:
        raise IdentityError(
            Reason.NOT_A_CERTIFICATE, f"{len(found)} certificates where one leaf belongs"
        )
    return found[0], notes


def missing_certificate(names: Mapping[str, str], certificate: str) -> IdentityError:
    """Something is told about a certificate that is not there."""
    return IdentityError(
        Reason.CERTIFICATE_MISSING, f"{', '.join(sorted(names))} without {certificate}"
    )
