"""What stops working when an identity, a trust anchor or a revocation list of a spec ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from handclasp.spec.links import EgressLink, IngressLink
    from handclasp.spec.model import Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """Sentences by the names of the spec; `lists` by the trust whose revocation lists they are."""

    identities: Mapping[str, tuple[str, ...]]
    trust: Mapping[str, tuple[str, ...]]
    lists: Mapping[str, tuple[str, ...]]


def uses_of(spec: Spec) -> Uses:
    """Every link of the spec, its routes and backends included."""
    identities: dict[str, dict[str, None]] = {}
    trust: dict[str, dict[str, None]] = {}
    lists: dict[str, dict[str, None]] = {}
    for name, told in _identities(spec):
        identities.setdefault(name, {})[told] = None
    for name, who, whom in _trusts(spec):
        trust.setdefault(name, {})[f"{who} refuses {whom} whose chain ends there"] = None
        # nginx checks every chain against the lists it has, and a lapsed one fails the check.
        lists.setdefault(name, {})[f"{who} refuses every {whom.split()[-1]} of that CA"] = None
    return Uses(identities=_frozen(identities), trust=_frozen(trust), lists=_frozen(lists))


def users_of(spec: Spec, issuer: str) -> tuple[str, ...]:
    """The identities that this issuer issues."""
    return tuple(name for name, one in spec.identities.items() if one.issuer == issuer)


def _frozen(told: dict[str, dict[str, None]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sentences) for name, sentences in told.items()}


def _identities(spec: Spec) -> Iterator[tuple[str, str]]:
    for link in spec.egress:
        for who, identity, _ in _policies(link):
            yield identity, f"{who} cannot present it"
    for ingress in spec.ingress:
        yield ingress.identity, f"callers refuse ingress {ingress.name}"
        if ingress.backend_tls is not None and ingress.backend_tls.identity is not None:
            yield (
                ingress.backend_tls.identity,
                f"ingress {ingress.name} cannot present it to its backend",
            )


def _trusts(spec: Spec) -> Iterator[tuple[str, str, str]]:
    for link in spec.egress:
        for who, _, trust in _policies(link):
            if trust is not None:
                yield trust, who, "an upstream"
    for ingress in spec.ingress:
        yield from _ingress_trusts(ingress)


def _ingress_trusts(link: IngressLink) -> Iterator[tuple[str, str, str]]:
    yield link.clients.trust, f"ingress {link.name}", "a client"
    if link.backend_tls is not None:
        yield link.backend_tls.trust, f"ingress {link.name}", "a backend"


def _policies(link: EgressLink) -> Iterator[tuple[str, str, str | None]]:
    """The link and each of its routes: what it is called, its identity, and its trust if it verifies."""
    own = None if link.insecure_accept_any else link.trust
    yield f"egress {link.name}", link.identity, own
    for route in link.routes:
        accepts_any = route.insecure_accept_any
        if accepts_any is None:
            accepts_any = link.insecure_accept_any
        trust = None if accepts_any else route.trust or link.trust
        yield f"egress {link.name} {route.path}", route.identity or link.identity, trust
