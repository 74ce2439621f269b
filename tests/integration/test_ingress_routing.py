"""Which link a request reaches: SNI, Host, and what happens when they disagree or are missing."""

from __future__ import annotations

import contextlib
import http.client
from typing import TYPE_CHECKING

import pytest
import yaml

from tests import pki
from tests.integration.ingress_stage import (
    NAMES,
    SERVER,
    Caller,
    Stage,
    link,
    ports,
    read_answers,
    running_stage,
    spec_of,
)
from tests.integration.old_build import pretending
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    """One address with five links; `other` believes another CA and has a backend of its own."""
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    with Backend() as ours, Backend() as theirs:
        backend = f"http://127.0.0.1:{ours.port}"
        links = [
            link("api", listen, backend, server_names=[SERVER, "alias.example.com"]),
            link(
                "other",
                listen,
                f"http://127.0.0.1:{theirs.port}",
                clients={"trust": "others", "allow": "any"},
            ),
            link("wild", listen, backend, server_names=["*.wild.example.com"]),
            link(
                "loose",
                listen,
                backend,
                server_names=["loose.example.com", "looser.example.com"],
            ),
            link(
                "open",
                listen,
                f"http://127.0.0.1:{theirs.port}",
                clients={"trust": "others", "verify": "optional", "allow": "any"},
            ),
        ]
        with running_stage(
            material,
            nginx_build,
            "routing",
            spec_of(material, links),
            port,
            ours=ours,
            theirs=theirs,
        ) as running:
            yield running


@pytest.mark.parametrize(
    "name",
    [
        SERVER,
        "alias.example.com",
        "a.wild.example.com",
        "a.b.wild.example.com",
        "loose.example.com",
    ],
)
def test_each_name_of_an_address_leads_to_its_link(stage: Stage, name: str) -> None:
    answer = stage.caller.get("/", sni=name, credentials=stage.pair())
    assert answer.status == 200
    assert stage.extra["ours"].last.values("Host") == [name]


def test_a_link_believes_its_own_ca_and_no_other(stage: Stage) -> None:
    ours, theirs = stage.pair("svc-b"), stage.pair("stranger")
    assert stage.caller.get("/", sni="other.example.com", credentials=theirs).status == 200
    assert stage.caller.get("/", sni="other.example.com", credentials=ours).status == 400
    assert stage.caller.get("/", sni=SERVER, credentials=theirs).status == 400


@pytest.mark.parametrize(
    "sni",
    [None, "nobody.example.com", "wild.example.com", "example.com", "servera.example.com.evil"],
)
def test_a_missing_or_unknown_name_is_rejected_in_the_handshake(
    stage: Stage, sni: str | None
) -> None:
    stage.assert_unknown_name_is_rejected(stage.caller, sni)


@pytest.mark.parametrize(
    ("sni", "host"),
    [
        (SERVER.upper(), SERVER),
        ("ServerA.Example.COM", "SERVERA.example.com"),
        (SERVER, SERVER.upper()),
        (SERVER, f"{SERVER}:8443"),
        (SERVER, f"{SERVER}."),
        ("X.wild.example.com", "x.WILD.example.com"),
    ],
)
def test_host_and_sni_are_compared_as_names(stage: Stage, sni: str, host: str) -> None:
    assert stage.caller.get("/", sni=sni, host=host, credentials=stage.pair()).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "other.example.com",
        "open.example.com",
        "alias.example.com",  # of the same link
        "loose.example.com",
        "nobody.example.com",
        "127.0.0.1",
        f"{SERVER}.evil.example",
        f"x{SERVER}",
    ],
)
def test_another_host_than_the_negotiated_name_is_misdirected(stage: Stage, host: str) -> None:
    before = len(stage.extra["ours"].seen), len(stage.extra["theirs"].seen)
    answer = stage.ask_host(host)
    if answer is not None:
        assert answer.status == 421
        assert answer.value("Server") == "nginx"
        assert answer.value("X-Request-ID")
    assert (len(stage.extra["ours"].seen), len(stage.extra["theirs"].seen)) == before


@pytest.mark.parametrize("sni", [SERVER, "loose.example.com", "a.wild.example.com"])
@pytest.mark.parametrize("host", ["other.example.com", "open.example.com"])
@pytest.mark.parametrize("who", ["svc-b", None])
def test_no_name_of_one_link_opens_a_link_with_another_ca(
    stage: Stage, sni: str, host: str, who: str | None
) -> None:
    """The hole between tenants: handshake under a name I may use, Host of one I may not."""
    before = len(stage.extra["theirs"].seen)
    credentials = stage.pair(who) if who else None
    for target in ("/", f"https://{host}/"):
        for host_line in (host, sni):
            lines = f"GET {target} HTTP/1.1\r\nHost: {host_line}\r\nConnection: close\r\n\r\n"
            answers = stage.caller.send(lines.encode(), sni=sni, credentials=credentials)
            assert all(answer.status in (400, 421) for answer in answers) or host_line == sni
    assert len(stage.extra["theirs"].seen) == before


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        (f"https://{SERVER}/x", SERVER, 200),
        (f"https://{SERVER}/x", "other.example.com", 200),  # RFC 9112 3.2.2: the target wins
        ("https://other.example.com/x", SERVER, 421),
        (f"http://{SERVER}/x", SERVER, 200),
        (f"https://{SERVER}:99/x", SERVER, 200),
    ],
)
def test_the_host_of_an_absolute_target_is_the_one_compared(
    stage: Stage, target: str, host: str, status: int
) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    (answer,) = stage.caller.send(request.encode(), credentials=stage.pair())
    assert answer.status == status
    if status == 200:
        seen = stage.extra["ours"].last
        assert seen.values("Host") == [SERVER]
        assert seen.path == "/x"


@pytest.mark.parametrize("host", ["", "a b", "a/b", "[::1", f"{SERVER}\x7f", "a..b"])
def test_a_host_that_is_none_is_a_bad_request(stage: Stage, host: str) -> None:
    answer = stage.ask_host(host)
    assert answer is None or answer.status in (400, 421)


@pytest.mark.parametrize(
    "hosts", [(SERVER, "other.example.com"), ("other.example.com", SERVER), (SERVER, SERVER)]
)
def test_two_hosts_are_refused(stage: Stage, hosts: tuple[str, str]) -> None:
    before = len(stage.extra["ours"].seen)
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    (answer,) = stage.caller.send(
        f"GET / HTTP/1.1\r\n{lines}\r\n".encode(), credentials=stage.pair()
    )
    assert answer.status == (421 if hosts[0] != SERVER else 400)
    assert len(stage.extra["ours"].seen) == before


@pytest.mark.parametrize("request_line", [b"GET / HTTP/1.0\r\n\r\n", b"GET /\r\n"])
def test_old_requests_that_name_no_host_are_misdirected(stage: Stage, request_line: bytes) -> None:
    before = len(stage.extra["ours"].seen)
    with contextlib.suppress(http.client.BadStatusLine):  # HTTP/0.9 is answered without a head
        stage.caller.send(request_line, sni=SERVER, credentials=stage.pair())
    assert len(stage.extra["ours"].seen) == before
    named = f"GET / HTTP/1.0\r\nHost: {SERVER}\r\n\r\n".encode()
    (answer,) = stage.caller.send(named, sni=SERVER, credentials=stage.pair())
    assert answer.status == 200


@pytest.mark.parametrize("host", ["looser.example.com", SERVER, "nobody.example.com"])
def test_with_the_comparison_off_nginx_itself_still_refuses_another_host(
    stage: Stage, host: str
) -> None:
    """ngx_http_set_virtual_server: where clients are verified, the Host is the name negotiated."""
    own = "loose.example.com"
    assert stage.caller.get("/", sni=own, host=own, credentials=stage.pair()).status == 200
    answer = stage.ask_host(host, sni=own)
    assert answer is None or answer.status == 421


@pytest.mark.parametrize("path", ["/", "/index.html", "/50x.html", "/.handclasp/403/text"])
def test_an_unknown_host_gets_no_file_of_the_default_server(stage: Stage, path: str) -> None:
    answer = stage.ask_host("nobody.invalid", path)
    if answer is None:
        return
    assert answer.status in (421, 404)
    assert "1." not in (answer.value("Server") or "")


@pytest.mark.parametrize("host", [SERVER, "nobody.invalid", "127.0.0.1"])
def test_plain_http_to_the_tls_port_is_named_whatever_its_host(stage: Stage, host: str) -> None:
    before = len(stage.extra["ours"].seen)
    with stage.caller.plain() as connection:
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        (answer,) = read_answers(connection)
    assert answer.status == 400
    assert "speaks TLS" in answer.text
    assert answer.value("Server") == "nginx"
    assert len(stage.extra["ours"].seen) == before


def test_the_backend_gets_the_port_the_caller_wrote_and_not_that_of_the_listener(
    stage: Stage,
) -> None:
    """Behind a load balancer or a container's port map the listener's own port is nobody's URL."""
    for written in (SERVER, f"{SERVER}:8443"):
        stage.caller.get("/", host=written, credentials=stage.pair())
        assert stage.extra["ours"].last.values("Host") == [written]


def test_one_connection_may_not_move_on_to_another_link(stage: Stage) -> None:
    """The comparison holds for every request of a connection, not for the first alone."""
    before = len(stage.extra["theirs"].seen)
    requests = b"".join(
        f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        for host in (SERVER, "other.example.com", SERVER)
    )
    answers = stage.caller.send(requests, credentials=stage.pair())
    assert [answer.status for answer in answers][:2] == [200, 421]
    assert len(stage.extra["theirs"].seen) == before


def test_a_build_without_ssl_reject_handshake_closes_without_an_answer(
    stage: Stage, material: Material, nginx_build: Path
) -> None:
    """What is rendered for 1.18, loaded by a newer one: a certificate that names nobody, then 444."""
    (port,) = ports(1)
    spec = yaml.safe_load(stage.running.spec.read_text())
    for one in spec["ingress"]:
        one["listen"] = f"127.0.0.1:{port}"
    old = pretending(nginx_build, "1.18.0", material.folder)
    with running_stage(material, old, "old", spec, port) as aged:
        caller = Caller(port)
        for sni, host in (
            (None, SERVER),
            ("nobody.example.com", SERVER),
            (None, "open.example.com"),
            (None, "other.example.com"),
        ):
            with caller.connect(sni, stage.pair()) as tls:
                certificate = tls.getpeercert(binary_form=True)
            assert certificate is not None
            assert b"rejected.invalid" in certificate
            before = len(stage.extra["ours"].seen), len(stage.extra["theirs"].seen)
            request = f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            answers = caller.send(request, sni=sni, credentials=stage.pair())
            assert all(answer.status in (400, 421) for answer in answers)
            assert (len(stage.extra["ours"].seen), len(stage.extra["theirs"].seen)) == before
        request = b"GET / HTTP/1.1\r\nHost: nobody.invalid\r\n\r\n"
        assert caller.send(request, sni=None, credentials=stage.pair()) == []
        assert aged.caller.get("/", sni=SERVER, credentials=stage.pair()).status == 200
