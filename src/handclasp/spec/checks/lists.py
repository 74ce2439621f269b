"""Revocation lists of trusts: URLs named twice, keys without effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Severity, found

if TYPE_CHECKING:
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Spec

Findings = Iterator[Finding]


def check_lists(loaded: LoadedSpec) -> Findings:
    """All findings."""
    for name, trust in loaded.spec.trust.items():
        yield from _twice(loaded, name)
        if trust.crl_expired.keep_last is None:
            continue
        if not trust.crl:
            yield _without_effect(loaded, name, "there is no `crl` under it")
        elif _verifies_upstreams(loaded.spec, name):
            seen = (
                "upstreams are verified by nginx alone, which refuses them when a list has run out"
            )
            yield _without_effect(loaded, name, seen)


def _twice(loaded: LoadedSpec, name: str) -> Findings:
    seen: set[str] = set()
    for position, entry in enumerate(loaded.spec.trust[name].crl):
        if entry.url is None:
            continue
        if entry.url in seen:
            where = loaded.where("trust", name, "crl", position)
            told = f"the URL {entry.url} is named twice under trust '{name}'"
            yield found("spec-duplicate-name", told, where=where, fix="Remove one of both.")
        seen.add(entry.url)


def _without_effect(loaded: LoadedSpec, name: str, why: str) -> Finding:
    where = loaded.key("trust", name, "crl_expired", "keep_last")
    told = f"`keep_last` of trust '{name}' has no effect there: {why}"
    return found("spec-without-effect", told, where=where, severity=Severity.WARNING)


def _verifies_upstreams(spec: Spec, name: str) -> bool:
    used = {link.trust for link in spec.egress}
    used |= {route.trust for link in spec.egress for route in link.routes if route.trust}
    used |= {link.backend_tls.trust for link in spec.ingress if link.backend_tls}
    return name in used
