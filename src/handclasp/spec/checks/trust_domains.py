"""Trusts that are SPIFFE bundles: where they come from, and that they vouch for SPIFFE IDs of their own trust
domain alone.

A bundle's CAs can sign any name, those of other trust domains included, and TLS does not keep them from it
(SPIFFE_Workload_API.md, sections 4.6 and 5.2: a bundle must only be used to authenticate X.509-SVIDs of its
domain). So the rules of a link have to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import Finding, found
from handclasp.spec.issuer_spiffe import Spiffe
from handclasp.spec.trust_spiffe import trust_domain_in
from handclasp.spec.values import AllowKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from handclasp.findings import Where
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Spec, Trust
    from handclasp.spec.positions import Path
    from handclasp.spec.values import AllowRule


def check_trust_domains(loaded: LoadedSpec) -> Iterator[Finding]:
    """All findings."""
    spec = loaded.spec
    for name, trust in spec.trust.items():
        if trust.spiffe is None:
            continue
        yield from _source(loaded, name, trust)
        domain = trust.spiffe.trust_domain
        if domain is None:
            yield found(
                "spec-missing-key",
                f"`trust_domain` is missing: no one trust domain is in `names` of what"
                f" '{trust.spiffe.issuer}' issues here",
                where=loaded.where("trust", name, "spiffe"),
                fix="Add `trust_domain: example.org`.",
            )
            continue
        yield from _callers(loaded, name, domain)
        yield from _upstreams(loaded, name)
    yield from _servers_of_lists(loaded)


def _source(loaded: LoadedSpec, name: str, trust: Trust) -> Iterator[Finding]:
    assert trust.spiffe is not None
    issuer = loaded.spec.issuers.get(trust.spiffe.issuer)
    if issuer is not None and not isinstance(issuer, Spiffe):
        yield found(
            "spec-inconsistent",
            f"issuer '{trust.spiffe.issuer}' is of type {issuer.type}, and bundles come from one of type"
            " spiffe",
            where=loaded.where("trust", name, "spiffe", "issuer"),
            fix="Name an issuer of type spiffe.",
        )
    for key in ("certificates", "crl", "public"):
        if key in trust.model_fields_set:
            yield found(
                "spec-inconsistent",
                f"trust '{name}' is a SPIFFE bundle, and `{key}` is for another kind of trust",
                where=loaded.key("trust", name, key),
                fix=f"Remove `{key}`, or make a trust of each.",
            )


def _callers(loaded: LoadedSpec, name: str, domain: str) -> Iterator[Finding]:
    for index, link in enumerate(loaded.spec.ingress):
        if link.clients.trust != name:
            continue
        place: Path = ("ingress", index, "clients")
        lists: list[tuple[Sequence[AllowRule], Path]] = [(link.clients.allow, (*place, "allow"))]
        lists += [
            (rule.allow or (), (*place, "rules", position, "allow"))
            for position, rule in enumerate(link.clients.rules)
        ]
        for rules, path in lists:
            for position, rule in enumerate(rules):
                of_it = rule.kind is AllowKind.SPIFFE and trust_domain_in(rule.value) == domain
                if not of_it:
                    where = loaded.where(*path, position)
                    yield _outside(name, domain, link.name, rule, where=where)


def _outside(name: str, domain: str, link: str, rule: AllowRule, *, where: Where) -> Finding:
    what = "`allow: any`" if rule.kind is AllowKind.ANY else f"the rule {rule}"
    return found(
        "allow-outside-trust-domain",
        f"link {link}: trust '{name}' vouches for SPIFFE IDs of {domain} alone, and {what} does not ask"
        " for one",
        where=where,
        fix=f"Write `spiffe://{domain}/*` for all of the trust domain, or an ID of it.",
    )


def _upstreams(loaded: LoadedSpec, name: str) -> Iterator[Finding]:
    for path in _verifying(loaded.spec, name):
        yield found(
            "upstream-not-by-spiffe-id",
            f"trust '{name}' is a SPIFFE bundle, and nginx compares the upstream's DNS name, not its"
            " SPIFFE ID",
            where=loaded.where(*path, "trust"),
        )


def _verifying(spec: Spec, name: str) -> Iterator[Path]:
    """Where servers are verified with a trust."""
    for index, link in enumerate(spec.egress):
        if link.trust == name:
            yield "egress", index
        for position, route in enumerate(link.routes):
            if route.trust == name:
                yield "egress", index, "routes", position
    for index, ingress in enumerate(spec.ingress):
        if ingress.backend_tls is not None and ingress.backend_tls.trust == name:
            yield "ingress", index, "backend_tls"


def _servers_of_lists(loaded: LoadedSpec) -> Iterator[Finding]:
    trusts = loaded.spec.trust
    for name, trust in trusts.items():
        for position, entry in enumerate(trust.crl):
            verifying = trusts.get(entry.trust or "")
            if verifying is not None and verifying.spiffe is not None:
                yield found(
                    "spec-inconsistent",
                    f"trust '{entry.trust}' is a SPIFFE bundle, with which no web server is verified",
                    where=loaded.where("trust", name, "crl", position, "trust"),
                    fix="Name a trust of files, or leave `trust` out for the public CAs.",
                )
