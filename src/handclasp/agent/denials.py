"""Certificates refused on somebody's word, kept in `denied.json` of the state directory (edge).

A file that cannot be read is never taken for an empty one: the agent does not start with it.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cryptography import x509

from handclasp.backend.certificate import serial_text
from handclasp.certs.private_keys import UNREADABLE
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.identity.denied import Denied, denied_certificate, denied_serial, joined
from handclasp.identity.names import loose_key
from handclasp.nginx.durable import Access, replace_file, reported
from handclasp.nginx.render.denied import issuer_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from handclasp.nginx.parts import IngressServer, Plan

FILE = "denied.json"
_SERIAL = re.compile(r"-?[0-9A-Fa-f]+")
_ACCESS = Access(0o600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """One certificate: by `sha256` (lower-case hex), by `issuer` (RFC 4514) with `serial`, or by both.

    `body` is the SHA-256 of what is signed in it: with that, the agent needs no issuer and serial, which
    another CA of the same name may have given too. `authority`: it is a CA, and what its key signed is
    meant; `certificate` is then its DER in base64. `since` is ISO 8601; `why` is for people.
    """

    since: str
    sha256: str | None = None
    issuer: str | None = None
    serial: int | None = None
    subject: str | None = None
    why: str | None = None
    body: str | None = None
    authority: bool = False
    certificate: str | None = None

    @property
    def key(self) -> tuple[str | None, str | None, int | None]:
        """What makes two of them the same."""
        return self.sha256, loose_key(self.issuer) if self.issuer else None, self.serial

    def meets(self, other: Denial) -> bool:
        """Whether both name one certificate, by whatever they have in common."""
        if self.sha256 is not None and other.sha256 is not None:
            # Two CAs of one name may have given one serial.
            return self.sha256 == other.sha256
        return self.serial is not None and self.key[1:] == other.key[1:]

    def denied(self) -> Denied:
        """As the policies ask for it. Raises ValueError for what names no certificate."""
        several = []
        if self.sha256 is not None:
            several.append(denied_certificate(self.sha256))
        if self.body is not None:
            several.append(Denied(bodies=denied_certificate(self.body).certificates))
        elif self.issuer is not None and self.serial is not None:
            several.append(denied_serial(self.issuer, self.serial))
        if not several:
            raise ValueError("a denial names a SHA-256, or an issuer and a serial")
        if (authority := self.ca()) is not None:
            several.append(Denied(authorities=frozenset([authority])))
        return joined(several)

    def ca(self) -> x509.Certificate | None:
        """The CA that is denied, if its certificate is known. Raises ValueError."""
        if self.certificate is None or not self.authority:
            return None
        try:
            return x509.load_der_x509_certificate(b64decode(self.certificate, validate=True))
        except UNREADABLE as error:
            raise ValueError(f"certificate cannot be read: {error}") from error


def read_denial(told: dict[str, Any]) -> Denial:
    """From JSON. Raises ValueError."""
    known = set(Denial.__dataclass_fields__)
    if unknown := told.keys() - known:
        raise ValueError(f"unknown key {min(unknown)!r}")
    words = ("sha256", "issuer", "since", "subject", "why", "body", "certificate")
    for key, kind in (("serial", int), *((word, str) for word in words)):
        value = told.get(key)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ValueError(f"{key} has the wrong type")
    denial = Denial(**told)
    datetime.fromisoformat(denial.since)
    if not isinstance(denial.authority, bool):
        raise ValueError("authority is true or false")  # noqa: TRY004  as all that is wrong in it
    if denial.sha256 is not None:
        (digest,) = denied_certificate(denial.sha256).certificates
        denial = replace(denial, sha256=digest)
    denial.denied()
    return denial


class Denials:
    """The list, and its file."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE
        self._entries: tuple[Denial, ...] = ()
        self._denied = Denied()
        self.written = True
        """Whether the file says what the entries say."""

    @property
    def entries(self) -> tuple[Denial, ...]:
        """All of them, oldest first."""
        return self._entries

    def load(self, *, expected: bool = False) -> None:
        """Reads the file. Raises EnvironmentFault; `expected`: also when there is none."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError as error:
            if expected:
                raise self._unreadable("it is gone") from error
            self._write(())
            return
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        try:
            self._hold(tuple(read_denial(one) for one in json.loads(text)["denied"]))
        except (ValueError, TypeError, KeyError) as error:
            raise self._unreadable(str(error)) from error

    def add(self, denial: Denial) -> bool:
        """Whether it says more than those before; it is not written yet (`write`)."""
        for at, one in enumerate(self._entries):
            if one.key == denial.key:
                fuller = _fuller(one, denial)
                if fuller == one:
                    return False
                self._hold((*self._entries[:at], fuller, *self._entries[at + 1 :]))
                self.written = False
                return True
        # Not all of them anew: there may be thousands.
        self._denied |= denial.denied()
        self._entries = (*self._entries, denial)
        self.written = False
        return True

    def remove(self, denial: Denial) -> bool:
        """Every denial of the same certificate; whether there was one. Raises EnvironmentFault with all of
        them still there."""
        rest = tuple(one for one in self._entries if not one.meets(denial))
        if len(rest) == len(self._entries):
            return False
        self._write(rest)
        self._hold(rest)
        return True

    def write(self) -> None:
        """Writes what was added. Raises EnvironmentFault; it is among the entries all the same, so that it
        can be in force until the agent ends."""
        if not self.written:
            self._write(self._entries)

    def denied(self) -> Denied:
        """All of them, as the policies ask for it."""
        return self._denied

    def _hold(self, entries: tuple[Denial, ...]) -> None:
        self._denied = joined(one.denied() for one in entries)
        self._entries = entries

    def _write(self, entries: tuple[Denial, ...]) -> None:
        lines = ",\n".join(_line(one) for one in entries)
        content = f'{{"denied": [\n{lines}\n]}}\n'
        with reported("write the denials in", self._path.parent):
            replace_file(self._path, content.encode(), _ACCESS)
        self.written = True

    def _unreadable(self, why: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self._path} cannot be read, so nobody knows who is denied: {why}",
            hint="mend it or put it back; to begin without any denial, write"
            """ {"denied": []} into it""",
        )


def _line(denial: Denial) -> str:
    told = {field: getattr(denial, field) for field in Denial.__dataclass_fields__}
    return json.dumps({field: value for field, value in told.items() if value is not None})


def _fuller(known: Denial, told: Denial) -> Denial:
    """The denial with what is told of it beyond that."""
    return replace(
        known,
        body=known.body or told.body,
        authority=known.authority or told.authority,
        certificate=known.certificate or told.certificate,
        subject=known.subject or told.subject,
    )


def denied_files(plan: Plan, entries: Iterable[Denial]) -> dict[tuple[str, str], str]:
    """(issuer's directory, serial) → issuer's name, of each denial that a link without authorizer can
    enforce."""
    told = tuple(entries)
    return {
        file: name
        for server in plan.ingress
        if server.authorizer is None
        for file, name in _files(server, told)
    }


def holding(entries: Iterable[Denial]) -> Callable[[str, str], bool]:
    """Says of an issuer's name and a serial, as nginx writes it, whether a denial stands for that."""
    held = {
        (loose_key(one.issuer), serial_text(one.serial))
        for one in entries
        if one.issuer is not None and one.serial is not None
    }
    return lambda issuer, serial: (loose_key(issuer), serial) in held


def parse_serial(text: str) -> int:
    """Hex as openssl and nginx print it, `serial=` before it and colons allowed. Raises UsageError."""
    digits = text.strip().removeprefix("serial=").replace(":", "")
    digits = digits.removeprefix("0x").removeprefix("0X")
    if not _SERIAL.fullmatch(digits):
        raise UsageError(
            f"{text!r} is not a serial", hint="hex digits, as `openssl x509 -serial` prints them"
        )
    return int(digits, 16)


def _files(
    server: IngressServer, entries: Iterable[Denial]
) -> Iterator[tuple[tuple[str, str], str]]:
    names: dict[str, list[tuple[str, str]]] = {}
    for name in server.issuers:
        names.setdefault(loose_key(name), []).append((issuer_directory(server.trust, name), name))
    for one in entries:
        if one.issuer is not None and one.serial is not None:
            for directory, name in names.get(loose_key(one.issuer), ()):
                yield (directory, serial_text(one.serial)), name
