"""Memory of clients that keep a connection open and say nothing.

Each makes one request and stays. The proxies are fresh: memory that an earlier load left behind in
a worker would hide what new connections take.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import time
from typing import TYPE_CHECKING

from bench.model import IdleCell
from bench.scenarios import Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.model import Role, Site
    from bench.stage import Actor, Stage

IDLE: tuple[Scenario, ...] = (
    Scenario(
        "egress-idle",
        "egress",
        "",
        "/small",
        "fresh",
        "direct",
        ("handclasp", "handclasp-wheel", "floor", "haproxy", "caddy", "envoy"),
    ),
    Scenario(
        "ingress-idle",
        "ingress",
        "",
        "/small",
        "plain",
        "direct",
        ("handclasp", "handclasp-wheel", "stock", "haproxy", "caddy"),
    ),
)
_WARM = 50


def measure_idle(stage: Stage, connections: int) -> tuple[IdleCell, ...]:
    """One cell per proxy; `stage` must be open for `IDLE` and otherwise unused."""
    return tuple(_cells(stage, connections))


def _cells(stage: Stage, connections: int) -> Iterator[IdleCell]:
    for scenario in IDLE:
        for name in scenario.subjects:
            key = (scenario.role, name, scenario.upstream)
            if key not in stage.actors:
                yield IdleCell(scenario.role, name, skipped=stage.absent[key])
                continue
            yield _hold(scenario.role, stage.actors[key], stage.site, connections)


def _hold(role: Role, actor: Actor, site: Site, connections: int) -> IdleCell:
    name = actor.subject.name
    context = _client_context(site) if role == "ingress" else None
    with contextlib.ExitStack() as held:
        try:
            # The first connections allocate what all later ones share.
            for _ in range(_WARM):
                held.enter_context(_client(actor.port, context, site.name))
            time.sleep(0.3)
            before = actor.running.memory_kib()
            for _ in range(connections):
                held.enter_context(_client(actor.port, context, site.name))
            time.sleep(0.5)
            after = actor.running.memory_kib()
        except OSError as failure:
            return IdleCell(role, name, skipped=f"failed: {failure}")
    each = (after - before) * 1024 / connections
    print(f"  {role} idle {name}: {each / 1024:.1f} KiB each", file=sys.stderr)
    return IdleCell(role, name, connections, each)


def _client_context(site: Site) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=site.ca)
    context.load_cert_chain(site.certificate("client"), site.key("client"))
    return context


def _client(port: int, context: ssl.SSLContext | None, name: str) -> socket.socket:
    """A connection that has had one answer of 200. Raises OSError."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    # Else the request waits for the acknowledgement of the handshake's last message, 40 ms at times.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        client = context.wrap_socket(plain, server_hostname=name) if context else plain
        host = name if context else f"127.0.0.1:{port}"
        client.sendall(f"GET /small HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        _insist_on_200(client.recv(4096))
    except BaseException:
        plain.close()
        raise
    return client


def _insist_on_200(answer: bytes) -> None:
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise OSError(f"answered {answer[:40]!r}")
