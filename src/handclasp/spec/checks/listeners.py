"""Listeners: two claims on one address, and who can reach what listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from handclasp.findings import Finding, found
from handclasp.spec.issuer_acme import Acme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.links import EgressLink, IngressLink
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.positions import Path
    from handclasp.spec.values import ListenAddress

    Findings = Iterator[Finding]

Kind = Literal["egress", "ingress", "health", "redirect", "challenges", "status"]
_SHARED: frozenset[Kind] = frozenset(("ingress", "redirect", "challenges"))
_SHARED_BY_PATH = frozenset[Kind](("redirect", "challenges"))
"""Without TLS, the one for a path of the other's names."""


_HTTP01_PORT = 80  # RFC 8555, section 8.3


@dataclass(frozen=True, slots=True)
class Listener:
    """One address in the spec; several ingress links, or their redirects, may share it by name."""

    kind: Kind
    address: ListenAddress
    path: Path
    owner: str
    """What a sentence calls it: `the egress link orders`."""
    names: tuple[tuple[str, Path], ...] = ()


def check_listeners(loaded: LoadedSpec) -> Findings:
    """Conflicts between listeners, exposure of egress and status listeners."""
    listeners = list(listeners_of(loaded))
    yield from _conflicts(loaded, listeners)
    yield from _names(loaded, listeners)
    yield from _proxy_protocol(loaded)
    for index, link in enumerate(loaded.spec.egress):
        yield from _reach(loaded, link, index)
    yield from _challenges(loaded)
    status = loaded.spec.status
    if status is not None and not status.listen.is_loopback:
        yield found(
            "status-exposed",
            f"the status listener {status.listen} can be reached from other machines",
            where=loaded.where("status", "listen"),
        )


def listeners_of(loaded: LoadedSpec) -> Iterator[Listener]:
    """Every address the spec listens on, in the order of the file's sections."""
    spec = loaded.spec
    for index, egress in enumerate(spec.egress):
        path = ("egress", index, "listen")
        yield Listener("egress", egress.listen, path, f"the egress link {egress.name}")
    for index, link in enumerate(spec.ingress):
        yield from _ingress_listeners(link, index)
    for name, issuer in spec.issuers.items():
        if isinstance(issuer, Acme) and issuer.listen is not None:
            place: Path = ("issuers", name, "listen")
            yield Listener("challenges", issuer.listen, place, f"the issuer {name}")
    if spec.status is not None:
        yield Listener("status", spec.status.listen, ("status", "listen"), "the status listener")


def _ingress_listeners(link: IngressLink, index: int) -> Iterator[Listener]:
    place: Path = ("ingress", index)
    names = tuple(
        (name, (*place, "server_names", position))
        for position, name in enumerate(link.server_names)
    )
    for position, address in enumerate(link.listen):
        path = (*place, "listen", position)
        yield Listener("ingress", address, path, f"the ingress link {link.name}", names)
    if link.health:
        path = (*place, "health", "listen")
        yield Listener("health", link.health.listen, path, f"the health listener of {link.name}")
    if link.redirect:
        path = (*place, "redirect", "listen")
        yield Listener(
            "redirect", link.redirect.listen, path, f"the redirect of {link.name}", names
        )


def _conflicts(loaded: LoadedSpec, listeners: list[Listener]) -> Findings:
    by_port: dict[object, list[Listener]] = {}
    for listener in listeners:
        earlier = by_port.setdefault(listener.address.path or listener.address.port, [])
        for other in earlier:
            if problem := _conflict(listener, other):
                line = loaded.where(*other.path).line
                yield found(
                    "listener-conflict",
                    f"{listener.address} {problem} {other.owner} (line {line})",
                    where=loaded.where(*listener.path),
                )
                break
        earlier.append(listener)


def _conflict(one: Listener, other: Listener) -> str | None:
    """How two listeners of one port or socket exclude each other."""
    if one.address == other.address:
        if one.kind == other.kind and one.kind in _SHARED and one.path[:2] != other.path[:2]:
            return None
        if {one.kind, other.kind} == _SHARED_BY_PATH:
            return None
        return "is listened on already by"
    same_family = one.address.is_ipv6 == other.address.is_ipv6
    if same_family and (one.address.is_wildcard or other.address.is_wildcard):
        return f"overlaps with {other.address} of"
    return None


def _names(loaded: LoadedSpec, listeners: list[Listener]) -> Findings:
    first: dict[tuple[ListenAddress, str], Path] = {}
    told: set[Path] = set()
    for listener in listeners:
        here: set[str] = set()
        for name, path in listener.names:
            claim = (listener.address, name)
            if (claim in first or name in here) and path not in told:
                told.add(path)
                line = loaded.where(*first.get(claim, path)).line
                yield found(
                    "spec-duplicate-name",
                    f"the server name '{name}' is claimed on {listener.address} a second time;"
                    f" first in line {line}",
                    where=loaded.where(*path),
                )
            here.add(name)
            first.setdefault(claim, path)


def _proxy_protocol(loaded: LoadedSpec) -> Findings:
    """PROXY protocol is a property of the listening socket: links that share one must agree."""
    first: dict[ListenAddress, tuple[bool, IngressLink]] = {}
    for index, link in enumerate(loaded.spec.ingress):
        spoken = link.proxy_protocol is not None
        for address in link.listen:
            before, other = first.setdefault(address, (spoken, link))
            if before != spoken:
                path = ("ingress", index, "proxy_protocol" if spoken else "listen")
                yield found(
                    "listener-conflict",
                    f"{address} is shared with link {other.name}, and only one of the two has"
                    " `proxy_protocol`: a socket expects it of every connection or of none",
                    where=loaded.key(*path),
                    fix="Give both `proxy_protocol`, or an address of its own to each.",
                )


def _challenges(loaded: LoadedSpec) -> Findings:
    for name, issuer in loaded.spec.issuers.items():
        if not isinstance(issuer, Acme):
            continue
        address = issuer.listen
        if address is None:
            if issuer.expose:
                yield found(
                    "spec-without-effect",
                    "`expose` has no effect: it is for `listen`",
                    where=loaded.key("issuers", name, "expose"),
                )
            continue
        where = loaded.where("issuers", name, "listen")
        if not address.is_loopback and not issuer.expose:
            yield found(
                "expose-missing",
                f"{address} can be reached from other machines, as the CA of issuer '{name}' must",
                where=where,
                fix="Write `expose: true` beside it: nothing but answers to challenges is given there.",
            )
        if address.port != _HTTP01_PORT:
            yield found(
                "acme-http01-not-port-80",
                f"issuer '{name}' has challenges answered at {address}, and CAs look at port 80",
                where=where,
            )


def _reach(loaded: LoadedSpec, link: EgressLink, index: int) -> Findings:
    where = loaded.where("egress", index, "listen")
    names = dict.fromkeys(
        [link.identity, *(route.identity for route in link.routes if route.identity)]
    )
    lent = ("identity " if len(names) == 1 else "identities ") + ", ".join(names)
    if link.listen.path is not None:
        return
    if not link.listen.is_loopback and not link.expose:
        yield found(
            "expose-missing",
            f"{link.listen} can be reached from other machines, which would use the {lent}",
            where=where,
        )
    elif link.listen.is_loopback:
        yield found(
            "identity-lent-to-local-users",
            f"every user and program of this machine can use the {lent} through {link.listen}",
            where=where,
        )
    else:
        yield found(
            "identity-lent-to-local-users",
            f"everybody who can reach {link.listen} over the network can use the {lent}",
            where=where,
            fix="Let a firewall admit only those who are meant, or listen on loopback or a socket.",
        )
    if link.group is not None:
        yield found(
            "spec-inconsistent",
            "`group` keeps others away from a unix socket, and this link listens on TCP",
            where=loaded.key("egress", index, "group"),
            fix="Listen on `unix:PATH`, or remove `group`.",
        )
