"""A token of SoftHSM for trying (edge: makes its directory, and calls the module).

The PIN goes to the module's own functions: `softhsm2-util --pin` shows it to everybody in `ps`, and
python-pkcs11 has no C_InitToken. The calls are those of PKCS #11 2.40, sections 5.5 to 5.7; SoftHSM
exports each of them by name.
"""

from __future__ import annotations

import ctypes
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs.secret import Secret
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.output import Output, cannot_write, write_new

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = "softhsm2.conf"
_LABEL_BYTES = 32
_SO, _USER = 0, 1  # CKU_SO, CKU_USER
_OPEN = 0x2 | 0x4  # CKF_RW_SESSION | CKF_SERIAL_SESSION


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftToken:
    """What was made: SOFTHSM2_CONF, and the files with the PINs."""

    configuration: Path
    pin_file: Path
    so_pin_file: Path


def prepare_directory(
    directory: Path, *, pin: Secret[bytes] | None, so_pin: Secret[bytes] | None
) -> tuple[SoftToken, Secret[bytes], Secret[bytes]]:
    """DIRECTORY/softhsm2.conf, tokens/ (0700), and pin and so-pin (0600) with new PINs where none are given.

    Raises UsageError when there is such a token already, EnvironmentFault when it cannot be written.
    """
    made = SoftToken(
        configuration=directory / CONFIGURATION,
        pin_file=directory / "pin",
        so_pin_file=directory / "so-pin",
    )
    pins = [one or Secret(f"{secrets.randbelow(10**8):08d}".encode()) for one in (pin, so_pin)]
    tokens = directory.absolute() / "tokens"
    text = f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    outputs = [Output(path=made.configuration, data=text.encode(), private=True)]
    for path, given, chosen in (
        (made.pin_file, pin, pins[0]),
        (made.so_pin_file, so_pin, pins[1]),
    ):
        if given is None:
            # No line's end: libp11's engine, which may be led to this file, takes it for a part of the PIN.
            outputs.append(Output(path=path, data=chosen.reveal(), private=True))
    try:
        tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise cannot_write(problem, tokens) from None
    write_new(outputs, hint="Name another directory: a token is never initialised anew.")
    return made, pins[0], pins[1]


def initialise(module: Path, label: str, pin: Secret[bytes], so_pin: Secret[bytes]) -> None:
    """A new token in the first slot without one; $SOFTHSM2_CONF must name the configuration already.

    Raises UsageError for a label or PIN that cannot be, EnvironmentFault when the module refuses.
    """
    name = label.encode()
    if not name or len(name) > _LABEL_BYTES:
        raise UsageError(
            f"a token's label has 1 to {_LABEL_BYTES} bytes, {label!r} has {len(name)}"
        )
    for what, one in (("PIN", pin), ("SO PIN", so_pin)):
        if not 4 <= len(one.reveal()) <= 255:
            raise UsageError(
                f"the {what} has {len(one.reveal())} characters; SoftHSM takes 4 to 255"
            )
    try:
        library = ctypes.CDLL(str(module))
    except OSError as problem:
        raise EnvironmentFault(f"the PKCS#11 module {module} cannot be loaded: {problem}") from None
    _call(library, "C_Initialize", None)
    try:
        slot = _free_slot(library)
        secret, user = so_pin.reveal(), pin.reveal()
        _call(library, "C_InitToken", slot, secret, _long(len(secret)), name.ljust(_LABEL_BYTES))
        slot = _slot_labelled(library, name)
        session = ctypes.c_ulong()
        _call(library, "C_OpenSession", slot, _long(_OPEN), None, None, ctypes.byref(session))
        _call(library, "C_Login", session, _long(_SO), secret, _long(len(secret)))
        _call(library, "C_InitPIN", session, user, _long(len(user)))
    finally:
        library.C_Finalize(None)


def _long(value: int) -> ctypes.c_ulong:
    return ctypes.c_ulong(value)


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    try:
        function = getattr(library, name)
    except AttributeError:
        raise EnvironmentFault(
            f"the module exports no {name}: it is not SoftHSM",
            hint="Use the vendor's tool to initialise a real token.",
        ) from None
    function.restype = ctypes.c_ulong
    code = function(*arguments)
    if code:
        raise EnvironmentFault(f"{name} failed with code {code:#x}")


def _slots(library: ctypes.CDLL) -> list[ctypes.c_ulong]:
    count = ctypes.c_ulong()
    _call(library, "C_GetSlotList", ctypes.c_ubyte(1), None, ctypes.byref(count))
    numbers = (ctypes.c_ulong * count.value)()
    _call(library, "C_GetSlotList", ctypes.c_ubyte(1), numbers, ctypes.byref(count))
    return [ctypes.c_ulong(number) for number in numbers]


class _TokenInfo(ctypes.Structure):
    """CK_TOKEN_INFO (section 3.2) as far as it is read here; the rest is room."""

    _fields_ = (
        ("label", ctypes.c_char * 32),
        ("manufacturer", ctypes.c_char * 32),
        ("model", ctypes.c_char * 16),
        ("serial", ctypes.c_char * 16),
        ("flags", ctypes.c_ulong),
        ("rest", ctypes.c_ubyte * 256),
    )


_INITIALISED = 0x400  # CKF_TOKEN_INITIALIZED


def _info(library: ctypes.CDLL, slot: ctypes.c_ulong) -> _TokenInfo:
    info = _TokenInfo()
    _call(library, "C_GetTokenInfo", slot, ctypes.byref(info))
    return info


def _free_slot(library: ctypes.CDLL) -> ctypes.c_ulong:
    for slot in _slots(library):
        if not _info(library, slot).flags & _INITIALISED:
            return slot
    raise EnvironmentFault("the module has no slot without a token")


def _slot_labelled(library: ctypes.CDLL, name: bytes) -> ctypes.c_ulong:
    # SoftHSM gives a token that was initialised another slot.
    for slot in _slots(library):
        info = _info(library, slot)
        if info.flags & _INITIALISED and info.label.rstrip(b" ") == name:
            return slot
    raise EnvironmentFault("the new token does not show")
