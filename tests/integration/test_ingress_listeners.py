"""Addresses: IPv6, unix sockets, PROXY protocol, real client addresses, health, redirect, HTTP/2 or not."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from tests import pki
from tests.integration.ingress_stage import (
    NAMES,
    Caller,
    Stage,
    link,
    ports,
    read_answers,
    running_stage,
    spec_of,
)
from tests.integration.old_build import pretending
from tests.integration.running import handclasp, write_spec
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

TRUSTED, OTHER = "127.0.0.1", "127.0.0.2"  # where connections come from


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path, place: Path) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    kinds = ("main", "proxied", "real", "no-h2", "health", "redirect")
    found = dict(zip(kinds, ports(len(kinds)), strict=True))
    unix = place / f"sockets-{found['main']}" / "in.sock"
    listens = [f"127.0.0.1:{found['main']}", f"unix:{unix}"]
    if has_ipv6():
        listens.append(f"[::1]:{found['main']}")
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        trusted = {"trusted": [f"{TRUSTED}/32"]}
        links = [
            link(
                "api",
                listens,
                url,
                health={"listen": f"127.0.0.1:{found['health']}"},
                redirect={"listen": f"127.0.0.1:{found['redirect']}"},
            ),
            link(
                "wild",
                listens[0],
                url,
                server_names=["*.wild.example.com"],
                redirect={"listen": f"127.0.0.1:{found['redirect']}"},
            ),
            link("proxied", f"127.0.0.1:{found['proxied']}", url, proxy_protocol=trusted),
            link("real", f"127.0.0.1:{found['real']}", url, real_ip=trusted),
            link("no-h2", f"127.0.0.1:{found['no-h2']}", url, http2=False),
        ]
        with running_stage(
            material,
            nginx_build,
            "listeners",
            spec_of(material, links),
            found["main"],
            backend=backend,
            ports=found,
            unix=unix,
        ) as running:
            yield running


def at(stage: Stage, kind: str, **more: object) -> Caller:
    return Caller(stage.extra["ports"][kind], stage.caller.ca, **more)  # type: ignore[arg-type]


def plain(stage: Stage, kind: str, request: str) -> Answer:
    with at(stage, kind).plain() as connection:
        connection.sendall(request.encode("latin-1"))
        return read_answers(connection)[0]


def address_told(stage: Stage) -> list[list[str]]:
    seen = stage.extra["backend"].last
    return [seen.values("X-Real-IP"), seen.values("X-Forwarded-For")]


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_listener_serves_and_rejects_as_the_others(stage: Stage) -> None:
    caller = at(stage, "main", address="::1")
    assert caller.get("/", sni="api.example.com", credentials=stage.pair()).status == 200
    assert address_told(stage) == [["::1"], ["::1"]]
    assert caller.get("/", sni="api.example.com").status == 400
    stage.assert_unknown_name_is_rejected(caller, "nobody.example.com")


def test_a_unix_listener_serves_and_rejects_as_the_others(stage: Stage) -> None:
    caller = at(stage, "main", unix=stage.extra["unix"])
    assert caller.get("/", sni="api.example.com", credentials=stage.pair()).status == 200
    seen = stage.extra["backend"].last
    assert seen.values("Host") == ["api.example.com"]
    assert seen.values("X-Client-Verify") == ["SUCCESS"]
    assert seen.values("X-Real-IP") == []  # a peer of a unix socket has no address
    assert caller.get("/", sni="api.example.com").status == 400
    stage.assert_unknown_name_is_rejected(caller, None)
    assert stage.extra["unix"].parent.stat().st_mode & 0o007 == 0


PREAMBLE = b"PROXY TCP4 203.0.113.7 192.0.2.1 1234 443\r\n"


def test_the_proxy_protocol_of_a_trusted_network_is_believed(stage: Stage) -> None:
    name = "proxied.example.com"
    caller = at(stage, "proxied", preamble=PREAMBLE)
    assert caller.get("/", sni=name, credentials=stage.pair(), source=TRUSTED).status == 200
    assert address_told(stage) == [["203.0.113.7"], ["203.0.113.7"]]
    forged = [("X-Forwarded-For", "198.51.100.1"), ("X-Real-IP", "198.51.100.1")]
    caller.get("/", sni=name, credentials=stage.pair(), headers=forged)
    assert address_told(stage) == [["203.0.113.7"], ["203.0.113.7"]]


def test_the_proxy_protocol_of_others_is_not_believed(stage: Stage) -> None:
    caller = at(stage, "proxied", preamble=PREAMBLE)
    answer = caller.get("/", sni="proxied.example.com", credentials=stage.pair(), source=OTHER)
    assert answer.status == 200
    assert address_told(stage) == [[OTHER], [OTHER]]


def test_proxy_protocol_version_2_and_a_connection_without_it(stage: Stage) -> None:
    address = socket.inet_aton("203.0.113.9") + socket.inet_aton("192.0.2.1") + b"\x04\xd2\x01\xbb"
    second = b"\r\n\r\n\0\r\nQUIT\n" + b"\x21\x11" + len(address).to_bytes(2, "big") + address
    caller = at(stage, "proxied", preamble=second)
    assert caller.get("/", sni="proxied.example.com", credentials=stage.pair()).status == 200
    assert address_told(stage)[0] == ["203.0.113.9"]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        at(stage, "proxied").connect("proxied.example.com", stage.pair())
    with pytest.raises(ssl.SSLError):
        at(stage, "main", preamble=PREAMBLE).connect("api.example.com", stage.pair())


def test_the_header_of_a_named_network_says_who_calls(stage: Stage) -> None:
    name, caller = "real.example.com", at(stage, "real")
    for told, believed in (
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),  # the last is the proxy's own word
        ("nonsense", TRUSTED),
        ("", TRUSTED),
    ):
        headers = [("X-Forwarded-For", told)] if told else []
        caller.get("/", sni=name, credentials=stage.pair(), headers=headers, source=TRUSTED)
        assert address_told(stage) == [[believed], [believed]]


def test_the_header_of_others_says_nothing(stage: Stage) -> None:
    forged = [("X-Forwarded-For", "203.0.113.7"), ("X-Real-IP", "203.0.113.7")]
    for kind, source in (("real", OTHER), ("main", TRUSTED), ("main", OTHER)):
        name = "api" if kind == "main" else kind
        at(stage, kind).get(
            "/",
            sni=f"{name}.example.com",
            credentials=stage.pair(),
            headers=forged,
            source=source,
        )
        assert address_told(stage) == [[source], [source]]


def test_the_health_listener_never_reaches_the_backend(stage: Stage) -> None:
    before = len(stage.extra["backend"].seen)
    for host in ("10.0.0.1", "api.example.com"):
        answer = plain(stage, "health", f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")
        assert (answer.status, answer.body) == (200, b"ok\n")
        assert answer.value("Server") == "nginx"
    assert plain(stage, "health", "GET /healthz HTTP/1.0\r\n\r\n").status == 200
    for path in ("/", "/orders", "/healthz/x", "/x/../healthz/..", "/index.html"):
        request = f"GET {path} HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
        assert plain(stage, "health", request).status == 404
    assert len(stage.extra["backend"].seen) == before


def test_the_redirect_goes_to_https_of_the_same_name(stage: Stage) -> None:
    port = stage.extra["ports"]["main"]
    for host, path in (
        ("api.example.com", "/"),
        ("API.example.com", "/a?b=c"),
        ("api.example.com:80", "/%0d%0aX-Evil:%20y"),
        ("api.example.com.", "//evil.example/x"),
        ("x.wild.example.com", "/"),
    ):
        answer = plain(stage, "redirect", f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
        name = host.lower().split(":")[0].rstrip(".")
        assert answer.status == 308
        assert answer.value("Location") == f"https://{name}:{port}{path}"


@pytest.mark.parametrize(
    "request_lines",
    [
        "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: api.example.com.evil.example\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: api.example.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: api.example.com@evil.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.example\\.wild.example.com\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET @evil.example HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        "GET .evil.example HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: api.example.com\r\n\r\n",
    ],
)
def test_no_request_is_redirected_to_a_name_that_is_not_ours(
    stage: Stage, request_lines: str
) -> None:
    answer = plain(stage, "redirect", request_lines)
    assert answer.status in (400, 421) or (
        answer.status == 308 and "evil.example/" not in (answer.value("Location") or "")
    )
    if answer.status == 308:
        host = (answer.value("Location") or "").split("/")[2].split(":")[0]
        assert host.endswith(".wild.example.com")


def test_http2_is_offered_unless_switched_off(stage: Stage) -> None:
    def chosen(kind: str, name: str) -> str | None:
        with at(stage, kind).connect(name, stage.pair(), alpn=["h2", "http/1.1"]) as connection:
            return connection.selected_alpn_protocol()

    assert chosen("main", "api.example.com") == "h2"
    assert chosen("no-h2", "no-h2.example.com") == "http/1.1"


def test_links_of_one_address_may_differ_in_http2_only_where_the_build_can(
    material: Material, nginx_builds: dict[str, Path]
) -> None:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    links = [
        link("with", listen, "http://127.0.0.1:1"),
        link("without", listen, "http://127.0.0.1:1", http2=False),
    ]
    spec = spec_of(material, links)
    path = write_spec(material.folder, "mixed", spec)
    old = pretending(nginx_builds["wheel"], "1.25.0", material.folder)
    done = handclasp("check", "-c", path, "--nginx", old, cwd=material.folder)
    assert done.returncode == 1
    assert "1.25.1" in done.stdout
    with running_stage(material, nginx_builds["wheel"], "mixed", spec, port) as running:
        for name, protocol in (("with", "h2"), ("without", "http/1.1")):
            with running.caller.connect(
                f"{name}.example.com", running.pair(), alpn=["h2", "http/1.1"]
            ) as connection:
                assert connection.selected_alpn_protocol() == protocol


@pytest.mark.parametrize(
    "tls", [{"groups": ["secp384r1"]}, {"ciphers": ["TLS_AES_256_GCM_SHA384"]}]
)
def test_links_of_one_address_must_agree_on_groups_and_suites(
    material: Material, nginx_build: Path, tls: dict[str, list[str]]
) -> None:
    links = [
        link("one", "127.0.0.1:1", "http://127.0.0.1:1"),
        link("two", "127.0.0.1:1", "http://127.0.0.1:1", tls=tls),
    ]
    path = write_spec(material.folder, "groups", spec_of(material, links))
    done = handclasp("check", "-c", path, "--nginx", nginx_build, cwd=material.folder)
    assert done.returncode == 1
    assert "tls-policy-conflict-on-listener" in done.stdout
