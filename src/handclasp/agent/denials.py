"""Certificates refused on somebody's word, kept in `denied.json` of the state directory (edge).

A file that cannot be read is never taken for an empty one: the agent does not start with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from handclasp.backend.certificate import serial_text
from handclasp.certs import dn
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.identity.denied import Denied, denied_certificate, denied_serial
from handclasp.identity.names import loose_key
from handclasp.nginx.durable import Access, replace_file, reported
from handclasp.nginx.render.denied import issuer_directory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cryptography import x509

    from handclasp.nginx.parts import IngressServer, Plan

FILE = "denied.json"
_SERIAL = re.compile(r"-?[0-9A-Fa-f]+")
_ACCESS = Access(0o600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """One certificate: by `sha256` (lower-case hex), by `issuer` (RFC 4514) with `serial`, or by both.

    `authority`: it is a CA, and what it issued is meant. `since` is ISO 8601; `why` is for people.
    """

    since: str
    sha256: str | None = None
    issuer: str | None = None
    serial: int | None = None
    subject: str | None = None
    why: str | None = None
    authority: bool = False

    @property
    def key(self) -> tuple[str | None, str | None, int | None]:
        """What makes two of them the same."""
        return self.sha256, loose_key(self.issuer) if self.issuer else None, self.serial

    def meets(self, other: Denial) -> bool:
        """Whether both name one certificate, by whatever they have in common."""
        by_digest = self.sha256 is not None and self.sha256 == other.sha256
        return by_digest or (self.serial is not None and self.key[1:] == other.key[1:])

    def denied(self) -> Denied:
        """As the policies ask for it. Raises ValueError for what names no certificate."""
        one = Denied()
        if self.sha256 is not None:
            one |= denied_certificate(self.sha256)
        if self.issuer is not None and self.serial is not None:
            one |= denied_serial(self.issuer, self.serial)
        if one == Denied():
            raise ValueError("a denial names a SHA-256, or an issuer and a serial")
        return one


def read_denial(told: dict[str, Any]) -> Denial:
    """From JSON. Raises ValueError."""
    known = set(Denial.__dataclass_fields__)
    if unknown := told.keys() - known:
        raise ValueError(f"unknown key {min(unknown)!r}")
    words = ("sha256", "issuer", "since", "subject", "why")
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
        self.entries: tuple[Denial, ...] = ()

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
            self.entries = tuple(read_denial(one) for one in json.loads(text)["denied"])
        except (ValueError, TypeError, KeyError) as error:
            raise self._unreadable(str(error)) from error

    def add(self, denial: Denial) -> bool:
        """Whether it is a new one. Raises EnvironmentFault when it could not be written; it is among the
        entries all the same, so that it can be in force until the agent ends."""
        if any(one.key == denial.key for one in self.entries):
            self._write(self.entries)  # what was told before may not have been written then
            return False
        self.entries = (*self.entries, denial)
        self._write(self.entries)
        return True

    def remove(self, denial: Denial) -> bool:
        """Every denial of the same certificate; whether there was one. Raises EnvironmentFault with all of
        them still there."""
        rest = tuple(one for one in self.entries if not one.meets(denial))
        if len(rest) == len(self.entries):
            return False
        self._write(rest)
        self.entries = rest
        return True

    def denied(self) -> Denied:
        """All of them, as the policies ask for it."""
        return joined(self.entries)

    def _write(self, entries: tuple[Denial, ...]) -> None:
        content = json.dumps({"denied": [asdict(one) for one in entries]}, indent=1) + "\n"
        with reported("write the denials in", self._path.parent):
            replace_file(self._path, content.encode(), _ACCESS)

    def _unreadable(self, why: str) -> EnvironmentFault:
        return EnvironmentFault(
            f"{self._path} cannot be read, so nobody knows who is denied: {why}",
            hint="mend it or put it back; to begin without any denial, write"
            """ {"denied": []} into it""",
        )


def joined(entries: Iterable[Denial]) -> Denied:
    """Several as one."""
    whole = Denied()
    for one in entries:
        whole |= one.denied()
    return whole


def denied_files(plan: Plan, entries: Iterable[Denial]) -> dict[tuple[str, str], str]:
    """(issuer's directory, serial) → issuer's name, of each denial that a link without authorizer can
    enforce."""
    return {
        file: name
        for server in plan.ingress
        if server.authorizer is None
        for entry in entries
        for file, name in _files(server, entry).items()
    }


def holds(entries: Iterable[Denial], issuer: str, serial: str) -> bool:
    """Whether a denial stands for this certificate."""
    named = loose_key(issuer)
    return any(
        entry.serial is not None
        and serial_text(entry.serial) == serial
        and entry.issuer is not None
        and loose_key(entry.issuer) == named
        for entry in entries
    )


def enforced(
    server: IngressServer, denial: Denial, authorities: Iterable[x509.Certificate] = ()
) -> str | None:
    """Why this link does not, or may not, refuse the certificate from the next request on; None when it
    does. `authorities` are the CAs known there: a serial may be one's."""
    native = server.authorizer is None
    if denial.authority or (native and any(map(denial.denied().holds_authority, authorities))):
        return _spared(server, denial)
    if not native and denial.sha256 is not None:
        return None
    if denial.serial is None or denial.issuer is None:
        return (
            "nginx decides there by itself and knows no SHA-256:"
            " deny the certificate's file, or its serial and issuer"
        )
    if _files(server, denial):
        return None
    told = f"the issuer {denial.issuer} is not among the CAs known there"
    if turned := _turned(server, denial.issuer):
        return f"{told}; turned round it is: --issuer '{turned}'"
    if not native:
        return f"{told}: a certificate is refused only if its issuer is called just so"
    return f"{told}: name it under `clients.intermediates`"


def parse_serial(text: str) -> int:
    """Hex as openssl and nginx print it, colons allowed. Raises UsageError."""
    digits = text.replace(":", "").removeprefix("0x").removeprefix("0X")
    if not _SERIAL.fullmatch(digits):
        raise UsageError(
            f"{text!r} is not a serial", hint="hex digits, as `openssl x509 -serial` prints them"
        )
    return int(digits, 16)


def _spared(server: IngressServer, denial: Denial) -> str | None:
    """Why what a CA issued gets in there all the same; None when it does not."""
    if server.authorizer is None:
        return (
            "nginx decides there by itself: what a CA issued is refused once its issuer's revocation list"
            " says so, or once it is no longer under the trust, and HUP was sent"
        )
    known = {loose_key(name) for name in server.issuers}
    if denial.subject is None or loose_key(denial.subject) not in known:
        return "this CA is not known there: name it under `clients.intermediates`"
    return None


def _turned(server: IngressServer, issuer: str) -> str | None:
    """The CA whose name this is in the order of encoding, as openssl prints it."""
    try:
        name = dn.parse(issuer)
    except dn.DistinguishedNameError:
        return None
    wanted = loose_key(str(dn.DistinguishedName(tuple(reversed(name.rdns)))))
    return next((one for one in server.issuers if loose_key(one) == wanted), None)


def _files(server: IngressServer, denial: Denial) -> dict[tuple[str, str], str]:
    if denial.issuer is None or denial.serial is None:
        return {}
    wanted = loose_key(denial.issuer)
    serial = serial_text(denial.serial)
    return {
        (issuer_directory(server.trust, name), serial): name
        for name in server.issuers
        if loose_key(name) == wanted
    }
