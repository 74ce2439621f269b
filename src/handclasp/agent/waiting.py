"""Identities that wait for their issuer: nothing that it gave is there to be used (edge: looks for it).

So that the rest of a spec can be judged meanwhile, something like what will be issued stands in for it; it is
shown to the plan's rules and to nobody else.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.agent.issued import files_of, read_kept
from handclasp.ca.newkeys import new_key
from handclasp.ca.profile import (
    Leaf,
    Signer,
    Use,
    Validity,
    leaf_certificate,
    root_certificate,
    subject_name,
)
from handclasp.certs import facts
from handclasp.certs.certificate_checks import check_dates
from handclasp.certs.material import IdentityMaterial, Material
from handclasp.certs.secret import Secret
from handclasp.findings import Finding, FindingsError, Severity, found
from handclasp.issuers.readiness import unready
from handclasp.issuers.request import general_names, order_for
from handclasp.spec.issuers import CommandIssuer, LocalIssuer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from handclasp.agent.issued import Kept
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.tokens import TokensSeen
    from handclasp.findings import Where
    from handclasp.issuers.request import Order
    from handclasp.nginx.layout import Layout
    from handclasp.spec.issuer import IssuerSection
    from handclasp.spec.load import LoadedSpec

_LIFETIME = timedelta(days=90)
_TOLD = frozenset({"name-not-covered", "ip-san-missing", "san-missing", "san-ip-as-dns"})
"""What is said of a stand-in that will be true of the real one: its names are those of the spec."""

_NAMELESS = (x509.UniformResourceIdentifier("spiffe://stand-in.invalid/workload"),)
"""For an issuer that knows the names by itself."""


def why_waiting(
    loaded: LoadedSpec, layout: Layout, tokens: TokensSeen, now: datetime
) -> Mapping[str, tuple[Finding, ...]]:
    """Identity → why nothing that was issued for it can be used; those that can be are not in it.

    An info, since it will be issued; an error for names that no certificate can have.
    """
    waiting = {}
    for name, written in loaded.spec.identities.items():
        section = loaded.spec.issuers.get(written.issuer or "")
        if section is None:
            continue
        order = order_for(name, written, section.type)
        seen = tokens.keys.get(name)
        kept = read_kept(layout.root, name, seen.key if seen else None)
        if (why := not_to_be_used(kept, order, now)) is None:
            continue
        where = loaded.where("identities", name, "issuer")
        told = f"identity '{name}' is not issued yet by {order.issuer}: {why}"
        findings = [found("identity-not-issued-yet", told, where=where)]
        try:
            general_names(written.names or ())
        except ValueError as problem:
            where = loaded.where("identities", name, "names")
            findings.append(found("spec-invalid-value", str(problem), where=where))
        if kept is not None:
            findings += _above(kept, loaded.where("identities", name, "issuer"), now)
        waiting[name] = tuple(findings)
    return waiting


def not_to_be_used(kept: Kept | None, order: Order, now: datetime) -> str | None:
    """Why what is kept cannot be used; None when it can."""
    if kept is None:
        return "nothing was issued so far"
    if kept.broken or kept.span is None:
        return "what was issued cannot be read any more, or its key is another one"
    if not order.may_serve(kept.order):
        return "what was issued is for other names, another use or another key"
    if kept.span.end <= now:
        return f"what was issued ended on {facts.date(kept.span.end)}"
    return None


def issuer_findings(prepared: Prepared, now: datetime) -> tuple[Finding, ...]:
    """Issuers that could not issue at `now`, as far as that can be known without asking them: an error where
    an identity waits for it, else a warning, for what it gave goes on serving."""
    spec, told = prepared.spec, []
    for name, section in spec.issuers.items():
        users = [one for one, written in spec.identities.items() if written.issuer == name]
        why = _unusable(section, Path(prepared.loaded.source).absolute().parent, now)
        if why is None or not users:
            continue
        waits = any(one in prepared.waiting for one in users)
        told.append(
            found(
                "issuer-unusable",
                f"issuer '{name}' cannot issue: {why}",
                where=prepared.loaded.key("issuers", name),
                severity=Severity.ERROR if waits else Severity.WARNING,
            )
        )
    return tuple(told)


def _unusable(section: IssuerSection, folder: Path, now: datetime) -> str | None:
    if isinstance(section, LocalIssuer):
        from handclasp.issuers.local import unusable  # SQLite, for those who need it

        refusal = unusable(Path(section.directory), now)
        if isinstance(refusal, FindingsError):
            return refusal.findings[0].seen
        return None if refusal is None else refusal.message
    if isinstance(section, CommandIssuer):
        program = section.command[0]
        there = shutil.which(folder / program if "/" in program else program)
        return None if there else f"there is no program {program} that may be executed"
    return unready(section, folder)


def _above(kept: Kept, where: Where, now: datetime) -> Iterator[Finding]:
    """CAs that have ended: the leaf's own end is no matter, for it is renewed, but not below these."""
    for one in kept.material.chain:
        yield from check_dates(one, now=now, where=where, what="intermediate")


def with_stand_ins(
    material: Material,
    waiting: Mapping[str, tuple[Finding, ...]],
    loaded: LoadedSpec,
    layout: Layout,
    now: datetime,
) -> Material:
    """The material with a stand-in for each identity that waits; its findings are those of the waiting, and
    those about its token if its key is in one: that is there already."""
    identities = dict(material.identities)
    for name, findings in waiting.items():
        written = loaded.spec.identities[name]
        section = loaded.spec.issuers[written.issuer or ""]
        order = order_for(name, written, section.type)
        certificate, key = files_of(layout.root, name)
        before = material.identities.get(name)
        about_the_token = [one for one in before.findings if one.where.path] if before else []
        made = IdentityMaterial(
            name=name,
            certificate_file=certificate,
            key_file=key,
            token=before.token if before else None,
            findings=(*findings, *about_the_token),
        )
        with contextlib.suppress(ValueError):  # names that cannot be: an error says so
            names = general_names(written.names or ()) or _NAMELESS
            made = _made_up(made, order, names, now)
        identities[name] = made
    return replace(material, identities=identities)


def without_stand_ins(
    findings: Iterable[Finding], waiting: Iterable[str], loaded: LoadedSpec, layout: Layout
) -> tuple[Finding, ...]:
    """The findings without what was said of stand-ins, but for their names, which the spec has."""
    places = {str(files_of(layout.root, name)[0]): name for name in waiting}
    places |= {str(files_of(layout.root, name)[1]): name for name in waiting}
    kept = []
    for one in findings:
        name = places.get(one.where.file or "")
        if name is None:
            kept.append(one)
        elif one.slug in _TOLD and loaded.spec.identities[name].names:
            kept.append(replace(one, where=loaded.where("identities", name, "names")))
    return tuple(kept)


def _made_up(
    made: IdentityMaterial, order: Order, names: tuple[x509.GeneralName, ...], now: datetime
) -> IdentityMaterial:
    """With a certificate like the one that will be issued, of a CA that nobody has. Raises ValueError."""
    above, key = new_key("p256"), new_key("p256")
    validity = Validity.starting(now, order.lifetime or _LIFETIME)
    root = root_certificate(subject_name("stand-in", None), above, validity, path_length=0)
    seen = made.token.public if made.token else None
    leaf = Leaf(
        subject=subject_name(order.identity, None),
        public_key=seen or key.public_key(),  # type: ignore[arg-type]  # tokens hold EC and RSA keys
        use=Use(order.use),
        names=names,
        validity=validity,
    )
    certificate = leaf_certificate(Signer(certificate=root, key=above), leaf)
    return replace(made, leaf=certificate, key=None if made.token else Secret(key))
