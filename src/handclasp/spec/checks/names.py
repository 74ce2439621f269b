"""Names: what links refer to, what is defined, what is there twice; and the `nginx` section."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from handclasp.findings import Finding, found
from handclasp.spec.shape import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Spec
    from handclasp.spec.positions import Path

Findings = Iterator[Finding]


@dataclass(frozen=True, slots=True)
class Reference:
    """A place where a link names an identity or a trust, or one of those its issuer."""

    section: Literal["identities", "trust", "issuers"]
    name: str
    path: Path


def check_names(loaded: LoadedSpec) -> Findings:
    """References, unused definitions, duplicate names, empty specs, the `nginx` section."""
    yield from _links(loaded)
    yield from _references(loaded)
    yield from _trust(loaded)
    yield from _nginx(loaded)


def references(spec: Spec) -> Iterator[Reference]:
    """Every mention of an identity or trust in a link, and of issuers in identities."""
    for name, identity in spec.identities.items():
        if identity.issuer is not None:
            yield Reference("issuers", identity.issuer, ("identities", name, "issuer"))
    for name, trust in spec.trust.items():
        if trust.spiffe is not None:
            yield Reference("issuers", trust.spiffe.issuer, ("trust", name, "spiffe", "issuer"))
        for position, entry in enumerate(trust.crl):
            yield from _mentions(("trust", name, "crl", position), None, entry.trust)
    for index, link in enumerate(spec.egress):
        yield from _mentions(("egress", index), link.identity, link.trust)
        for position, route in enumerate(link.routes):
            yield from _mentions(("egress", index, "routes", position), route.identity, route.trust)
    for index, ingress in enumerate(spec.ingress):
        place = ("ingress", index)
        yield from _mentions(place, ingress.identity, None)
        yield from _mentions((*place, "clients"), None, ingress.clients.trust)
        if tls := ingress.backend_tls:
            yield from _mentions((*place, "backend_tls"), tls.identity, tls.trust)


def _mentions(place: Path, identity: str | None, trust: str | None) -> Iterator[Reference]:
    if identity is not None:
        yield Reference("identities", identity, (*place, "identity"))
    if trust is not None:
        yield Reference("trust", trust, (*place, "trust"))


def _links(loaded: LoadedSpec) -> Findings:
    spec = loaded.spec
    if not spec.egress and not spec.ingress:
        yield found("spec-no-links", "the spec has no link", where=loaded.where())
    named: list[tuple[str, Path]] = [
        *((link.name, ("egress", index)) for index, link in enumerate(spec.egress)),
        *((link.name, ("ingress", index)) for index, link in enumerate(spec.ingress)),
    ]
    yield from _twice(loaded, ((name, (*path, "name")) for name, path in named), "the link name")
    for index, egress in enumerate(spec.egress):
        paths = [
            (route.path, ("egress", index, "routes", position, "path"))
            for position, route in enumerate(egress.routes)
        ]
        yield from _twice(loaded, paths, "the path")
        for path, place in paths:
            if path == "/":
                yield found(
                    "spec-inconsistent",
                    "a route for `/` takes every request, and so does the link itself",
                    where=loaded.where(*place),
                    fix="Set upstream, identity and so on at the link, and remove the route.",
                )


def _twice(loaded: LoadedSpec, named: Iterable[tuple[str, Path]], what: str) -> Findings:
    first: dict[str, Path] = {}
    for name, path in named:
        if name in first:
            line = loaded.where(*first[name]).line
            yield found(
                "spec-duplicate-name",
                f"{what} '{name}' is used a second time; first in line {line}",
                where=loaded.where(*path),
                fix="Give each its own.",
            )
        first.setdefault(name, path)


def _references(loaded: LoadedSpec) -> Findings:
    used: set[tuple[str, str]] = set()
    for reference in references(loaded.spec):
        defined = getattr(loaded.spec, reference.section)
        used.add((reference.section, reference.name))
        if reference.name not in defined:
            yield _unknown(loaded, reference, list(defined))
    for section, user in (("identities", "link"), ("trust", "link"), ("issuers", "identity")):
        for name in getattr(loaded.spec, section):
            if (section, name) not in used:
                yield found(
                    "spec-unused",
                    f"'{name}' under `{section}` is used by no {user}",
                    where=loaded.key(section, name),
                )


def _unknown(loaded: LoadedSpec, reference: Reference, defined: list[str]) -> Finding:
    other = "trust" if reference.section == "identities" else "identities"
    seen = f"`{reference.section}` has no '{reference.name}'"
    close = nearest(reference.name, defined)
    fix = None
    if close is not None:
        seen += f", did you mean '{close}'?"
        fix = f"Write {close}, or define {reference.name} under `{reference.section}:`."
    elif reference.name in getattr(loaded.spec, other):
        seen += f"; there is one under `{other}`"
    elif defined:
        seen += f"; defined are {', '.join(defined)}"
    else:
        seen += "; the section is empty or missing"
    return found("spec-unknown-name", seen, where=loaded.where(*reference.path), fix=fix)


def _trust(loaded: LoadedSpec) -> Findings:
    for name, trust in loaded.spec.trust.items():
        if not trust.certificates and trust.public is None and trust.spiffe is None:
            yield found(
                "trust-bundle-empty",
                f"trust '{name}' names no certificate",
                where=loaded.key("trust", name),
                fix="Add `certificates: [PATH]`, or `public: system` for upstreams on the web.",
            )


def _nginx(loaded: LoadedSpec) -> Findings:
    nginx = loaded.spec.nginx
    if nginx.mode == "existing":
        if nginx.reload is None:
            yield found(
                "spec-missing-key",
                "`mode: existing` needs the key `reload`: handclasp does not supervise that nginx",
                where=loaded.where("nginx", "mode"),
                fix="Add for instance `reload: [systemctl, reload, nginx]`.",
            )
        idle: tuple[str, ...] = ("workers", "connections")
        reason = "your own nginx.conf decides that"
    else:
        idle, reason = ("prefix", "config", "reload"), "it is for `mode: existing`"
    for key in idle:
        if key in nginx.model_fields_set:
            yield found(
                "spec-without-effect",
                f"`{key}` has no effect: {reason}",
                where=loaded.key("nginx", key),
            )
