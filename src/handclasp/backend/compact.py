"""The dialect `handclasp`: one header, `X-Handclasp-Identity`, one compact JSON object in ASCII.

    {"subject":"CN=svc-b,O=Example Org","issuer":"CN=Test CA","sans":["dns:svc-b.internal",
     "uri:spiffe://example.org/svc-b"],"serial":"0A1B","sha256":"…64 hex digits…",
     "not_after":"2027-01-01T00:00:00Z","verify":"SUCCESS","cert":"…base64 of DER…"}

No blanks between tokens; every character outside 0x20 to 0x7E is written as a JSON escape, so no
name in a certificate can end the header or the string. `cert` may be left out, everything else is
required; unknown keys are ignored, so that later versions can add some.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from handclasp.backend.dialects import DIALECTS
from handclasp.backend.identity import IdentityError, Reason

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER: Final = DIALECTS["handclasp"].headers[0]
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIME_TEXT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_SERIAL: Final = re.compile(r"-?(?:[0-9A-F]{2})+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_REQUIRED: Final = ("subject", "issuer", "sans", "serial", "sha256", "not_after", "verify")


@dataclass(frozen=True, slots=True)
class Compact:
    """The content of the header. Texts as in `ClientIdentity`; `sans` typed, `dns:…`."""

    subject: str
    issuer: str
    sans: tuple[str, ...]
    serial: str
    sha256: str
    not_after: datetime
    verify: str
    certificate: bytes | None


def encode_handclasp(
    *,
    subject: str,
    issuer: str,
    sans: Sequence[str],
    serial: str,
    sha256: str,
    not_after: datetime,
    verify: str = "SUCCESS",
    certificate: bytes | None = None,
) -> str:
    """The header's value.

    `subject` and `issuer` are RFC 4514 text, `sans` typed (`dns:…`, `ip:…`, `uri:…`, `email:…`),
    `serial` upper-case hex with an even number of digits, `sha256` lower-case hex, `not_after` in
    any time zone, `certificate` DER.
    """
    content: dict[str, Any] = {
        "subject": subject,
        "issuer": issuer,
        "sans": list(sans),
        "serial": serial,
        "sha256": sha256,
        "not_after": not_after.astimezone(UTC).strftime(_TIME),
        "verify": verify,
    }
    if certificate is not None:
        content["cert"] = base64.b64encode(certificate).decode("ascii")
    # json escapes all but DEL, which a header value must not hold either (RFC 9110 section 5.5).
    return json.dumps(content, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")


def decode_handclasp(text: str) -> Compact:
    """Raises IdentityError for anything but what `encode_handclasp` can write (later keys apart)."""
    content = _object(text)
    missing = [key for key in _REQUIRED if key not in content]
    if missing:
        raise _malformed(f"the JSON has no {', '.join(missing)}")
    strings = {key: content[key] for key in _REQUIRED if key != "sans"}
    sans = content["sans"]
    if not all(isinstance(value, str) for value in strings.values()):
        raise _malformed("a field of the JSON is not a string")
    if not isinstance(sans, list) or not all(isinstance(name, str) for name in sans):
        raise _malformed("sans is not a list of strings")
    if not all(text.isprintable() for text in (*strings.values(), *sans)):
        raise _malformed("a field of the JSON holds a control character or half a character")
    if not all(text.isascii() for text in strings.values()):
        raise _malformed("a field of the JSON is not ASCII")
    if not _SERIAL.fullmatch(strings["serial"]):
        raise _malformed("serial is not upper-case hex")
    if not _SHA256.fullmatch(strings["sha256"]):
        raise _malformed("sha256 is not 64 lower-case hex digits")
    return Compact(
        subject=strings["subject"],
        issuer=strings["issuer"],
        sans=tuple(sans),
        serial=strings["serial"],
        sha256=strings["sha256"],
        not_after=_time(strings["not_after"]),
        verify=strings["verify"],
        certificate=_certificate(content.get("cert")),
    )


def _object(text: str) -> dict[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_constant)
    except IdentityError:
        raise
    except (ValueError, RecursionError) as error:
        raise _malformed(f"not one JSON object ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise _malformed("not a JSON object")
    return content


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise IdentityError(Reason.DUPLICATE_KEY, "a key of the JSON is there twice")
    return found


def _constant(name: str) -> None:
    raise _malformed(f"{name} is not JSON")


def _time(text: str) -> datetime:
    if not _TIME_TEXT.fullmatch(text):
        raise _malformed("not_after is not YYYY-MM-DDTHH:MM:SSZ")
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise _malformed("not_after is no date") from None


def _certificate(text: Any) -> bytes | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise _malformed("cert is not a string")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _malformed("cert is not base64") from None


def _malformed(reason: str) -> IdentityError:
    return IdentityError(Reason.MALFORMED, reason)
