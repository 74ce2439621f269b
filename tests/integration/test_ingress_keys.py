"""Key material lies below directories that nginx is told of: no request may ever read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handclasp.nginx.features import Feature
from tests import pki
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    SERVER,
    FixedBackend,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    """The per-handshake lookup: `root` is the empty directory beside the key. Both sides have it: the
    second link shows a client certificate to its backend."""
    folder = material.folder
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("inner", sans=["inner.internal"], usages=[pki.SERVER])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    with (
        Backend() as plain,
        Backend(certificate=material.pair("inner"), client_ca=folder / "ca.pem") as tls,
        FixedBackend(
            b"HTTP/1.1 200 OK\r\nX-Accel-Redirect: /../key.pem\r\nContent-Length: 3\r\n\r\nown"
        ) as accel,
    ):
        inside = {"trust": "company", "identity": "svc-b", "verify": {"name": "inner.internal"}}
        links = [
            link("api", listen, f"http://127.0.0.1:{plain.port}", server_names=[SERVER]),
            link("accel", listen, f"http://127.0.0.1:{accel.port}"),
            link("inside", listen, f"https://127.0.0.1:{tls.port}", backend_tls=inside),
        ]
        spec = spec_of(material, links, nginx={"user": "games"})
        spec["identities"]["svc-b"] = material.identity("svc-b")
        with running_stage(
            material, nginx_build, "keys", spec, port, backends=(plain, tls), accel=accel
        ) as running:
            configuration = running.running.state / "generation" / "current" / "link-inside.conf"
            # Of the server's certificate, and of the client certificate where the build can.
            both = running.facts.has(Feature.UPSTREAM_CERTIFICATE_VARIABLES)
            lookups = configuration.read_text().count("root ")
            assert lookups == (4 if both else 1), "the lookup is not in use"
            yield running


PATHS = [
    "/cert.pem",
    "/key.pem",
    "/../key.pem",
    "/../../key.pem",
    "/..%2fkey.pem",
    "/%2e%2e/key.pem",
    "/%2e%2e%2fkey.pem",
    "/.%2e/key.pem",
    "/..%5ckey.pem",
    "/..;/key.pem",
    "/x/..%2f..%2fkey.pem",
    "/root/",
    "/root/../key.pem",
    "/root/%2e%2e/key.pem",
    "//key.pem",
    "/./key.pem",
    "/key.pem/",
    "/key.pem%00",
    "/key.pem%20",
    "/key.pem?x",
    "/identities/server-a/current/key.pem",
    "/index.html",
    "/",
    "/..",
    "/%2e%2e",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", [SERVER, "inside.example.com"])
def test_only_the_backend_answers(stage: Stage, name: str, path: str) -> None:
    before = [len(backend.seen) for backend in stage.extra["backends"]]
    answer = stage.caller.get(path, sni=name, credentials=stage.pair())
    assert b"PRIVATE" not in answer.body
    assert b"BEGIN CERT" not in answer.body
    arrived = [len(one.seen) for one in stage.extra["backends"]] != before
    assert (answer.status == 200) == arrived
    # A path that climbs out of the root is nginx's own 400; nothing is ever a file's 403 or 404.
    assert answer.status == (200 if arrived else 400)


@pytest.mark.parametrize("path", [*PATHS[:4], "key.pem", "*", "", "../key.pem"])
def test_nor_over_http2(stage: Stage, path: str) -> None:
    with Http2Client(stage.caller, SERVER, stage.pair()) as client:
        answer = client.request(path)
    assert b"PRIVATE" not in answer.body
    assert b"BEGIN CERT" not in answer.body
    assert answer.status in (0, 200, 400)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "MKCOL", "COPY", "MOVE", "PROPFIND", "TRACE"])
def test_no_method_touches_a_file(stage: Stage, method: str) -> None:
    before = sorted(stage.running.state.rglob("identities/**/*"))
    answer = stage.caller.get("/key.pem", method=method, credentials=stage.pair())
    assert b"PRIVATE" not in answer.body
    assert sorted(stage.running.state.rglob("identities/**/*")) == before


@pytest.mark.parametrize(
    ("who", "name", "host"),
    [
        (None, SERVER, SERVER),
        ("stranger", SERVER, SERVER),
        ("svc-b", SERVER, "nobody.invalid"),
        ("svc-b", SERVER, "inside.example.com"),
    ],
)
@pytest.mark.parametrize("path", ["/key.pem", "/cert.pem", "/../key.pem", "/root/"])
def test_the_pages_of_refused_callers_are_no_way_in(
    stage: Stage, who: str | None, name: str, host: str, path: str
) -> None:
    credentials = stage.pair(who) if who else None
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    answers = stage.caller.send(request, sni=name, credentials=credentials)
    # Before 1.19.4 a name of nobody's gets no answer.
    silent = host == "nobody.invalid" and not stage.facts.has(Feature.REJECT_HANDSHAKE)
    assert len(answers) == 1 or (silent and not answers)
    for answer in answers:
        assert b"PRIVATE" not in answer.body
        assert answer.status in (400, 421)


def test_a_backend_cannot_have_nginx_serve_a_file(stage: Stage) -> None:
    """X-Accel-Redirect would make nginx look below `root`."""
    accel = stage.extra["accel"]
    answer = stage.caller.get("/", sni="accel.example.com", credentials=stage.pair())
    assert len(accel.requests) == 1
    assert (answer.status, answer.body) == (200, b"own")
    assert answer.value("X-Accel-Redirect") is None
