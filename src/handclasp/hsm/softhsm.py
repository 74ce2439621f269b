"""A token of SoftHSM for trying (edge: makes its directory, and calls the module).

The PIN goes to the module's own functions: `softhsm2-util --pin` shows it to everybody in `ps`, and
python-pkcs11 has no C_InitToken. The calls are those of PKCS #11 2.40, sections 5.5 to 5.7; SoftHSM
exports each of them by name.
"""

from __future__ import annotations

import contextlib
import ctypes
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from handclasp.certs.secret import Secret
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.hsm.pins import pin_problem
from handclasp.keys.output import Output, cannot_write, write_new

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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
    directory: Path, label: str, *, pin: Secret[bytes] | None, so_pin: Secret[bytes] | None
) -> tuple[SoftToken, tuple[Path, ...], Secret[bytes], Secret[bytes]]:
    """DIRECTORY/softhsm2.conf and tokens/ (0700) unless they are there, and pin and so-pin (0600) with new
    PINs where none are given; the files of a further token have its label in their names.

    Also gives the files written. Raises UsageError for a directory SoftHSM cannot be told of and for PIN
    files that exist, EnvironmentFault when something cannot be written.
    """
    configuration = directory / CONFIGURATION
    tokens = directory.absolute() / "tokens"
    further = configuration.exists()
    suffix = f"-{quote(label, safe='')}" if further else ""
    made = SoftToken(
        configuration=configuration,
        pin_file=directory / f"pin{suffix}",
        so_pin_file=directory / f"so-pin{suffix}",
    )
    pins = [one or Secret(f"{secrets.randbelow(10**8):08d}".encode()) for one in (pin, so_pin)]
    outputs = []
    if not further:
        outputs.append(Output(path=configuration, data=_configuration(tokens), private=True))
    for path, given, chosen in (
        (made.pin_file, pin, pins[0]),
        (made.so_pin_file, so_pin, pins[1]),
    ):
        if given is None:
            # No line's end: libp11's engine, which may be led to this file, takes it for a part of the PIN.
            outputs.append(Output(path=path, data=chosen.reveal(), private=True))
    try:
        if not further:
            tokens.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise cannot_write(problem, tokens) from None
    written = write_new(outputs, hint="It may be the PIN of another token: move it away first.")
    return made, written, pins[0], pins[1]


def _configuration(tokens: Path) -> bytes:
    """softhsm2.conf(5): `#` begins a comment anywhere, and nothing quotes it."""
    text = str(tokens)
    if "#" in text or not text.isprintable():
        raise UsageError(
            f"SoftHSM cannot be told of the directory {text!r}: its configuration takes neither `#` nor "
            "what cannot be printed",
            hint="Name another one with --directory.",
        )
    lines = (f"directories.tokendir = {text}", "objectstore.backend = file", "log.level = ERROR")
    return "".join(f"{line}\n" for line in lines).encode()


def check_new(label: str, pins: Mapping[str, Secret[bytes] | None]) -> None:
    """Raises UsageError for a label or PIN that cannot be. `pins`: those that are given, by what they are."""
    size = len(label.encode())
    if not 0 < size <= _LABEL_BYTES:
        raise UsageError(f"a token's label has 1 to {_LABEL_BYTES} bytes, {label!r} has {size}")
    if not label.isprintable():
        raise UsageError(f"a token's label is of characters that can be printed; {label!r} is not")
    for what, one in pins.items():
        if one is not None and (problem := pin_problem(one.reveal())):
            raise UsageError(f"the {what} {problem}")
        if one is not None and not 4 <= len(one.reveal()) <= 255:
            raise UsageError(
                f"the {what} has {len(one.reveal())} characters; SoftHSM takes 4 to 255"
            )


def has_token(module: Path, label: str) -> bool:
    """Whether a token has this label already. $SOFTHSM2_CONF must name the configuration.

    Raises EnvironmentFault when the module refuses.
    """
    with _initialised(module) as library:
        return _labelled(library, label.encode()) is not None


def initialise(module: Path, label: str, pin: Secret[bytes], so_pin: Secret[bytes]) -> None:
    """A new token in the first slot without one, once `check_new` and `has_token` say nothing against it.

    Raises EnvironmentFault when the module refuses.
    """
    name = label.encode()
    with _initialised(module) as library:
        slot = _free_slot(library)
        secret, user = so_pin.reveal(), pin.reveal()
        _call(library, "C_InitToken", slot, secret, _long(len(secret)), name.ljust(_LABEL_BYTES))
        made = _labelled(library, name)  # SoftHSM gives a token that was initialised another slot
        if made is None:
            raise EnvironmentFault("the new token does not show")
        session = ctypes.c_ulong()
        _call(library, "C_OpenSession", made, _long(_OPEN), None, None, ctypes.byref(session))
        _call(library, "C_Login", session, _long(_SO), secret, _long(len(secret)))
        _call(library, "C_InitPIN", session, user, _long(len(user)))


@contextlib.contextmanager
def _initialised(module: Path) -> Iterator[ctypes.CDLL]:
    try:
        library = ctypes.CDLL(str(module))
    except OSError as problem:
        raise EnvironmentFault(f"the PKCS#11 module {module} cannot be loaded: {problem}") from None
    _call(library, "C_Initialize", None)
    try:
        yield library
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


def _labelled(library: ctypes.CDLL, name: bytes) -> ctypes.c_ulong | None:
    for slot in _slots(library):
        info = _info(library, slot)
        if info.flags & _INITIALISED and info.label.rstrip(b" ") == name:
            return slot
    return None
