"""Issued certificates and their keys, in the state directory (edge).

::

    issued/<identity>/<n>/   cert.pem (leaf first), key.pem (not for a key in a token), issued.json: for what
                             it was issued and when
    issued/<identity>/current   names one of them, moved by rename
    issued/lock              held while something is written

All of it is the owner's alone: what nginx reads are copies, as of every other identity. A version never
changes; the last ones are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs.checks import check_pair
from handclasp.certs.secret import Secret
from handclasp.certs.serialize import encode_key
from handclasp.errors import EnvironmentFault
from handclasp.findings import errors_in
from handclasp.issuers.schedule import Span
from handclasp.keys.load import load_identity, load_token_identity
from handclasp.nginx import claim, durable
from handclasp.nginx.versions import CURRENT, Versions, directories

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cryptography import x509

    from handclasp.certs.material import IdentityMaterial, TokenKey
    from handclasp.findings import Finding
    from handclasp.issuers.judge import Given

ISSUED = "issued"
CERTIFICATE, KEY, RECORD = "cert.pem", "key.pem", "issued.json"
_KEPT = 3
_PATIENCE_SECONDS, _PAUSE_SECONDS = 30.0, 0.02
_PRIVATE = durable.Access(0o700)
_SECRET = durable.Access(0o600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What an identity has, as `current` names it. `record` is issued.json; `asked` the issuer's wish for
    the next renewal."""

    version: str
    material: IdentityMaterial
    record: Mapping[str, Any]

    @property
    def order(self) -> object:
        """For what it was issued (issuers.request.Order)."""
        return self.record.get("order")

    @property
    def asked(self) -> datetime | None:
        """When the issuer wants to be asked again."""
        return _moment(self.record.get("renew_at"))

    @property
    def span(self) -> Span | None:
        """When it can be used; None for what is broken."""
        leaf = self.material.leaf
        if leaf is None:
            return None
        whole = (leaf, *self.material.chain)
        end = min(one.not_valid_after_utc for one in whole)
        begin = _moment(self.record.get("obtained")) or leaf.not_valid_before_utc
        return Span(begin=min(begin, end), end=end)

    @property
    def broken(self) -> bool:
        """There is no certificate and key that belong together."""
        wrong = errors_in((*self.material.findings, *check_pair(self.material)))
        return not self.material.usable or bool(wrong)


def place_of(state: str | os.PathLike[str], identity: str) -> Path:
    """Where versions of an identity are."""
    return Path(state) / ISSUED / identity


def files_of(state: str | os.PathLike[str], identity: str) -> tuple[Path, Path]:
    """Certificate and key in use."""
    current = place_of(state, identity) / CURRENT
    return current / CERTIFICATE, current / KEY


def load_issued(
    state: str | os.PathLike[str],
    identity: str,
    token: TokenKey | None = None,
    token_findings: tuple[Finding, ...] = (),
) -> IdentityMaterial:
    """What is in use, as from any file: with findings where something is missing.

    The link is followed once: certificate and key are of the same version, whoever moves it meanwhile.
    """
    certificate, key = files_of(state, identity)
    folder = place_of(state, identity)
    target = durable.link_target(folder / CURRENT)
    now = folder / (target or CURRENT)
    had = _moment(_record(now).get("obtained"))
    if token is not None:
        loaded = load_token_identity(
            identity, certificate=now / CERTIFICATE, token=token, findings=token_findings
        )
        key = certificate
    else:
        loaded = load_identity(identity, certificate=now / CERTIFICATE, key=now / KEY)
    return replace(loaded, certificate_file=certificate, key_file=key, renewed=True, had_since=had)


def read_kept(
    state: str | os.PathLike[str], identity: str, token: TokenKey | None = None
) -> Kept | None:
    """What `current` names; None when there is nothing, or nothing that can be told."""
    folder = place_of(state, identity)
    try:
        version = durable.link_target(folder / CURRENT)
        if version is None:
            return None
    except OSError:
        return None
    if not (record := _record(folder / version)):
        return None
    return Kept(version=version, material=load_issued(state, identity, token), record=record)


def _record(version: Path) -> Mapping[str, Any]:
    """Empty where it cannot be told."""
    try:
        record = json.loads((version / RECORD).read_bytes())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def stamp_of(state: str | os.PathLike[str], identity: str) -> object:
    """Something that is another one once the files in use are others."""
    folder = place_of(state, identity)
    stamps: list[object] = []
    for name in (CERTIFICATE, KEY, RECORD):
        try:
            seen = (folder / CURRENT / name).stat()
        except OSError as problem:
            stamps.append(problem.errno)
        else:
            stamps.append((seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns))
    return tuple(stamps)


def write_issued(
    state: str | os.PathLike[str],
    identity: str,
    given: Given,
    *,
    order: Mapping[str, Any],
    obtained: datetime,
    renew_at: datetime | None = None,
    passable: bool = False,
) -> str:
    """A new version, put in use by one rename once it is on disk; its number.

    `passable`: directories that are missing above the state directory are made so that nginx's workers,
    under another account, can pass through them.
    Raises EnvironmentFault: the directory cannot be written, or another program writes there for long.
    """
    record = {
        "order": dict(order),
        "obtained": obtained.isoformat(),
        "renew_at": None if renew_at is None else renew_at.isoformat(),
    }
    files = {
        CERTIFICATE: _pem((given.leaf, *given.chain)),
        RECORD: json.dumps(record, indent=1).encode() + b"\n",
    }
    if isinstance(given.key, Secret):
        files[KEY] = encode_key(given.key, Encoding.PEM)
    place = place_of(state, identity)
    claim.make_directory(Path(state), passable=passable)
    with durable.reported("keep an issued certificate in", place), _writing(place.parent):
        durable.ensure_directory(place, _PRIVATE)
        durable.fsync_directory(place.parent)
        durable.sweep(place)
        versions = Versions(place, _PRIVATE, lambda _: _SECRET)
        version = str(
            max((int(name) for name in versions.names() if name.isdigit()), default=0) + 1
        )
        versions.stage(version, files)
        _point(versions.link, version)
        with contextlib.suppress(OSError):  # tidying is no reason to call the renewal off
            versions.prune(_KEPT, ())
    return version


def identities_kept(state: str | os.PathLike[str]) -> tuple[str, ...]:
    """The identities that something was ever issued for."""
    return tuple(path.name for path in directories(Path(state) / ISSUED))


def remove_issued(state: str | os.PathLike[str], identity: str) -> None:
    """All that was issued for an identity, with its keys. Raises EnvironmentFault."""
    place = place_of(state, identity)
    with durable.reported("remove what was issued in", place), _writing(place.parent):
        # First what makes it something to be used: a removal may be interrupted.
        (place / CURRENT).unlink(missing_ok=True)
        shutil.rmtree(place)
        durable.fsync_directory(place.parent)


def _pem(certificates: tuple[x509.Certificate, ...]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def _point(link: Path, version: str) -> None:
    fresh = durable.fresh_name(link)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(version)
    fresh.rename(link)
    durable.fsync_directory(link.parent)


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    """One writer at a time: an agent and another that starts on the same directory."""
    durable.ensure_directory(place, _PRIVATE)
    lock = _locked(place / "lock")
    try:
        yield
    finally:
        os.close(lock)


def _locked(path: Path) -> int:
    """Taken for the few moments that a write takes, so it is waited for."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return claim.take_lock(path)
        except EnvironmentFault:
            if time.monotonic() > until:
                raise
        time.sleep(_PAUSE_SECONDS)


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
