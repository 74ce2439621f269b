"""`handclasp`: the one compact header of `handclasp.backend.compact`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.agreement import (
    check_issuer,
    check_serial,
    check_sha256,
    check_subject,
    identity_of,
)
from handclasp.backend.certificate import read_leaf
from handclasp.backend.compact import HEADER, decode_handclasp
from handclasp.backend.distinguished import parse_name
from handclasp.backend.identity import (
    ClientIdentity,
    IdentityError,
    Reason,
    SubjectAltNames,
    shown,
)
from handclasp.backend.readers.reader import Reader

if TYPE_CHECKING:
    from handclasp.backend.certificate import Leaf
    from handclasp.backend.compact import Compact
    from handclasp.backend.readers.reader import Hop, Values

_NAME = HEADER.lower()


def _read(values: Values, _: Hop) -> ClientIdentity | None:
    if _NAME not in values:
        return None
    told = decode_handclasp(values[_NAME])
    if told.verify != "SUCCESS":
        raise IdentityError(Reason.NOT_VERIFIED, f"verify is {shown(told.verify)}, not SUCCESS")
    if told.certificate is not None:
        leaf = read_leaf(told.certificate)
        _check(leaf, told)
        return identity_of(leaf, "handclasp", verify=told.verify)
    parse_name(told.subject)
    parse_name(told.issuer)
    return ClientIdentity(
        subject=told.subject,
        dialect="handclasp",
        issuer=told.issuer,
        sans=SubjectAltNames.from_typed(told.sans),
        serial=told.serial,
        sha256=told.sha256,
        not_after=told.not_after,
        verify=told.verify,
    )


def _check(leaf: Leaf, told: Compact) -> None:
    check_subject(leaf, told.subject)
    check_issuer(leaf, told.issuer)
    check_serial(leaf, told.serial)
    check_sha256(leaf, told.sha256)
    names = SubjectAltNames.from_typed(told.sans)
    if names != leaf.sans:
        raise IdentityError(Reason.CONTRADICTION, "sans are not the certificate's")
    if told.not_after != leaf.not_after:
        raise IdentityError(Reason.CONTRADICTION, "not_after is not the certificate's")


READER = Reader("handclasp", (_NAME,), _read)
