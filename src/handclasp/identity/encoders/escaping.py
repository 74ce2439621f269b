"""How certificate text becomes part of a header value without being able to end it.

Three alphabets: percent-encoding as nginx writes it, percent-encoding as AWS writes it, and RFC 4514 text
in which every character that means something to a header's syntax is a hex pair.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote_plus, unquote

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.errors import InternalFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

# RFC 9110 section 5.5 without obs-text, and without the blanks at the ends that receivers cut off.
_FIELD_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_ESCAPED_SIGN: Final = re.compile(r"\\([^0-9A-Fa-f])")
_PLAIN_NAME: Final = re.compile(r"[\x21-\x7e]+")
# PEM holds no other signs that need it, and this is several times faster than urllib's quote.
_AWS: Final = str.maketrans({" ": "%20", "\n": "%0A"})
_NGINX: Final = _AWS | str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})
_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"


def pem(certificates: Iterable[x509.Certificate]) -> str:
    """Certificates as PEM, one after the other."""
    return "".join(one.public_bytes(Encoding.PEM).decode("ascii") for one in certificates)


def nginx_escaped(certificates: Iterable[x509.Certificate]) -> str:
    """As `$ssl_client_escaped_cert`: all but A-Z a-z 0-9 - . _ ~ as %XX (NGX_ESCAPE_URI_COMPONENT)."""
    return pem(certificates).translate(_NGINX)


def aws_escaped(certificates: Iterable[x509.Certificate]) -> str:
    """As AWS load balancers do it: `+`, `=` and `/` stay (Mutual authentication with TLS, ALB guide)."""
    return pem(certificates).translate(_AWS)


def go_query_escaped(text: str) -> str:
    """As Go's url.QueryEscape: a blank becomes `+`."""
    return quote_plus(text, safe="")


def plain_name(text: str) -> str:
    """RFC 4514 text as it stands alone in a header: a blank at the end as a hex pair, or receivers
    would cut it off and leave its backslash behind."""
    return f"{text[:-1]}20" if text.endswith("\\ ") else text


def guarded_name(text: str) -> str:
    """RFC 4514 text, as OpenSSL prints it, without any sign that ends a value or a string.

    Escaped signs become hex pairs (RFC 4514 section 2.4 allows both), and so does `%`: no quote, no
    semicolon, no escaped comma is left, even for a reader that looks for `\\"` alone, or decodes once too
    often. Read back by structure it is the same name.
    """
    paired = _ESCAPED_SIGN.sub(lambda match: f"\\{ord(match[1]):02X}", text)
    return paired.replace("%", "\\25")


def listable(names: tuple[str, ...], *, forbidden: str = '"\\') -> bool:
    """Whether names can be written side by side, none of them able to pass for two, not even after being
    percent-decoded once too often.

    All or none of a kind are: with one left out, those that remain could pass for the only one.
    """
    return all(
        _PLAIN_NAME.fullmatch(name) is not None
        and not any(sign in unquote(name) for sign in forbidden)
        for name in names
    )


def month(number: int) -> str:
    """`Jan` for 1; strftime would ask the locale."""
    return _MONTHS[3 * number - 3 : 3 * number]


def checked(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers that have a value. Raises InternalFault for one that would not be one line of ASCII."""
    found = [(name, value) for name, value in headers if value]
    for name, value in found:
        if not _FIELD_VALUE.fullmatch(value):
            raise InternalFault(f"the value made for {name} is not a header value")
    return found
