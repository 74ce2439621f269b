"""A trust with its revocation lists: those that files hold, and those that were fetched and are kept in the
state directory (edge: reads files)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent.own_ledger import withdrawn
from handclasp.certs.trust_checks import stale_crl
from handclasp.findings import Finding, Severity, found
from handclasp.keys.load import load_trust

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime
    from pathlib import PurePath

    from cryptography import x509

    from handclasp.certs.material import Material, TrustMaterial
    from handclasp.spec.lists import ListSource
    from handclasp.spec.model import Trust

LISTS = "lists"
"""Directory below the state directory: NAME/DIGEST.crl, the digest being that of the URL."""


def kept_list(state: PurePath, name: str, url: str) -> Path:
    """Where the list of this URL is kept for this trust."""
    return Path(state, LISTS, name, f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.crl")


def list_files(name: str, trust: Trust, state: PurePath) -> tuple[Path, ...]:
    """Every file that holds, or is to hold, lists of this trust."""
    return tuple(_file(name, source, state) for source in trust.crl)


def list_authorities(
    material: Material, name: str, links: Iterable[str]
) -> tuple[x509.Certificate, ...]:
    """The CAs whose lists count under a trust: its own, and those that links with it name in between."""
    between = [one for link in links for one in material.between(link)]
    return tuple(dict.fromkeys((*material.trust[name].all_anchors(), *between)))


def load_listed_trust(name: str, trust: Trust, state: PurePath) -> TrustMaterial:
    """The trust as its files are now.

    While a URL has never been fetched it has no lists at all, and the error `crl-not-fetched`: with some of
    its lists nginx would refuse everybody under the CA whose list is not there.
    """
    missing = [
        source.url
        for source in trust.crl
        if source.url and not kept_list(state, name, source.url).exists()
    ]
    material = load_trust(
        name,
        certificates=[Path(path) for path in trust.certificates],
        crls=[] if missing else list(list_files(name, trust, state)),
        public=trust.public,
    )
    told, unread = withdrawn(list_files(name, trust, state))
    material = replace(
        material,
        lists_kept=trust.crl_expired.keep_last,
        withdrawn=told,
        findings=(*material.findings, *unread),
    )
    if not missing:
        return material
    absent = tuple(
        found("crl-not-fetched", f"the revocation list of trust '{name}' at {url} is not here yet")
        for url in missing
    )
    return replace(material, crls=(), crl_files=(), findings=(*material.findings, *absent))


def fetched_later(material: Material, state: PurePath, *, today: datetime) -> Material:
    """What `run` will do about URLs: lists that were never fetched are a warning, for that is done before
    nginx starts; those that are good today will have been fetched anew when they would end."""

    def softened(one: Finding) -> Finding:
        if one.slug != "crl-not-fetched":
            return one
        return found(one.slug, one.seen, where=one.where, severity=Severity.WARNING)

    return replace(
        material,
        trust={
            name: replace(
                trust,
                findings=tuple(map(softened, trust.findings)),
                followed=frozenset(_followed(trust, Path(state, LISTS), today)),
            )
            for name, trust in material.trust.items()
        },
    )


def _followed(trust: TrustMaterial, folder: Path, today: datetime) -> Iterator[bytes]:
    for crl, file in zip(trust.crls, trust.crl_files, strict=False):
        if file.is_relative_to(folder) and stale_crl(crl, today) is None:
            yield crl.signature


def _file(name: str, source: ListSource, state: PurePath) -> Path:
    if source.url is not None:
        return kept_list(state, name, source.url)
    assert source.file is not None, "one of both is there (spec.lists)"
    return Path(source.file)
