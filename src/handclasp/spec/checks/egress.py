"""Egress links: which name is verified, whether schemes fit, who is believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Severity, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.links import EgressLink, Route, UpstreamServer
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.positions import Path

    Findings = Iterator[Finding]

_SCHEME = {"http": "https", "grpc": "grpcs"}


@dataclass(frozen=True, slots=True)
class _Target:
    """Upstream and verification of a link or of one of its routes."""

    place: Path
    upstream: list[UpstreamServer]
    verify_name: str | None


def check_egress(loaded: LoadedSpec, *, insecure_allowed: bool) -> Findings:
    """All rules of egress links; `insecure_allowed` as in `check_spec`."""
    for index, link in enumerate(loaded.spec.egress):
        place: Path = ("egress", index)
        yield from _target(loaded, link, _Target(place, link.upstream, link.verify.name))
        for position, route in enumerate(link.routes):
            if target := _route_target(link, route, (*place, "routes", position)):
                yield from _target(loaded, link, target)
        yield from _insecure(loaded, link, place, allowed=insecure_allowed)
        yield from _hosts(loaded, link, place)
        yield from _original(loaded, link, place)
        yield from _balance(loaded, link, place)


def _route_target(link: EgressLink, route: Route, place: Path) -> _Target | None:
    """None for a route that keeps the link's upstream and verification."""
    if route.upstream is None and route.verify is None:
        return None
    if route.verify is not None:
        name = route.verify.name
    else:
        # Another upstream has another name: the link's is not carried over.
        name = None if route.upstream is not None else link.verify.name
    return _Target(place, route.upstream or link.upstream, name)


def _target(loaded: LoadedSpec, link: EgressLink, target: _Target) -> Findings:
    yield from _schemes(loaded, link, target)
    if target.verify_name is not None:
        return
    path = (*target.place, "upstream")
    for position, server in enumerate(target.upstream):
        if not server.url.is_named:
            what = "an IP address" if server.url.path is None else "a socket"
            yield found(
                "verify-name-missing",
                f"the upstream {server.url} is {what}, and nginx compares certificates with DNS"
                " names only",
                where=loaded.where(*path, position),
            )
            return
    names = list(dict.fromkeys(server.url.host for server in target.upstream))
    if len(names) > 1:
        yield found(
            "verify-name-missing",
            f"the servers have different names ({', '.join(map(str, names))}), and one name is"
            " verified for all of them",
            where=loaded.where(*path, 1),
            fix="Write the name all their certificates carry under `verify: {name: NAME}`, or make"
            " a link of each.",
        )


def _schemes(loaded: LoadedSpec, link: EgressLink, target: _Target) -> Findings:
    wanted = _SCHEME[link.protocol]
    for position, server in enumerate(target.upstream):
        if server.url.scheme != wanted:
            yield found(
                "spec-inconsistent",
                f"the upstream is {server.url.scheme}://, and a link with"
                f" `protocol: {link.protocol}` takes {wanted}://",
                where=loaded.where(*target.place, "upstream", position),
                fix=f"Write {wanted}://, or give the other protocol a link of its own.",
            )
    if target.upstream and all(server.backup for server in target.upstream):
        yield found(
            "spec-inconsistent",
            "every server of the upstream is a `backup`; one must not be",
            where=loaded.where(*target.place, "upstream", 0, "backup"),
        )


def _insecure(loaded: LoadedSpec, link: EgressLink, place: Path, *, allowed: bool) -> Findings:
    written = [(place, link.insecure_accept_any)]
    written += [
        ((*place, "routes", position), route.insecure_accept_any or False)
        for position, route in enumerate(link.routes)
    ]
    for where, insecure in written:
        if not insecure:
            continue
        if allowed:
            seen = f"link {link.name} accepts any certificate of its upstream: for tests only"
            severity = Severity.WARNING
        else:
            seen = "`insecure_accept_any` is refused: HANDCLASP_ALLOW_INSECURE=1 is not set"
            severity = Severity.ERROR
        yield found(
            "insecure-accept-any",
            seen,
            where=loaded.key(*where, "insecure_accept_any"),
            severity=severity,
        )


def _hosts(loaded: LoadedSpec, link: EgressLink, place: Path) -> Findings:
    if "*" in link.accept_hosts and link.listen.path is None:
        yield found(
            "dns-rebinding-hosts",
            f"link {link.name} answers requests for any Host",
            where=loaded.where(*place, "accept_hosts", link.accept_hosts.index("*")),
        )
    places = [(place, link.host)]
    places += [
        ((*place, "routes", position), route.host or "upstream")
        for position, route in enumerate(link.routes)
    ]
    for where, host in places:
        if host == "preserve":
            yield found(
                "host-preserved",
                "the upstream gets the caller's Host, while the server name of the handshake stays"
                " the upstream's",
                where=loaded.where(*where, "host"),
            )


def _original(loaded: LoadedSpec, link: EgressLink, place: Path) -> Findings:
    if link.original_certificate is None:
        return
    path = (*place, "original_certificate", "trusted")
    for position, hop in enumerate(link.original_certificate.trusted):
        where = loaded.where(*path, position)
        if hop == "unix" and link.listen.path is None:
            yield found(
                "spec-inconsistent",
                f"`unix` is trusted, and the link listens on {link.listen}",
                where=where,
                fix="Listen on `unix:PATH` with the group of the earlier hop.",
            )
        elif hop == "loopback" and link.listen.path is not None:
            yield found(
                "spec-without-effect",
                "`loopback` has no effect on a link that listens on a socket",
                where=where,
            )
        elif hop == "loopback":
            yield found(
                "loopback-trusted",
                f"every local user can name any certificate as the original one to {link.listen}",
                where=where,
            )


def _balance(loaded: LoadedSpec, link: EgressLink, place: Path) -> Findings:
    groups = [(place, link.upstream)]
    groups += [
        ((*place, "routes", position), route.upstream)
        for position, route in enumerate(link.routes)
        if route.upstream is not None
    ]
    if link.balance == "random":
        for where, servers in groups:
            for position, server in enumerate(servers):
                if server.backup:
                    yield found(
                        "spec-inconsistent",
                        "nginx takes no `backup` server with `balance: random`",
                        where=loaded.where(*where, "upstream", position, "backup"),
                        fix="Use round-robin or least-connections, or no backup.",
                    )
    elif "balance" in link.model_fields_set and all(len(servers) == 1 for _, servers in groups):
        yield found(
            "spec-without-effect",
            "`balance` has no effect with a single upstream server",
            where=loaded.key(*place, "balance"),
            severity=Severity.INFO,
        )
