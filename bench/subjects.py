"""Who is measured: one row per proxy, with the program it needs and the text it reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench.configurations import caddy, envoy, handclasp, haproxy, plain, seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.binaries import Kind
    from bench.model import Role, Site


@dataclass(frozen=True, slots=True)
class Subject:
    """One proxy in one role. `ours`: handclasp itself, whose configuration may come rendered."""

    name: str
    role: Role
    kind: Kind
    what: str
    configuration: Callable[[Site], str]
    ours: bool = False
    lookup: bool = False
    speaks_tls: bool = True
    strips: bool = True
    asks: bool = False  # the agent decides who may enter


_OURS: tuple[Kind, ...] = ("nginx", "wheel")
_BUILD = {"nginx": "the distribution's nginx", "wheel": "the wheel's nginx"}


def _handclasp(role: Role, kind: Kind, *, lookup: bool = False, asks: bool = False) -> Subject:
    text = handclasp.egress if role == "egress" else handclasp.ingress
    way = "-lookup" if lookup else "-asking" if asks else ""
    name = f"handclasp{way}" + ("-wheel" if kind == "wheel" else "")
    files = "certificates looked up per handshake" if lookup else "static paths"
    if asks:
        files += ", allowed by a SAN, which the agent is asked about"
    return Subject(
        name=name,
        role=role,
        kind=kind,
        what=f"{_BUILD[kind]}, {files}",
        configuration=partial(text, lookup=lookup, small_buffers=kind == "wheel"),
        ours=True,
        lookup=lookup,
        asks=asks,
    )


SUBJECTS: tuple[Subject, ...] = (
    _handclasp("egress", "nginx"),
    _handclasp("egress", "wheel"),
    Subject("seed", "egress", "nginx", "the configuration the project began with", seed.egress),
    Subject("haproxy", "egress", "haproxy", "one thread", haproxy.egress),
    Subject("caddy", "egress", "caddy", "GOMAXPROCS=1", caddy.egress),
    Subject("envoy", "egress", "envoy", "one worker", envoy.egress),
    Subject(
        "floor",
        "egress",
        "nginx",
        "the distribution's nginx, plain HTTP on both sides",
        plain.floor,
        speaks_tls=False,
    ),
    *(_handclasp("ingress", kind) for kind in _OURS),
    *(_handclasp("ingress", kind, lookup=True) for kind in _OURS),
    *(_handclasp("ingress", kind, asks=True) for kind in _OURS),
    Subject(
        "stock",
        "ingress",
        "nginx",
        "the distribution's nginx, TLS at its defaults",
        plain.stock_ingress,
        strips=False,
    ),
    Subject(
        "stock-wheel",
        "ingress",
        "wheel",
        "the wheel's nginx, TLS at its defaults",
        plain.stock_ingress,
        strips=False,
    ),
    Subject("haproxy", "ingress", "haproxy", "one thread", haproxy.ingress),
    Subject("caddy", "ingress", "caddy", "GOMAXPROCS=1", caddy.ingress),
)


def subject(role: Role, name: str) -> Subject:
    """The one of that name. Raises KeyError."""
    for candidate in SUBJECTS:
        if (candidate.role, candidate.name) == (role, name):
            return candidate
    raise KeyError((role, name))
