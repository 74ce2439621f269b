"""What a backend would make of identity headers, and what is odd about them. For people, who do not always
know the dialect: the one place where it is guessed."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from handclasp.backend.dialects import DIALECTS, Field
from handclasp.backend.identity import IdentityError, Note, Reason
from handclasp.backend.parsing import IdentityReader, parse
from handclasp.certs.facts import date
from handclasp.identity.headers import take_apart
from handclasp.identity.salvage import Oddity, salvage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from handclasp.backend.identity import ClientIdentity

    Headers = Sequence[tuple[str, str]]

_BARE: Final = {
    "x-client-cert": "X-Client-Cert",
    "x-ssl-cert": "X-SSL-CERT",
    "rfc9440": "Client-Cert",
    "xfcc": "X-Forwarded-Client-Cert",
    "traefik": "X-Forwarded-Tls-Client-Cert",
    "aws-alb": "X-Amzn-Mtls-Clientcert-Leaf",
    "azure-arr": "X-ARR-ClientCert",
    "haproxy": "X-SSL-Client-DER",
    "ingress-nginx": "SSL-Client-Cert",
    "handclasp": "X-Handclasp-Identity",
}
"""The header in which a dialect carries the certificate: where a value without a name belongs."""
_VERIFIED: Final = {
    "x-client-cert": (DIALECTS["x-client-cert"].fields[Field.VERIFY], "SUCCESS"),
    "x-ssl-cert": (DIALECTS["x-ssl-cert"].fields[Field.VERIFY], "SUCCESS"),
    "haproxy": ("X-SSL-Client-Verify", "0"),
    "ingress-nginx": ("SSL-Client-Verify", "SUCCESS"),
}
_FORMS: Final = (
    ("handclasp", re.compile(r"\{")),
    ("rfc9440", re.compile(r":[A-Za-z0-9+/= ]+:")),
    ("xfcc", re.compile(r"(?:By|Hash|Cert|Chain|Subject|URI|DNS)=", re.IGNORECASE)),
    ("aws-alb", re.compile(r"-----BEGIN%20CERTIFICATE-----%0A[A-Za-z0-9%]*[+/=]")),
    ("x-client-cert", re.compile(r"-----BEGIN|%2D%2D")),
    ("traefik", re.compile(r"MI[A-Za-z0-9+/= ]+,\s*MI")),
    ("azure-arr", re.compile(r"MI[A-Za-z0-9+/= \n]")),
)
_PLUS: Final = (
    "blanks inside the base64: + was decoded as in a form (unquote_plus) and was put back"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a backend configured for `dialect` would see. `identity` None and `reason` None: nobody.

    `assumed` are headers that were not given and without which a bare value tells nothing.
    """

    dialect: str
    headers: tuple[str, ...]
    identity: ClientIdentity | None = None
    reason: Reason | None = None
    sentence: str | None = None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """`certificate` is what was found by looking closely when no reading gave an identity."""

    readings: tuple[Reading, ...]
    odd: tuple[Oddity, ...]
    guessed: bool
    certificate: ClientIdentity | None = None

    @property
    def understood(self) -> bool:
        """Whether there was anything of an identity in it."""
        return bool(self.readings)

    @property
    def accepted(self) -> bool:
        """Whether every dialect present would be read without complaint."""
        return self.understood and all(reading.reason is None for reading in self.readings)


def examine(data: bytes, *, dialect: str | None = None, now: datetime) -> Examination:
    """`data` are header lines or one value; `dialect` None: told from names and form.

    Raises ValueError for an unknown dialect.
    """
    taken = take_apart(data)
    if taken.value is not None:
        readings = _bare_readings(taken.value, dialect)
        values = [taken.value]
    else:
        names = [dialect] if dialect else _present(taken.headers)
        readings = [_reading(name, taken.headers) for name in names]
        values = [value for name, value in taken.headers if len(value) > 100]
    odd = list(taken.odd)
    certificate = None
    if not any(reading.identity for reading in readings):
        for value in values:
            found = salvage(value)
            odd += found.odd
            certificate = certificate or _identity(found.der)
    odd += _about([*(reading.identity for reading in readings), certificate], now)
    return Examination(
        readings=tuple(reading for reading in readings if reading.headers),
        odd=tuple(dict.fromkeys(odd)),
        guessed=dialect is None,
        certificate=certificate,
    )


def _present(headers: Headers) -> list[str]:
    """Dialects of which a header is there; one that shares all of these with another gives way."""
    given = {_folded(name) for name, _ in headers}
    present = {name: given & _names(name) for name in DIALECTS if given & _names(name)}
    return [
        name
        for name, names in present.items()
        if not any(names < others for others in present.values())
    ]


def _names(dialect: str) -> frozenset[str]:
    """Lower-case names of a dialect's headers, those it shares with another included."""
    return (
        frozenset(name.lower() for name in DIALECTS[dialect].headers)
        | IdentityReader(dialect).names
    )


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")


def _bare_readings(value: str, dialect: str | None) -> list[Reading]:
    name = dialect or next((name for name, form in _FORMS if form.match(value)), None)
    if name is None:
        return []
    headers = [(_BARE[name], value)]
    verified = _VERIFIED.get(name)
    if verified is None:
        return [_reading(name, headers)]
    assumed = (f"{verified[0]}: {verified[1]}",)
    return [_reading(name, [*headers, verified], assumed=assumed)]


def _reading(dialect: str, headers: Headers, *, assumed: tuple[str, ...] = ()) -> Reading:
    given = headers[:-1] if assumed else headers
    own = tuple(dict.fromkeys(name for name, _ in given if _folded(name) in _names(dialect)))
    try:
        identity = parse(headers, dialect)
    except IdentityError as error:
        return Reading(
            dialect=dialect, headers=own, reason=error.code, sentence=error.reason, assumed=assumed
        )
    return Reading(dialect=dialect, headers=own, identity=identity, assumed=assumed)


def _identity(der: bytes | None) -> ClientIdentity | None:
    if der is None:
        return None
    try:
        return parse([(_BARE["azure-arr"], base64.b64encode(der).decode("ascii"))], "azure-arr")
    except IdentityError:
        return None


def _about(identities: Sequence[ClientIdentity | None], now: datetime) -> list[Oddity]:
    odd: list[Oddity] = []
    for identity in identities:
        if identity is None:
            continue
        if Note.PLUS_AS_SPACE in identity.notes:
            odd.append(Oddity("plus-as-space", _PLUS))
        if identity.not_after is not None and identity.not_after < now:
            odd.append(Oddity("expired", f"the certificate expired on {date(identity.not_after)}"))
        if identity.not_before is not None and identity.not_before > now:
            odd.append(Oddity("not-yet-valid", f"it is valid from {date(identity.not_before)} on"))
        if identity.dialect == "xfcc" and identity.certificate is None and not identity.sha256:
            odd.append(
                Oddity("no-hash", "neither Hash nor Cert: names alone, which nothing confirms")
            )
    return odd
