"""`aws-alb`: the verify mode of an Application Load Balancer.

The leaf is percent-encoded PEM in which `+`, `=` and `/` are literal. Passthrough mode has a header
of its own, and nothing behind it was verified: that is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handclasp.backend.agreement import (
    check_issuer,
    check_serial,
    check_subject,
    check_text,
    identity_of,
)
from handclasp.backend.certificate import read_leaf
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.readers.reader import Reader, missing_certificate, one_pem

if TYPE_CHECKING:
    from handclasp.backend.certificate import Leaf
    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop, Values

_PASSTHROUGH: Final = "x-amzn-mtls-clientcert"
_LEAF, _SERIAL, _ISSUER, _SUBJECT, _VALIDITY = (
    f"{_PASSTHROUGH}-{field}"
    for field in ("leaf", "serial-number", "issuer", "subject", "validity")
)


def _read(values: Values, _: Hop) -> ClientIdentity | None:
    if not values:
        return None
    if _PASSTHROUGH in values:
        raise IdentityError(
            Reason.NOT_VERIFIED, "X-Amzn-Mtls-Clientcert: passthrough mode verifies nothing"
        )
    if _LEAF not in values:
        raise missing_certificate(values, "X-Amzn-Mtls-Clientcert-Leaf")
    der, notes = one_pem(values[_LEAF])
    leaf = read_leaf(der)
    check_serial(leaf, values.get(_SERIAL))
    check_issuer(leaf, values.get(_ISSUER))
    check_subject(leaf, values.get(_SUBJECT))
    check_text("validity", values.get(_VALIDITY), (_validity(leaf),))
    return identity_of(leaf, "aws-alb", notes=notes)


def _validity(leaf: Leaf) -> str:
    start, end = (
        moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in (leaf.not_before, leaf.not_after)
    )
    return f"NotBefore={start};NotAfter={end}"


READER = Reader("aws-alb", (_PASSTHROUGH, _LEAF, _SERIAL, _ISSUER, _SUBJECT, _VALIDITY), _read)
