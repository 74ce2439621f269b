"""`traefik`: base64 bodies of PEM without armour, leaf first, comma-separated.

Before 2.9.4 the value was query-escaped as well; no base64 holds a percent sign, so both are read.
The Info header puts names between quotes without escaping, so a subject can forge the rest of it:
only the certificate is believed, and the serial number of Info has to be its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from handclasp.backend.agreement import check_text, identity_of
from handclasp.backend.certificate import is_issued_by, read_leaf
from handclasp.backend.encodings import base64_bytes, mended_base64
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.readers.reader import Reader, missing_certificate

if TYPE_CHECKING:
    from handclasp.backend.certificate import Leaf
    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop, Values

_CERTIFICATES, _INFO = "x-forwarded-tls-client-cert", "x-forwarded-tls-client-cert-info"
_LONGEST_CHAIN: Final = 16
_SERIAL: Final = re.compile(r'SerialNumber="(-?[0-9]{1,80})"')


def _read(values: Values, _: Hop) -> ClientIdentity | None:
    if not values:
        return None
    if _CERTIFICATES not in values:
        raise missing_certificate(values, "X-Forwarded-Tls-Client-Cert")
    value = values[_CERTIFICATES]
    if "%" in value:
        value = unquote(value)
    first, *rest = value.split(",")
    if len(rest) > _LONGEST_CHAIN:
        raise IdentityError(Reason.OVERSIZED, f"a chain of {len(rest)} certificates")
    der, notes = mended_base64(first)
    leaf = read_leaf(der)
    _check_info(leaf, values.get(_INFO))
    chain = tuple(base64_bytes(member) for member in rest)
    _check_chain((der, *chain))
    return identity_of(leaf, "traefik", chain=chain, notes=notes)


def _check_chain(path: tuple[bytes, ...]) -> None:
    """Two instances of the header that a WSGI server joined by a comma look like one chain, whoever's
    comes first: they are told apart by the signatures, each of the next one's key.
    """
    in_order = all(is_issued_by(path[i], path[i + 1]) for i in range(len(path) - 1))
    if not in_order or path[0] in path[1:]:
        raise IdentityError(
            Reason.SEVERAL_INSTANCES,
            "what follows the leaf is not the path of its issuers: several headers joined?",
        )


def _check_info(leaf: Leaf, value: str | None) -> None:
    if value is None:
        return
    serials = _SERIAL.findall(unquote(value))
    # What a subject can add stands beside the true number, never in its place.
    if serials and str(leaf.serial_number) not in serials:
        check_text("serial number", serials[0], (str(leaf.serial_number),))


READER = Reader("traefik", (_CERTIFICATES, _INFO), _read)
