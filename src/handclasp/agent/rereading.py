"""The plan in effect with material that changed on disk (edge).

The spec is not read again: it may be in the middle of an edit. Only what changed is judged as of now; what is
wrong with one identity or trust, or has expired meanwhile, keeps no other one from being renewed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from handclasp.agent.caller_checks import check_callers
from handclasp.agent.list_order import signer_of
from handclasp.agent.listed_trust import trust_files
from handclasp.agent.material_stamps import mark
from handclasp.agent.newer_lists import take, with_lists
from handclasp.agent.prepare import Prepared, load_material
from handclasp.certs import facts
from handclasp.certs.checks import check_pair
from handclasp.certs.material import Material
from handclasp.findings import Finding, Where, errors_in, found
from handclasp.identity.chain import Authorities
from handclasp.nginx.plan import Inputs, make_plan
from handclasp.rotate.gather import Unit
from handclasp.rotate.validity import older

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from cryptography import x509

    from handclasp.certs.material import IdentityMaterial, TrustMaterial
    from handclasp.nginx.plan import Kind
    from handclasp.spec.model import Spec

Objections: TypeAlias = "Callable[[Spec, Material], Iterable[Finding]]"
IDENTITY, TRUST, BETWEEN = "identity", "trust", "intermediates of"


@dataclass(frozen=True, slots=True)
class Reread:
    """`prepared` is None when nothing of it can be used; `refused`: unit → why it stays as it was."""

    prepared: Prepared | None
    refused: Mapping[str, tuple[Finding, ...]]


def no_objections(_: Spec, __: Material) -> Iterable[Finding]:
    """To whoever means it."""
    return ()


def units(prepared: Prepared) -> Iterator[Unit]:
    """Files that belong together, of all identities and trusts that are in use."""
    spec, plan = prepared.spec, prepared.plan
    if plan is None:
        return
    for name, _ in plan.identities:
        yield Unit(f"{IDENTITY} {name}", identity_files(prepared.material.identities[name], spec))
    for name, _ in plan.trust:
        trust = spec.trust[name]
        if files := trust_files(name, trust, prepared.layout.root):
            yield Unit(f"{TRUST} {name}", tuple(dict.fromkeys(files)))
    for link in spec.ingress:
        if link.clients.intermediates:
            names = tuple(Path(file) for file in link.clients.intermediates)
            yield Unit(f"{BETWEEN} {link.name}", names)


def unit_names(prepared: Prepared | None) -> set[str] | None:
    """Names of them; None before anything is in effect."""
    return None if prepared is None else {unit.name for unit in units(prepared)}


def identity_files(material: IdentityMaterial, spec: Spec) -> tuple[Path, ...]:
    """Certificate, key and password, as far as they are files."""
    identity = spec.identities[material.name]
    files = [material.certificate_file]
    if material.token is None:
        files.append(material.key_file)
    if identity.password is not None and identity.password.file is not None:
        files.append(identity.password.file)
    return tuple(dict.fromkeys(map(Path, files)))


def why_not_whole(prepared: Prepared, unit: str) -> str | None:
    """What is wrong with the files of a unit together, as they lie there; None when nothing is."""
    fresh = _load(prepared, {unit})
    # Any pair can be judged as soon as it is written; the rest takes the links that use it.
    mixed = [finding for one in fresh.identities.values() for finding in check_pair(one)]
    return in_words(errors_in([*fresh.findings(), *mixed])) or None


def in_words(findings: Iterable[Finding]) -> str:
    """One sentence for each, which names its file; empty without any."""
    return "; ".join(
        one.seen if not (file := one.where.file) or file in one.seen else f"{file}: {one.seen}"
        for one in findings
    )


def reread(
    prepared: Prepared,
    in_force: Material,
    changed: Collection[str],
    now: datetime,
    objections: Objections = no_objections,
) -> Reread:
    """The same plan with these units (by name) as they lie on disk, as far as they can be used.

    `in_force`: the material of the plan with the revocation lists that callers are held to by now.
    `objections` says what speaks against the plan's material with that of one unit in its place.
    """
    files = [file for unit in units(prepared) if unit.name in changed for file in unit.files]
    marks = {**prepared.marks, **mark(files)}
    fresh = _load(prepared, changed)
    parts = {
        unit: one for unit in changed if (one := _only(unit, fresh, in_force, now)) is not None
    }
    refused = {
        unit: wrong
        for unit, one in parts.items()
        if (wrong := tuple(errors_in(_by_itself(prepared, one, objections))))
    }

    def planned(wanted: Collection[str]) -> Prepared:
        merged = _merged(prepared.material, [parts[unit] for unit in wanted])
        return planned_with(prepared, merged, wanted, now)

    good = [unit for unit in parts if unit not in refused]
    whole = planned(good) if good else None
    if whole is not None and whole.plan is None and len(good) > 1:
        # Which of them it is: the others are not to wait for it.
        for unit in good:
            if (alone := planned([unit])).plan is None:
                refused[unit] = tuple(errors_in(alone.findings))
        good = [unit for unit in good if unit not in refused]
        whole = planned(good) if good else None
    if whole is not None and whole.plan is None:
        refused |= dict.fromkeys(good, tuple(errors_in(whole.findings)))
        whole = None
    if whole is not None:
        kept = {unit: why for unit, why in prepared.kept.items() if unit not in good}
        whole = replace(whole, marks=marks, kept=kept)
    return Reread(whole, refused)


def _load(prepared: Prepared, changed: Collection[str]) -> Material:
    """What lies on disk of these."""
    spec = prepared.spec

    def wanted(kind: str, names: Mapping[str, object]) -> dict[str, object]:
        return {name: value for name, value in names.items() if f"{kind} {name}" in changed}

    part = spec.model_copy(
        update={
            "identities": wanted(IDENTITY, spec.identities),
            "trust": wanted(TRUST, spec.trust),
            "ingress": [one for one in spec.ingress if f"{BETWEEN} {one.name}" in changed],
        }
    )
    return load_material(part, prepared.tokens, prepared.layout)


def _only(unit: str, fresh: Material, in_force: Material, now: datetime) -> Material | None:
    """The material of one unit; a trust with lists that are never older than those in force."""
    kind, _, name = unit.rpartition(" ")
    if kind == IDENTITY and name in fresh.identities:
        return Material(identities={name: fresh.identities[name]}, trust={})
    if kind == TRUST and name in fresh.trust:
        trust = _with_lists(fresh.trust[name], in_force.trust[name], now)
        return Material(identities={}, trust={name: trust})
    if kind == BETWEEN and name in fresh.intermediates:
        return Material(identities={}, trust={}, intermediates={name: fresh.intermediates[name]})
    return None


def _with_lists(fresh: TrustMaterial, before: TrustMaterial, now: datetime) -> TrustMaterial:
    """With the newest of both. Those before of CAs that are no longer there go with them; those that came of
    CAs that are not there stay, for checks to refuse: without them there might be none left."""
    authorities = fresh.all_anchors()
    newer = take(before, fresh, authorities, now=now).newer
    lists = newer.trust.crls if newer else before.crls
    known = [one for one in lists if signer_of(one, authorities) is not None]
    strange = [one for one in fresh.crls if signer_of(one, authorities) is None]
    return with_lists(fresh, (*known, *strange), (fresh, before))


def older_identities(current: Material, new: Material) -> Iterator[Finding]:
    """Those of the new ones that began and end before the ones in effect."""
    for name, identity in new.identities.items():
        before = current.identities.get(name)
        if before is not None and before is not identity and (finding := older(before, identity)):
            yield finding


def strange_servers(
    current: Material, new: Material, servers: Collection[str], now: datetime
) -> Iterator[Finding]:
    """Those of these identities whose new certificate no trust of the spec leads to, though one leads to the
    certificate in effect."""
    changed = [
        (current.identities[name], new.identities[name])
        for name in servers
        if new.identities[name] is not current.identities[name]
    ]
    bundles = [one.anchors for one in new.trust.values() if one.anchors] if changed else []
    for before, after in changed:
        if _led_to(before, bundles, now) and not _led_to(after, bundles, now):
            assert after.leaf is not None
            seen = (
                f"no trust of this spec leads to {facts.label(after.leaf)} of identity {after.name},"
                " as one does to the certificate in effect"
            )
            where = Where(str(after.certificate_file))
            yield found("server-certificate-of-another-ca", seen, where=where)


def _led_to(
    identity: IdentityMaterial, bundles: Iterable[tuple[x509.Certificate, ...]], now: datetime
) -> bool:
    leaf = identity.leaf
    return leaf is not None and any(
        Authorities(anchors, identity.chain).chain(leaf, now=now) is not None for anchors in bundles
    )


def _by_itself(prepared: Prepared, new: Material, objections: Objections) -> Iterator[Finding]:
    """What can be said of one unit without making a plan."""
    yield from new.findings()
    if not errors_in(new.findings()):
        yield from objections(prepared.spec, _merged(prepared.material, [new]))


def _merged(material: Material, parts: Collection[Material]) -> Material:
    identities, trust = dict(material.identities), dict(material.trust)
    intermediates = dict(material.intermediates)
    for one in parts:
        identities |= one.identities
        trust |= one.trust
        intermediates |= one.intermediates
    return replace(material, identities=identities, trust=trust, intermediates=intermediates)


def planned_with(
    prepared: Prepared, material: Material, changed: Collection[str], now: datetime
) -> Prepared:
    """The plan with this material. Its `read_at` stays: revocation lists read since count as newer."""
    moments: dict[tuple[Kind, str], datetime] = {
        **{("identity", name): prepared.read_at for name in material.identities},
        **{("trust", name): prepared.read_at for name in material.trust},
        **prepared.moments,
    }
    for unit in changed:
        kind, _, name = unit.rpartition(" ")
        if kind == IDENTITY:
            moments["identity", name] = now
        elif kind == TRUST:
            moments["trust", name] = now
    tokens = prepared.tokens
    result = make_plan(
        Inputs(
            prepared.loaded,
            material,
            prepared.facts,
            prepared.machine,
            prepared.addresses,
            now,
            tokens.leading,
            tokens.module,
            moments,
        )
    )
    callers = check_callers(prepared.loaded, material, result.plan, now=prepared.read_at)
    return replace(
        prepared,
        material=material,
        moments=moments,
        plan=None if errors_in(callers) else result.plan,
        findings=tuple(dict.fromkeys((*prepared.checked, *result.findings, *callers))),
    )
