"""Both builds of nginx, one process each, seen by the handshake client.

nginx never refuses a client certificate in TLS: it completes the handshake and answers 400.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.nginx.features import Feature
from handclasp.wire.client import observe
from handclasp.wire.observation import FailureKind, Observation, Party, Stage, Target
from handclasp.wire.offer import ClientCredential, HttpRequest, TlsVersion, TrustAnchors
from tests.conftest import facts_of
from tests.wire import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.nginx.facts import Facts

pytestmark = pytest.mark.integration
VERSIONS = pytest.mark.parametrize("version", [TlsVersion.TLS_1_2, TlsVersion.TLS_1_3])
ASK = HttpRequest(host="server.example")


@dataclass(frozen=True)
class Ports:
    """Where the listeners of one nginx are."""

    mutual: int
    plain: int
    proxied: int
    unix: str
    facts: Facts


@pytest.fixture(scope="module", params=servers.NGINX_BUILDS)
def ports(
    request: pytest.FixtureRequest, hop: servers.Hop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ports]:
    binary = servers.nginx_binary(request.param)
    prefix = tmp_path_factory.mktemp(request.param) / "nginx"
    mutual, plain, proxied = (servers.free_port() for _ in range(3))
    facts = facts_of(Path(binary))
    here = Ports(mutual=mutual, plain=plain, proxied=proxied, unix=f"{prefix}/s", facts=facts)
    common = (
        f"server_name server.example; ssl_certificate {hop.pem('server')};"
        f"ssl_certificate_key {hop.key('server')}; "
        f"ssl_client_certificate {hop.pem('root')}; ssl_verify_client on; ssl_session_tickets off;"
    )
    # Before 1.19.4 a server without a name can only hang up, once the handshake is done.
    reject = "ssl_reject_handshake on;"
    if not facts.has(Feature.REJECT_HANDSHAKE):
        reject = (
            f"ssl_certificate {hop.pem('server')}; ssl_certificate_key {hop.key('server')};"
            "return 444;"
        )
    http = (
        # For all: the default server's protocols are those of the whole port, and 1.22 has no
        # TLS 1.3 among its defaults.
        "ssl_protocols TLSv1.2 TLSv1.3;"
        f"server {{ listen 127.0.0.1:{here.mutual} ssl default_server; {reject} }}"
        f"server {{ listen 127.0.0.1:{here.mutual} ssl; listen unix:{here.unix} ssl; {common}"
        f" location / {{ return 200 ok; }} }}"
        f"server {{ listen 127.0.0.1:{here.proxied} ssl proxy_protocol; {common}"
        f" location / {{ return 200 $proxy_protocol_addr:$proxy_protocol_port; }} }}"
        f"server {{ listen 127.0.0.1:{here.plain}; location / {{ return 200 plain; }} }}"
    )
    with servers.nginx(binary, prefix, http, ready_port=here.plain):
        yield here


def see(port: int, *, name: str | None = "server.example", **arguments: object) -> Observation:
    target = Target(host="127.0.0.1", port=port, server_name=name)
    return asyncio.run(observe(target, **arguments))  # type: ignore[arg-type]


def identity(hop: servers.Hop, name: str) -> ClientCredential:
    return ClientCredential(certificate=hop.pem(name), key=hop.key(name))


@VERSIONS
def test_a_good_client_is_let_in_by_a_verified_server(
    ports: Ports, hop: servers.Hop, version: TlsVersion
) -> None:
    found = see(
        ports.mutual,
        identity=identity(hop, "client"),
        trust=TrustAnchors(files=(hop.pem("root"),)),
        verify_name="server.example",
        minimum=version,
        maximum=version,
        request=ASK,
    )
    assert found.failure is None
    assert found.protocol == version
    assert found.answer is not None
    assert (found.answer.status, found.answer.body) == (200, b"ok")
    assert found.answer.header("SERVER")
    assert found.certificate_request is not None
    assert found.certificate_request.authorities == (hop.root.certificate.subject.public_bytes(),)


@VERSIONS
def test_a_listener_is_proven_by_its_leaf_without_a_request(
    ports: Ports, hop: servers.Hop, version: TlsVersion
) -> None:
    found = see(ports.mutual, minimum=version, maximum=version)
    assert found.ok, "nginx has nothing against a client without certificate until it asks"
    assert found.peer is not None
    assert found.peer.leaf == hop.server.der
    assert found.client_certificate_requested is True
    assert found.client_certificate_sent is False


@VERSIONS
@pytest.mark.parametrize(
    ("client", "words"),
    [
        (None, b"No required SSL certificate was sent"),
        ("stranger", b"The SSL certificate error"),
        ("expired", b"The SSL certificate error"),
    ],
)
def test_a_refused_client_gets_its_refusal_in_http(
    ports: Ports, hop: servers.Hop, version: TlsVersion, client: str | None, words: bytes
) -> None:
    found = see(
        ports.mutual,
        identity=identity(hop, client) if client else None,
        minimum=version,
        maximum=version,
        request=ASK,
    )
    assert found.ok, "the connection is fine, the answer is the refusal"
    assert found.answer is not None
    assert found.answer.status == 400
    assert words in found.answer.body


@VERSIONS
@pytest.mark.parametrize("name", [None, "other.example"])
def test_a_rejected_name_is_alert_112_or_an_end_without_an_answer(
    ports: Ports, version: TlsVersion, name: str | None
) -> None:
    asking = HttpRequest(host=name or "nobody.example")
    found = see(ports.mutual, name=name, minimum=version, maximum=version, request=asking)
    assert found.failure is not None
    if not ports.facts.has(Feature.REJECT_HANDSHAKE):
        assert (found.failure.stage, found.failure.kind) == (Stage.ANSWER, FailureKind.CLOSED)
        assert found.answer is None
        return
    assert found.failure.stage is Stage.HANDSHAKE
    assert (found.failure.alert, found.failure.alert_name) == (112, "unrecognized_name")
    assert found.failure.alert_from is Party.PEER


def test_plain_http_on_the_tls_port_is_answered_400_in_plain(ports: Ports) -> None:
    target = Target(host="127.0.0.1", port=ports.mutual, tls=False)
    found = asyncio.run(observe(target, request=ASK))
    assert found.answer is not None
    assert found.answer.status == 400
    assert b"The plain HTTP request was sent to HTTPS port" in found.answer.body


def test_tls_on_a_plain_port_shows_the_http_answer(ports: Ports) -> None:
    found = see(ports.plain, request=ASK)
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == (Stage.HANDSHAKE, FailureKind.TLS)
    assert found.failure.received.startswith((b"HTTP/1.1 400", b"<html>"))


def test_a_proxy_protocol_listener_reads_the_address_from_the_header(
    ports: Ports, hop: servers.Hop
) -> None:
    common = {"identity": identity(hop, "client"), "request": ASK}
    where = {"host": "127.0.0.1", "port": ports.proxied, "server_name": "server.example"}
    good = asyncio.run(observe(Target(**where, proxy_protocol=True), **common))  # type: ignore[arg-type]
    bare = asyncio.run(observe(Target(**where), **common))  # type: ignore[arg-type]
    assert good.answer is not None
    assert good.answer.body.decode() == good.local_address
    assert bare.failure is not None, "without the header nginx hangs up"
    assert bare.failure.stage is Stage.HANDSHAKE


def test_a_unix_listener_is_proven_like_a_tcp_one(ports: Ports, hop: servers.Hop) -> None:
    target = Target(unix_path=ports.unix, server_name="server.example")
    found = asyncio.run(observe(target, identity=identity(hop, "client"), request=ASK))
    assert found.answer is not None
    assert found.answer.body == b"ok"
    assert found.peer is not None
    assert found.peer.leaf == hop.server.der


def test_five_hundred_at_once_all_come_home(ports: Ports, hop: servers.Hop) -> None:
    """TCP and unix alternate: a unix backlog is short, and a full one is not a failure."""

    async def scenario() -> list[Observation]:
        tcp = Target(host="127.0.0.1", port=ports.mutual, server_name="server.example")
        local = Target(unix_path=ports.unix, server_name="server.example")
        who = identity(hop, "client")
        return await asyncio.gather(
            *(
                observe((tcp, local)[index % 2], identity=who, request=ASK, timeout=60)
                for index in range(500)
            )
        )

    before = servers.open_files()
    found = asyncio.run(scenario())
    assert [one.failure for one in found if not one.ok] == []
    assert {one.answer.status for one in found if one.answer} == {200}
    assert servers.open_files() == before


def test_this_python_shows_the_messages(ports: Ports) -> None:
    """If this fails, a new Python has lost what context.record_messages stands on."""
    found = see(ports.mutual)
    assert hasattr(ssl.SSLContext, "_msg_callback")
    assert [message.name for message in found.messages][:2] == ["client_hello", "server_hello"]
