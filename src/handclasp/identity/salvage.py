"""The certificate in a damaged or mistaken header value, for people to look at. Never to be believed.

Undoes what proxies, shells and frameworks do to such values: encoded twice, `+` decoded to a blank, line
breaks kept or lost, quotes put around, the end cut off.
"""

from __future__ import annotations

import base64
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from cryptography import x509

from handclasp.certs.private_keys import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_DECODINGS: Final = 3
_ARMOUR: Final = re.compile(r"-{2,5}[ +]?(?:BEGIN|END)[ +]?(?:TRUSTED[ +])?CERTIFICATE[ +]?-{2,5}")
_PEM: Final = re.compile(
    r"-----BEGIN[ +]CERTIFICATE-----(?P<body>.*?)(?P<end>-----END[ +]CERTIFICATE-----|\Z)",
    re.DOTALL,
)
_RUN: Final = re.compile(r"MI[A-Za-z0-9+/\s]{60,}={0,2}")
_NO_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that is not as a proxy would have written it. `code` is stable."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Salvage:
    """What could be made out: the first certificate's DER, None when there is none."""

    der: bytes | None
    odd: tuple[Oddity, ...]


def salvage(value: str) -> Salvage:
    """Looks for a certificate in a value, whatever was done to it."""
    text, odd = _decoded(value)
    der: bytes | None = None
    for body, ended in _bodies(text):
        der, more = _der(body, ended=ended)
        odd += more
        break
    return Salvage(der, tuple(dict.fromkeys(odd)))


def _decoded(value: str) -> tuple[str, list[Oddity]]:
    odd: list[Oddity] = []
    text, rounds = value, 0
    while rounds < _MOST_DECODINGS and re.search(r"%[0-9A-Fa-f]{2}", text):
        text, rounds = unquote(text, errors="replace"), rounds + 1
    if rounds > 1:
        odd.append(Oddity("encoded-twice", f"the value is percent-encoded {rounds} times over"))
    if rounds == 0 and _PEM.search(text):
        odd.append(
            Oddity("not-encoded", "the PEM is not percent-encoded, as $ssl_client_cert leaves it")
        )
    if re.search(r"BEGIN\+CERTIFICATE", text):
        odd.append(Oddity("plus-as-space", "blanks were written as +, as in a form"))
    return text, odd


def _bodies(text: str) -> Iterator[tuple[str, bool]]:
    """base64 of certificates, and whether their end was there."""
    for match in _PEM.finditer(text):
        yield match["body"], bool(match["end"])
    for match in _RUN.finditer(_ARMOUR.sub("\n", text)):
        yield match[0], True


def _der(body: str, *, ended: bool) -> tuple[bytes | None, list[Oddity]]:
    digits, odd = _base64(body)
    data = base64.b64decode(digits)
    wanted = _announced(data)
    if wanted is not None and len(data) < wanted:
        there = f"{len(data)} of {wanted} bytes are there"
        return None, [*odd, Oddity("cut-off", f"the certificate is cut off: {there}")]
    if not ended:
        odd.append(Oddity("cut-off", "the line -----END CERTIFICATE----- is missing"))
    data = data[:wanted]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of serials that RFC 5280 forbids
            x509.load_der_x509_certificate(data)
    except UNREADABLE:
        return None, odd
    return data, odd


def _base64(body: str) -> tuple[str, list[Oddity]]:
    """The base64 without what stands between, padded. A blank is a line break or was a `+`."""
    odd: list[Oddity] = []
    text = body.strip("\n")
    words = text.strip(" ").split(" ")
    if (
        len(words) > 1
        and len({len(word) for word in words[:-1]}) == 1
        and len(words[0]) in (64, 76)
    ):
        odd.append(Oddity("lines-as-blanks", "the line breaks of the PEM have become blanks"))
        text = "".join(words)
    elif " " in text:
        odd.append(
            Oddity(
                "plus-as-space",
                "blanks inside the base64: + was decoded as in a form (unquote_plus)",
            )
        )
        text = text.replace(" ", "+")
    digits = _NO_BASE64.sub("", text)
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]  # one digit more is no byte
    return digits + "=" * (-len(digits) % 4), odd


def _announced(data: bytes) -> int | None:
    """How long the DER says it is, by its first bytes; None when they are not a certificate's."""
    if len(data) < 4 or data[:2] not in (b"\x30\x81", b"\x30\x82", b"\x30\x83"):
        return None
    size = data[1] & 0x7F
    return 2 + size + int.from_bytes(data[2 : 2 + size], "big")
