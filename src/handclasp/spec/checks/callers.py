"""Ingress links: who may enter, and what the backend is told of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from handclasp.backend.dialects import DIALECTS
from handclasp.findings import Finding, Severity, found
from handclasp.spec.values import AllowKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.links import Forward, IngressLink, PathRule
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.positions import Path
    from handclasp.spec.values import AllowRule

    Findings = Iterator[Finding]

# Headers that nginx itself sets for the backend or that frame the request.
_TAKEN = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "keep-alive",
        "proxy",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    )
)


def check_callers(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    """What can be said of one link's callers without reading a certificate."""
    yield from _clients(loaded, link, place)
    yield from _rules(loaded, link, place)
    yield from _dialects(loaded, link, place)
    yield from _headers(loaded, link, place)


def _clients(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    clients = link.clients
    trust = loaded.spec.trust.get(clients.trust)
    if trust is not None and trust.public is not None:
        yield found(
            "client-ca-public-bundle",
            f"`clients.trust` names '{clients.trust}', which is the public CAs of the system",
            where=loaded.where(*place, "clients", "trust"),
        )
    if clients.verify == "optional" and not link.forward:
        yield found(
            "optional-without-decision",
            f"link {link.name} lets callers without certificate in and tells the backend nothing",
            where=loaded.where(*place, "clients", "verify"),
        )
    if clients.cut and loaded.spec.nginx.mode == "existing":
        yield found(
            "spec-without-effect",
            "`cut` has no effect: the workers of an nginx you run end when that nginx lets them",
            where=loaded.key(*place, "clients", "cut"),
        )
    lists = [(clients.allow, (*place, "clients", "allow"), f"link {link.name}")]
    for position, rule in enumerate(clients.rules):
        below = (*place, "clients", "rules", position, "allow")
        lists.append((rule.allow or [], below, f"{_path(rule)} of link {link.name}"))
    for allow, path, what in lists:
        for position, one in enumerate(allow):
            if one.kind is AllowKind.ANY:
                yield found(
                    "allow-any",
                    f"every certificate under '{clients.trust}' may use {what}",
                    where=loaded.where(*path, position),
                    severity=Severity.WARNING,
                )


def _rules(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    """Rules by path and method. Several for one path add up, so only an exact repetition is wrong."""
    clients = link.clients
    if not clients.rules:
        return
    first: dict[tuple[str, frozenset[str], frozenset[AllowRule]], int] = {}
    for position, rule in enumerate(clients.rules):
        said = (rule.path, frozenset(rule.methods or ()), frozenset(rule.allow or ()))
        where = loaded.where(*place, "clients", "rules", position)
        if said in first:
            line = loaded.where(*place, "clients", "rules", first[said]).line
            yield found(
                "spec-duplicate-name",
                f"the rule for {_path(rule)} stands here a second time; first in line {line}",
                where=where,
                fix="Remove one of the two.",
            )
        first.setdefault(said, position)
    inherited = any(rule.allow is None for rule in clients.rules)
    if all(rule.path for rule in clients.rules):
        # Whoever writes `allow` and rules with others may think that the rest of the paths is for it.
        told = "" if inherited else ", and the link's own `allow` lets nobody in"
        yield found(
            "paths-not-covered",
            f"link {link.name} has no rule for /: what its rules do not name is refused{told}",
            where=loaded.key(*place, "clients", "rules"),
            severity=None if inherited else Severity.WARNING,
        )
    if clients.verify == "optional" and not inherited:
        yield found(
            "spec-without-effect",
            "`verify: optional` lets nobody in without a certificate: every rule has an `allow` of its own",
            where=loaded.where(*place, "clients", "verify"),
            fix="Leave `allow` out in the rules for callers without certificate, or require one.",
        )


def _path(rule: PathRule) -> str:
    return f"{rule.path}/"


def _dialects(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    seen: set[str] = set()
    for position, forward in enumerate(link.forward):
        path = (*place, "forward", position)
        if forward.dialect in seen:
            yield found(
                "spec-duplicate-name",
                f"the dialect {forward.dialect} is listed twice",
                where=loaded.where(*path, "dialect"),
            )
        seen.add(forward.dialect)
        if forward.headers and not DIALECTS[forward.dialect].native:
            yield found(
                "spec-inconsistent",
                f"the headers of {forward.dialect} have the names they have; those of x-client-cert and"
                " x-ssl-cert can be renamed",
                where=loaded.key(*path, "headers"),
                fix="Remove `headers`.",
            )
        if forward.append:
            yield from _append(loaded, link, forward, path)


def _append(loaded: LoadedSpec, link: IngressLink, forward: Forward, path: Path) -> Findings:
    where = loaded.key(*path, "append")
    if forward.dialect != "xfcc":
        yield found(
            "spec-inconsistent",
            f"`append` is for xfcc: {forward.dialect} has one caller and no list of hops",
            where=where,
            fix="Remove `append`; `original_certificate` hands on the certificate of an earlier hop.",
        )
    elif link.original_certificate is None:
        yield found(
            "spec-inconsistent",
            "`append` hands on what an earlier hop sent, and nothing says which hops are believed",
            where=where,
            fix="Add `original_certificate: {trusted: [RULE]}`, or remove `append`.",
        )


def _headers(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    """Header names must differ from each other and from those nginx sets."""
    written: list[tuple[str, Path]] = []  # by choice of the spec
    default: dict[str, str] = {}  # name in lower case → the dialect that has it by itself
    shared: dict[tuple[str, str], list[str]] = defaultdict(list)
    positions: dict[str, int] = {}
    for position, forward in enumerate(link.forward):
        if forward.dialect in positions:
            continue  # said already
        positions[forward.dialect] = position
        dialect = DIALECTS[forward.dialect]
        renamed = {str(field): name for field, name in forward.headers.items()}
        own = [name for field, name in dialect.fields.items() if str(field) not in renamed]
        for name in (*own, *dialect.composed):
            if (other := default.setdefault(name.lower(), forward.dialect)) != forward.dialect:
                shared[other, forward.dialect].append(name)
        if dialect.native:
            path = (*place, "forward", position, "headers")
            written += [(name, (*path, field)) for field, name in renamed.items()]
    if link.original_certificate is not None:
        written.append((link.original_certificate.to, (*place, "original_certificate", "to")))
    for (one, other), names in shared.items():
        yield found(
            "identity-dialects-conflict",
            f"{one} and {other} both write {' and '.join(names)}",
            where=loaded.where(*place, "forward", positions[other]),
        )
    taken = set(default)
    for name, path in written:
        if name.lower() in _TAKEN:
            seen = f"the header {name} is set by nginx itself and cannot carry the identity"
            yield found("header-name-taken", seen, where=loaded.where(*path))
        elif name.lower() in taken:
            seen = f"the header {name} would be written twice, with different values"
            yield found("header-name-taken", seen, where=loaded.where(*path))
        taken.add(name.lower())
