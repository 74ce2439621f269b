"""The dialect handclasp: one compact JSON header, by the encoder that its reader comes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.certificate import serial_text
from handclasp.backend.compact import HEADER, encode_handclasp

if TYPE_CHECKING:
    from handclasp.identity.caller import Caller
    from handclasp.identity.encoders.style import Style


def compact(caller: Caller | None, style: Style) -> list[tuple[str, str]]:
    """Nothing without a caller: the header's presence says that there is one."""
    if caller is None:
        return []
    value = encode_handclasp(
        subject=caller.subject,
        issuer=caller.issuer,
        sans=[san for san in caller.sans if san.partition(":")[0] in ("dns", "ip", "uri", "email")],
        serial=serial_text(caller.serial),
        sha256=caller.sha256,
        not_after=caller.not_after,
        certificate=caller.der if style.certificate else None,
    )
    return [(HEADER, value)]
