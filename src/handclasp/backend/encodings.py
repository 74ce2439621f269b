"""How dialects write a certificate into a header: percent-encoded PEM, base64, RFC 8941 bytes."""

from __future__ import annotations

import base64
import re
from typing import Final
from urllib.parse import unquote_to_bytes

from handclasp.backend.identity import IdentityError, Note, Reason, shown

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
_TRUSTED: Final = "-----BEGIN TRUSTED CERTIFICATE-----"
_STRAY_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
# Everything `$ssl_client_escaped_cert` leaves as it is, and what AWS leaves literal besides.
_ENCODED: Final = re.compile(r"[A-Za-z0-9%._~+=/ -]*")
_BASE64_LINES: Final = re.compile(r"[A-Za-z0-9+/=\r\n ]*")


def percent_decoded(value: str) -> str:
    """`unquote`, never `unquote_plus`. Raises IdentityError for what no proxy's encoder writes."""
    if "," in value:
        # None of the encoders leaves a comma, but WSGI servers join two headers by one.
        raise IdentityError(
            Reason.SEVERAL_INSTANCES, "a comma in the certificate's header: sent more than once"
        )
    if _BEGIN in value and "%" not in value:
        raise IdentityError(
            Reason.NOT_ENCODED,
            "the PEM is not percent-encoded ($ssl_client_cert where nginx has to send "
            "$ssl_client_escaped_cert)",
        )
    if _STRAY_PERCENT.search(value) or not _ENCODED.fullmatch(value):
        raise IdentityError(Reason.MALFORMED, f"not percent-encoded PEM: {shown(value)}")
    decoded = unquote_to_bytes(value)
    if not decoded.isascii():
        raise IdentityError(Reason.NOT_ASCII, "the decoded header is not ASCII")
    text = decoded.decode("ascii")
    if _ESCAPED.search(text):
        raise IdentityError(Reason.ENCODED_TWICE, "the PEM was percent-encoded twice")
    return text


def pem_certificates(text: str) -> tuple[list[bytes], tuple[Note, ...]]:
    """DER of each certificate in PEM text, and what had to be put right. Nothing may stand around
    them but white space. Raises IdentityError.
    """
    found: list[bytes] = []
    notes: set[Note] = set()
    rest = text.strip("\r\n")
    while rest:
        if not rest.startswith(_BEGIN):
            what = "TRUSTED" if rest.startswith(_TRUSTED) else shown(rest)
            raise IdentityError(Reason.NOT_A_CERTIFICATE, f"no PEM certificate: {what}")
        body, end, rest = rest[len(_BEGIN) :].partition(_END)
        if not end:
            raise IdentityError(Reason.NOT_A_CERTIFICATE, "the PEM is cut short")
        found.append(_pem_body(body, notes))
        rest = rest.lstrip("\r\n")
    return found, tuple(sorted(notes))


def _pem_body(body: str, notes: set[Note]) -> bytes:
    if not _BASE64_LINES.fullmatch(body):
        raise IdentityError(Reason.NOT_A_CERTIFICATE, "the PEM holds more than base64")
    if " " in body:
        notes.add(Note.PLUS_AS_SPACE)
        body = body.replace(" ", "+")
    return base64_bytes(body.replace("\r", "").replace("\n", ""))


def base64_bytes(text: str) -> bytes:
    """Canonical base64 (RFC 4648 section 4) and nothing else. Raises IdentityError."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        raise IdentityError(Reason.MALFORMED, f"not base64: {shown(text)}") from None
    # Non-zero bits after the end would let one certificate be written in several ways.
    if base64.b64encode(data).decode("ascii") != text:
        raise IdentityError(Reason.MALFORMED, f"not canonical base64: {shown(text)}")
    return data


def mended_base64(text: str) -> tuple[bytes, tuple[Note, ...]]:
    """base64 in which blanks inside are `+` decoded by mistake. Raises IdentityError."""
    if " " not in text:
        return base64_bytes(text), ()
    return base64_bytes(text.replace(" ", "+")), (Note.PLUS_AS_SPACE,)


def byte_sequence(text: str) -> bytes:
    """An RFC 8941 byte sequence, `:base64:`, without parameters. Raises IdentityError."""
    if len(text) < 2 or text[0] != ":" or text[-1] != ":":
        raise IdentityError(
            Reason.MALFORMED, f"no byte sequence between colons (RFC 8941): {shown(text)}"
        )
    return base64_bytes(text[1:-1])
