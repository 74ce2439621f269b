"""PINs that no token can be meant to have: told before one is tried, since a token counts wrong ones. Pure.

PKCS #11 2.40, section 2.1 (CK_UTF8CHAR): a PIN is UTF-8 text; its least and greatest length are the token's.
"""

from __future__ import annotations

LONGEST = 255
"""Bytes. SoftHSM's limit, and no token is known to take more."""
LONGEST_BY_ENGINE = 31
"""libp11 (0.4.12) cuts a longer one there, and logs in with the rest missing."""


def pin_problem(pin: bytes, *, by_engine: bool = False) -> str | None:
    """Why `pin` is not tried, as the end of a sentence about it; None when nothing speaks against it.

    `by_engine`: it is for a key that nginx will reach by OpenSSL's PKCS#11 engine.
    """
    if not pin.strip():
        return "is empty"
    try:
        text = pin.decode()
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    if "\n" in text or "\r" in text:
        return "has more than one line"
    if any(character < " " or character == "\x7f" for character in text):
        return "holds a control character"
    if len(pin) > LONGEST:
        return f"has {len(pin)} bytes, and no token takes more than {LONGEST}"
    if by_engine and len(pin) > LONGEST_BY_ENGINE:
        return (
            f"has {len(pin)} bytes, and the PKCS#11 engine, by which nginx goes to tokens on this machine,"
            f" cuts it to {LONGEST_BY_ENGINE}"
        )
    return None
