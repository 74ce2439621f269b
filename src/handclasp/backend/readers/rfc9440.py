"""`rfc9440`: Client-Cert is the leaf as an RFC 8941 byte sequence, Client-Cert-Chain a list of them.

There is no verification field: presence means that the proxy accepted the certificate (section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from handclasp.backend.agreement import identity_of
from handclasp.backend.certificate import check_certificate, read_leaf
from handclasp.backend.encodings import byte_sequence
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.readers.reader import Reader, missing_certificate

if TYPE_CHECKING:
    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop, Values

_LEAF, _CHAIN = "client-cert", "client-cert-chain"
_LONGEST_CHAIN: Final = 16


def _read(values: Values, _: Hop) -> ClientIdentity | None:
    if not values:
        return None
    if _LEAF not in values:
        raise missing_certificate(values, "Client-Cert")
    if "," in values[_LEAF]:
        raise IdentityError(Reason.SEVERAL_INSTANCES, "Client-Cert holds more than one certificate")
    leaf = read_leaf(byte_sequence(values[_LEAF]))
    return identity_of(leaf, "rfc9440", chain=_chain(values.get(_CHAIN)))


def _chain(value: str | None) -> tuple[bytes, ...]:
    if value is None:
        return ()
    members = value.split(",")
    if len(members) > _LONGEST_CHAIN:
        raise IdentityError(Reason.OVERSIZED, f"a chain of {len(members)} certificates")
    return tuple(check_certificate(byte_sequence(member.strip(" \t"))) for member in members)


READER = Reader("rfc9440", (_LEAF, _CHAIN), _read)
