"""What was in effect last, in the place of files that cannot be used (edge: the state directory).

A running agent keeps what it serves when new files are no good. So does one that starts, or half a pair
on the disk would be an outage: what was served lies in the state directory. It is used only for an identity
or a trust that the spec has from the same place as then, and judged as of now like any other.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.agent import journal
from handclasp.agent.generation import recorded_sources, sources
from handclasp.agent.listed_trust import trust_files
from handclasp.agent.lists_in_force import copy_of
from handclasp.agent.rereading import IDENTITY, TRUST, identity_files, in_words, planned_with
from handclasp.certs.checks import check_pair
from handclasp.findings import Finding, Severity, errors_in
from handclasp.keys.load import load_identity, load_trust
from handclasp.nginx.versions import CURRENT
from handclasp.rotate.validity import older
from handclasp.spec.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.certs.material import IdentityMaterial, TrustMaterial
    from handclasp.nginx.state import StateDirectory

_OLDER_FIX = (
    "Put the newer certificate with its key there: it is taken without being asked. If the older one is"
    " meant, nothing needs to be done."
)


def at_fault(prepared: Prepared) -> dict[str, tuple[Finding, ...]]:
    """Unit (`rereading.units`) → why its files forbid a plan; nothing where anything else forbids one too."""
    known = dict(_units(prepared))
    faults: dict[str, list[Finding]] = {}
    for error in errors_in(prepared.findings):
        owners = [
            unit
            for unit, (files, own) in known.items()
            if error in own or error.where.file in files
        ]
        if not owners:
            return {}
        for unit in owners:
            faults.setdefault(unit, []).append(error)
    return {unit: tuple(findings) for unit, findings in faults.items()}


def may_start(prepared: Prepared) -> bool:
    """Whether there is a plan, or may be one with what was in effect last: the state directory is opened to
    find out."""
    if prepared.plan is not None:
        return True
    generations = Path(prepared.layout.generations)
    return bool(at_fault(prepared)) and (generations / CURRENT).is_symlink()


def at_start(prepared: Prepared, state: StateDirectory) -> Prepared:
    """What a start puts into effect: what lies on disk, but where that is no good what was in effect last.

    Says so, and what it takes that is older than that. `plan` is None where nothing can be.
    """
    usable = prepared if prepared.plan is not None else _with_last_good(prepared, state)
    if usable.kept:
        what, why = ", ".join(sorted(usable.kept)), "; ".join(dict.fromkeys(usable.kept.values()))
        journal.error("new files are not taken, the old ones serve on", what=what, why=why)
    told = tuple(_older(usable, state))
    for finding in told:
        journal.warning("started with an older certificate", why=finding.seen, fix=finding.fix)
    return replace(usable, findings=(*usable.findings, *told))


def keeping(prepared: Prepared, why: Mapping[str, str], state: StateDirectory) -> Prepared:
    """The same with these units (by name, and why) as they are in effect, and not as they lie on disk; `plan`
    is None when they do no longer. Their files are left out of `marks`, so that they are tried again."""
    material, files = prepared.material, set[Path]()
    identities, trusts = dict(material.identities), dict(material.trust)
    for unit in why:
        kind, _, name = unit.partition(" ")
        if kind == IDENTITY and (identity := _identity(name, prepared, state)) is not None:
            identities[name] = identity
            files.update(identity_files(identity, prepared.spec))
        if kind == TRUST and (trust := _trust(name, prepared, state)) is not None:
            trusts[name] = trust
            files.update(map(Path, material.trust[name].files))
    kept = replace(material, identities=identities, trust=trusts)
    return replace(
        planned_with(prepared, kept, (), prepared.read_at),
        marks={file: seen for file, seen in prepared.marks.items() if file not in files},
        kept={**prepared.kept, **why},
    )


def _with_last_good(prepared: Prepared, state: StateDirectory) -> Prepared:
    faults = at_fault(prepared)
    if not faults or prepared.waiting:  # what stands in for them is not to be served
        return prepared
    said, recorded = sources(prepared.spec), recorded_sources(state)

    def of_this_spec(unit: str) -> bool:
        kind, _, name = unit.partition(" ")
        there = {IDENTITY: "identities", TRUST: "trust"}[kind]
        return _can_be_kept(kind, name, prepared) and (
            said[there][name] == recorded.get(there, {}).get(name)
        )

    if not all(map(of_this_spec, faults)):
        return prepared
    kept = keeping(prepared, {unit: in_words(found) for unit, found in faults.items()}, state)
    return kept if kept.plan is not None else prepared


def _can_be_kept(kind: str, name: str, prepared: Prepared) -> bool:
    """Not what is in a token, is issued or given (whoever does is asked instead), or is the system's."""
    if kind == TRUST:
        trust = prepared.spec.trust[name]
        return trust.public is None and trust.spiffe is None
    identity = prepared.spec.identities[name]
    return identity.issuer is None and not isinstance(identity.key, Pkcs11Uri)


def _units(
    prepared: Prepared,
) -> Iterator[tuple[str, tuple[frozenset[str], frozenset[Finding]]]]:
    """Name, files, and what is wrong with them by themselves."""
    spec, material = prepared.spec, prepared.material
    for name, identity in material.identities.items():
        files = frozenset(map(str, identity_files(identity, spec)))
        own = frozenset((*identity.findings, *check_pair(identity)))
        yield f"{IDENTITY} {name}", (files, own)
    for name, trust in material.trust.items():
        files = frozenset(map(str, trust_files(name, spec.trust[name], prepared.layout.root)))
        yield f"{TRUST} {name}", (files, frozenset(trust.findings))


def _identity(name: str, prepared: Prepared, state: StateDirectory) -> IdentityMaterial | None:
    """As it is in effect; None where it is not."""
    version = state.current_identity(name)
    if version is None:
        return None
    folder, before = state.identity_path(name, version), prepared.material.identities[name]
    staged = load_identity(
        name,
        certificate=folder / "cert.pem",
        key=folder / "key.pem",
        allow_wide_mode=True,  # those of nginx's workers may read it
    )
    return replace(
        staged,
        certificate_file=before.certificate_file,
        key_file=before.key_file,
        findings=errors_in(staged.findings),
    )


def _trust(name: str, prepared: Prepared, state: StateDirectory) -> TrustMaterial | None:
    """As it is in effect, with the lists last in force; None where it is not, or those are not there."""
    version, copy = state.current_trust(name), copy_of(prepared.layout.root, name)
    listed = bool(prepared.spec.trust[name].crl)
    if version is None or (listed and not copy.is_file()):
        return None
    before = prepared.material.trust[name]
    bundle = state.trust_path(name, version) / "ca.pem"
    staged = load_trust(name, certificates=[bundle], crls=[copy] if listed else [])
    return replace(
        before,
        anchors=staged.anchors,
        anchor_files=staged.anchor_files,
        crls=staged.crls,
        crl_files=staged.crl_files,
        findings=errors_in(staged.findings),
    )


def _older(prepared: Prepared, state: StateDirectory) -> Iterator[Finding]:
    """Identities of the same place whose certificate began and ends before the one that was in effect.

    A start takes them: files that hold together are what the operator wants, and the state directory is no
    second opinion. Whoever has put an older pair back for a reason must get it without a running agent.
    """
    said, recorded = sources(prepared.spec), recorded_sources(state)
    there, then = said["identities"], recorded.get("identities", {})
    for name, version in prepared.plan.identities if prepared.plan else ():
        current = state.current_identity(name)
        if current in (None, version) or there[name] != then.get(name) or current is None:
            continue
        try:
            pem = (state.identity_path(name, current) / "cert.pem").read_bytes()
            leaf = x509.load_pem_x509_certificates(pem)[0]
        except (OSError, ValueError):
            continue
        fresh = prepared.material.identities[name]
        before = replace(fresh, leaf=leaf)
        finding = older(before, fresh, effect="the one that was in effect before this start")
        if finding is not None:
            yield replace(finding, severity=Severity.WARNING, fix=_OLDER_FIX)
