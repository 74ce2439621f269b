"""Logging in to a token, and what it says of tries of its PIN (edge: the module's code, as `token`).

The standard: PKCS #11 Cryptographic Token Interface Base Specification 2.40, sections 4.4 and 5.6, OASIS.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pkcs11

from handclasp.errors import ExitCode
from handclasp.findings import Finding, Severity, found
from handclasp.findings.model import FindingsError
from handclasp.hsm.pins import pin_problem
from handclasp.hsm.token import refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.certs.secret import Secret


class PinRefused(FindingsError):
    """The token was given the PIN and said no: one of its tries is used up."""


def pin_warnings(token: Any, *, last_try: bool = False) -> list[Finding]:
    """What the token says of tries of its PIN. Raises FindingsError when it is locked, or when the next
    wrong one would lock it, unless that is wanted with `last_try`."""
    flags = token.flags
    name = f"the PIN of token '{token.label}'"
    if pkcs11.TokenFlag.USER_PIN_LOCKED in flags:
        raise refused("pin-locked", f"{name} is locked")
    if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in flags and not last_try:
        raise refused("pin-last-try", f"one more wrong try locks {name}: it was not tried")
    if pkcs11.TokenFlag.USER_PIN_COUNT_LOW in flags:
        seen = f"{name} was given wrong since the last login"
        return [found("pin-last-try", seen, severity=Severity.WARNING)]
    return []


@contextlib.contextmanager
def session(token: Any, pin: Secret[bytes] | None, *, write: bool = False) -> Iterator[Any]:
    """A session, logged in when there is a PIN. Raises FindingsError for a PIN that is refused, or that
    no token can have, which is not tried."""
    if pin is not None and (problem := pin_problem(pin.reveal())):
        raise refused("pin-wrong", f"the PIN {problem}: it was not tried")
    try:
        user_pin = pin.reveal().decode() if pin else None
        opened = token.open(user_pin=user_pin, rw=write)
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
        left = _tries_left(token)
        raise _pin_refused("pin-wrong", f"token '{token.label}' refuses the PIN{left}") from None
    except pkcs11.PinLocked:
        raise _pin_refused("pin-locked", f"the PIN of token '{token.label}' is locked") from None
    except pkcs11.UserPinNotInitialized:
        raise refused("pin-wrong", f"token '{token.label}' has no user PIN yet") from None
    except pkcs11.PKCS11Error as error:
        raise refused(
            "pkcs11-module-failed", f"no session with the token: {_told(error)}"
        ) from None
    with contextlib.ExitStack() as stack:
        stack.callback(_close, opened)
        yield opened


def _pin_refused(slug: str, seen: str) -> PinRefused:
    return PinRefused([found(slug, seen)], exit_code=ExitCode.ENVIRONMENT)


def _tries_left(token: Any) -> str:
    # The library reads flags when it finds the token; what the wrong try changed is read anew.
    with contextlib.suppress(pkcs11.PKCS11Error):
        flags = token.slot.get_token().flags
        if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in flags:
            return "; one more wrong try locks it"
        if pkcs11.TokenFlag.USER_PIN_LOCKED in flags:
            return ", and it is locked now"
    return ""


def _close(opened: Any) -> None:
    with contextlib.suppress(pkcs11.PKCS11Error):
        opened.close()


def _told(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
