"""Lists that were fetched, kept in the state directory: what is taken, and what is known of it (edge: files).

Beside NAME/DIGEST.crl lies DIGEST.json with what the server called that version, and when it was had.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.agent.list_fetch import NotFetchedError, Validators
from handclasp.agent.listed_trust import LISTS, kept_list
from handclasp.agent.newer_lists import take
from handclasp.certs.material import TrustMaterial
from handclasp.certs.private_keys import UNREADABLE
from handclasp.certs.read import LIST_LIMIT, read_objects
from handclasp.certs.trust_checks import stale_crl
from handclasp.keys.load import load_trust
from handclasp.keys.system_trust import read_system_bundle
from handclasp.nginx import claim
from handclasp.nginx.durable import Access, ensure_directory, replace_file, reported
from handclasp.rotate.list_schedule import shortest_life

if TYPE_CHECKING:
    from pathlib import PurePath

    from cryptography import x509

    from handclasp.rotate.list_schedule import Life
    from handclasp.spec.model import Spec

_FILE, _FOLDER = Access(0o600), Access(0o700)
_SHOWN = 40
_UNKNOWN = Validators()


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of one URL. `life` is that of the list that ends first; None while there is none."""

    life: Life | None = None
    validators: Validators = _UNKNOWN
    fetched: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A URL of a trust; `place` is its path in the spec."""

    trust: str
    url: str
    place: tuple[str | int, ...]


def sources(spec: Spec) -> list[Source]:
    """Every URL of revocation lists in a spec."""
    return [
        Source(name, entry.url, ("trust", name, "crl", position))
        for name, trust in spec.trust.items()
        for position, entry in enumerate(trust.crl)
        if entry.url is not None
    ]


def kept(state: PurePath, source: Source) -> Kept:
    """What is there of before. Never raises: what cannot be read is not there."""
    file = kept_list(state, source.trust, source.url)
    lists = _lists(file)
    if not lists:
        return Kept()
    try:
        told = json.loads(file.with_suffix(".json").read_bytes())
        at = datetime.fromisoformat(told["fetched"]).astimezone(UTC)
        return Kept(
            shortest_life(lists), Validators(told.get("etag"), told.get("last_modified")), at
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Kept(shortest_life(lists))


def open_store(state: Path, *, passable: bool) -> None:
    """Makes the place, before the state directory is opened for good. Raises EnvironmentFault."""
    claim.make_directory(state, passable=passable)
    with reported("keep revocation lists in", state):
        claim.check_ours(state)
        ensure_directory(state / LISTS, _FOLDER)


def accept(
    state: Path, spec: Spec, source: Source, body: bytes, validators: Validators, now: datetime
) -> Kept:
    """Takes what was fetched in place of what is kept, as far as it is as good: signed by a CA known under
    the trust, not older, not run out while that before has not.

    Raises NotFetchedError when something is wrong with it, also where a part was taken; EnvironmentFault
    when it cannot be written.
    """
    file = kept_list(state, source.trust, source.url)
    fetched = read_objects(body, source=source.url, most=LIST_LIMIT).crls
    if not fetched:
        raise NotFetchedError(f"what came is no revocation list: it begins with {_begin(body)}")
    before = TrustMaterial(name=source.trust, crls=_lists(file))
    fresh = TrustMaterial(name=source.trust, crls=tuple(fetched))
    try:
        found = take(before, fresh, _authorities(spec, source.trust), now=now)
        told = list(found.problems)
        told += _not_in_force(found.newer.trust.crls if found.newer else (), now)
    except UNREADABLE as error:
        raise NotFetchedError(f"a list cannot be read: {error}") from None
    lists = found.newer.trust.crls if found.newer else before.crls
    if found.newer is not None:
        _write(file, b"".join(crl.public_bytes(Encoding.PEM) for crl in lists))
    if told:
        raise NotFetchedError("; ".join(told))
    noted = {
        "url": source.url,
        "etag": validators.etag,
        "last_modified": validators.last_modified,
        "fetched": now.isoformat(),
    }
    _write(file.with_suffix(".json"), json.dumps(noted).encode() + b"\n")
    return Kept(shortest_life(lists), validators, now)


def server_authorities(spec: Spec, source: Source) -> bytes | None:
    """PEM of the CAs that an https server is verified with; None where there are none."""
    (entry,) = (one for one in spec.trust[source.trust].crl if one.url == source.url)
    if entry.trust is None:
        return read_system_bundle()[0]
    if (trust := spec.trust.get(entry.trust)) is None:
        raise NotFetchedError(f"there is no trust '{entry.trust}' to verify the server with")
    files = [Path(path) for path in trust.certificates]
    material = load_trust(entry.trust, certificates=files, public=trust.public)
    return material.bundle_pem() if material.usable else None


def _authorities(spec: Spec, name: str) -> tuple[x509.Certificate, ...]:
    """CAs whose lists count under a trust: its own, and those that links with it name in between."""
    trust = spec.trust[name]
    files = [Path(path) for path in trust.certificates]
    for link in spec.ingress:
        if link.clients.trust == name:
            files += [Path(path) for path in link.clients.intermediates]
    return tuple(load_trust(name, certificates=files, public=trust.public).all_anchors())


def _lists(file: Path) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        return tuple(read_objects(file.read_bytes(), source=str(file), most=LIST_LIMIT).crls)
    except OSError:
        return ()


def _not_in_force(lists: tuple[x509.CertificateRevocationList, ...], now: datetime) -> list[str]:
    return [f"the list that came {told}" for crl in lists if (told := stale_crl(crl, now))]


def _write(file: Path, content: bytes) -> None:
    with reported("keep the revocation list", file):
        ensure_directory(file.parent.parent, _FOLDER)
        ensure_directory(file.parent, _FOLDER)
        replace_file(file, content, _FILE)


def _begin(body: bytes) -> str:
    return repr(body[:_SHOWN].decode("ascii", "backslashreplace")) if body else "nothing"
