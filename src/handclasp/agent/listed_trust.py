"""A trust with its revocation lists: those that files hold, and those that were fetched and are kept in the
state directory (edge: reads files)."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent.own_ledger import withdrawn
from handclasp.agent.spiffe_bundles import bundle_files, bundle_findings, with_stand_in
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


def trust_files(name: str, trust: Trust, state: PurePath) -> tuple[Path, ...]:
    """Every file that a trust is made of, or is to be."""
    return (
        *map(Path, trust.certificates),
        *bundle_files(name, trust, state),
        *list_files(name, trust, state),
    )


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
    bundles = bundle_files(name, trust, state)
    of_bundles = tuple(one for file in bundles for one in bundle_findings(name, file))
    material = load_trust(
        name,
        certificates=[*map(Path, trust.certificates), *(file for file in bundles if file.exists())],
        crls=[] if missing else list(list_files(name, trust, state)),
        public=trust.public,
    )
    told, unread = withdrawn(list_files(name, trust, state))
    material = replace(
        material,
        lists_kept=trust.crl_expired.keep_last,
        withdrawn=told,
        renewed=trust.spiffe is not None,
        findings=(*material.findings, *unread, *of_bundles),
    )
    if not missing:
        return material
    absent = tuple(
        found("crl-not-fetched", f"the revocation list of trust '{name}' at {url} is not here yet")
        for url in missing
    )
    return replace(material, crls=(), crl_files=(), findings=(*material.findings, *absent))


def fetched_later(material: Material, state: PurePath, *, today: datetime) -> Material:
    """What `run` will do: lists that were never fetched and SPIFFE bundles that were never received are a
    warning, for that is done before nginx starts; lists that are good today will have been fetched anew when
    they would end."""

    def softened(one: Finding) -> Finding:
        if one.slug != "crl-not-fetched":
            return one
        return found(one.slug, one.seen, where=one.where, severity=Severity.WARNING)

    def later(trust: TrustMaterial) -> TrustMaterial:
        trust = with_stand_in(trust, today)
        return replace(
            trust,
            findings=tuple(map(softened, trust.findings)),
            followed=frozenset(_followed(trust, Path(state, LISTS), today)),
        )

    return replace(material, trust={name: later(one) for name, one in material.trust.items()})


def _followed(trust: TrustMaterial, folder: Path, today: datetime) -> Iterator[bytes]:
    if trust.renewed:
        for ca in trust.anchors:
            if ca.not_valid_before_utc <= today <= ca.not_valid_after_utc:
                yield ca.signature
    for crl, file in zip(trust.crls, trust.crl_files, strict=False):
        if file.is_relative_to(folder) and stale_crl(crl, today) is None:
            yield crl.signature


def _file(name: str, source: ListSource, state: PurePath) -> Path:
    if source.url is not None:
        return kept_list(state, name, source.url)
    assert source.file is not None, "one of both is there (spec.lists)"
    return Path(source.file)
