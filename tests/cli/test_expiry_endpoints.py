"""`handclasp expiry` asks real TLS servers on loopback, as the client it is told to be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests.cli.test_documents import validate
from tests.integration.running import handclasp, write_spec
from tests.wire import servers
from tests.wire.servers import Hop, Seen, free_port, says, server_context, serving, tls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def hop(tmp_path_factory: pytest.TempPathFactory) -> Hop:
    return servers.hop(tmp_path_factory.mktemp("hop"))


@pytest.fixture
def server(hop: Hop) -> Iterator[Seen]:
    """It wants a client certificate of the root."""
    with serving(tls(server_context(hop), then="close")) as seen:
        yield seen


def records(
    cwd: Path, *arguments: str | Path, rc: int = 0, temporary: Path | None = None
) -> list[dict[str, Any]]:
    env = {"TMPDIR": str(temporary)} if temporary else None
    done = handclasp("expiry", *arguments, "--format", "json", cwd=cwd, env=env)
    assert done.returncode == rc, done.stdout + done.stderr
    found: list[dict[str, Any]] = validate("expiry", done.stdout)["certificates"]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", ["https://127.0.0.1:{}/health?x", "127.0.0.1:{}"])
def test_a_server_shows_its_chain_to_anybody(hop: Hop, form: str, version: ssl.TLSVersion) -> None:
    """Who requires a client certificate refuses us only after showing its own."""
    with serving(tls(server_context(hop, version=version))) as seen:
        (one,) = records(hop.folder, form.format(seen.port))
    assert one["source"] == form.format(seen.port)
    assert one["subject"] == "CN=server,O=Example Org"
    assert [member["kind"] for member in one["chain"]] == ["certificate", "ca"]
    assert (one["state"], one["verification"]) == ("ok", None)


@pytest.mark.parametrize("version", VERSIONS)
def test_it_asks_as_the_identity_it_is_given(hop: Hop, version: ssl.TLSVersion) -> None:
    with serving(tls(server_context(hop, version=version), then="close")) as seen:
        given = ("--cert", "client.pem", "--key", "client.key", "--ca", "root.pem")
        (one,) = records(hop.folder, f"127.0.0.1:{seen.port}", *given)
    assert one["verification"] == "ok"
    assert seen.certificates == [hop.client.der]


def test_any_form_of_identity_will_do_and_no_key_is_written(
    hop: Hop, server: Seen, tmp_path: Path
) -> None:
    store = pkcs12.serialize_key_and_certificates(
        *(b"x", hop.client.private_key, hop.client.certificate, None),  # type: ignore[arg-type]
        BestAvailableEncryption(b"open sesame"),
    )
    (tmp_path / "client.p12").write_bytes(store)
    (tmp_path / "password").write_text("open sesame")
    (tmp_path / "temporary").mkdir()
    watched = (tmp_path / "temporary").stat().st_mtime_ns
    records(
        tmp_path,
        f"127.0.0.1:{server.port}",
        *("--cert", "client.p12", "--password-file", "password"),
        temporary=tmp_path / "temporary",
    )
    assert server.certificates == [hop.client.der]
    assert (tmp_path / "temporary").stat().st_mtime_ns == watched


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ca", "stranger-ca.pem"], "unable to get local issuer certificate"),
        (["--ca", "root.pem", "--server-name", "other.example"], "not valid for 'other.example'"),
    ],
)
def test_a_chain_that_does_not_verify_is_shown_all_the_same(
    hop: Hop, server: Seen, arguments: list[str], said: str
) -> None:
    (one,) = records(hop.folder, f"127.0.0.1:{server.port}", *arguments)
    assert said in one["verification"]
    assert one["state"] == "ok"
    shown = handclasp("expiry", f"127.0.0.1:{server.port}", *arguments, cwd=hop.folder).stdout
    assert "it is not verified: " in shown


def test_the_name_that_is_given_is_asked_for_and_verified(hop: Hop) -> None:
    context, names = server_context(hop), []
    context.sni_callback = lambda _, name, __: names.append(name)
    with serving(tls(context, then="close")) as seen:
        given = ("--ca", "root.pem", "--server-name", "server.example")
        (one,) = records(hop.folder, f"127.0.0.1:{seen.port}", *given)
    assert one["verification"] == "ok"
    assert names == ["server.example"]


def test_a_server_with_an_expired_certificate_is_expired_not_unreachable(hop: Hop) -> None:
    with serving(tls(server_context(hop, certificate="expired-server"))) as seen:
        given = ("--ca", "root.pem", "--server-name", "server.example")
        (one,) = records(hop.folder, f"127.0.0.1:{seen.port}", *given, rc=1)
    assert one["state"] == "expired"
    assert one["verification"] == "certificate has expired"


def test_who_cannot_be_reached_is_listed_beside_those_who_can(hop: Hop, server: Seen) -> None:
    lost = f"127.0.0.1:{free_port()}"
    told = records(hop.folder, f"127.0.0.1:{server.port}", lost, "nobody.invalid:443", rc=1)
    reasons = {one["source"]: one["reason"] for one in told}
    assert reasons[lost] == "it cannot be reached: Connection refused"
    assert reasons["nobody.invalid:443"].startswith("it cannot be reached: nobody.invalid: ")
    assert [one["state"] for one in told] == ["unreadable", "unreadable", "ok"]
    # Nobody there at all is the environment's fault.
    records(hop.folder, lost, rc=3)


def test_what_is_no_tls_is_listed_with_the_reason(hop: Hop) -> None:
    with serving(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as seen:
        (one,) = records(hop.folder, f"127.0.0.1:{seen.port}", rc=3)
    assert one["reason"].startswith("no certificate was seen: ")


def spec_with(
    hop: Hop, folder: Path, port: int, link: dict[str, object] | None = None, **identity: object
) -> Path:
    """A link to the server as `svc-b`; `link` are more of its keys, the rest more identities."""
    identities = {"svc-b": {"certificate": hop.pem("client"), "key": hop.key("client")}}
    orders = {
        "name": "orders",
        "listen": "127.0.0.1:8080",
        "upstream": f"https://127.0.0.1:{port}",
        "identity": "svc-b",
        "trust": "company",
        "verify": {"name": "server.example"},
        **(link or {}),
    }
    return write_spec(
        folder,
        "handclasp",
        {
            "identities": {**identities, **identity},
            "trust": {"company": {"certificates": [hop.pem("root")]}},
            "egress": [orders],
        },
    )


def test_an_identity_of_the_spec_can_be_the_one_that_asks(
    hop: Hop, server: Seen, tmp_path: Path
) -> None:
    spec_with(hop, tmp_path, server.port)
    (one,) = records(tmp_path, f"127.0.0.1:{server.port}", "--identity", "svc-b")
    assert one["subject"].startswith("CN=server,")
    assert server.certificates == [hop.client.der]
    done = handclasp("expiry", f"127.0.0.1:{server.port}", "--identity", "x", cwd=tmp_path)
    assert (done.returncode, "It has: svc-b." in done.stderr) == (2, True)


def test_peers_are_asked_as_their_links_do(hop: Hop, server: Seen, tmp_path: Path) -> None:
    spec_with(hop, tmp_path, server.port)
    told = {one["name"]: one for one in records(tmp_path, "--peers")}
    assert set(told) == {"identity svc-b", "trust company", "upstream of egress orders"}
    peer = told["upstream of egress orders"]
    assert peer["verification"] == "ok"  # of server.example, which is not its address
    assert peer["breaks"] == ["egress orders refuses its upstream"]
    assert server.certificates == [hop.client.der]


@pytest.mark.parametrize(
    ("link", "verification"),
    [
        ({"verify": {"name": "other.example"}}, "not valid for 'other.example'"),
        ({"insecure_accept_any": True}, None),
    ],
)
def test_peers_are_verified_as_their_links_do(
    hop: Hop, server: Seen, tmp_path: Path, link: dict[str, object], verification: str | None
) -> None:
    spec_with(hop, tmp_path, server.port, link)
    told = {one["name"]: one["verification"] for one in records(tmp_path, "--peers")}
    seen = told["upstream of egress orders"]
    assert seen is None if verification is None else verification in seen


def test_routes_have_peers_of_their_own(hop: Hop, server: Seen, tmp_path: Path) -> None:
    """The link's name is not that of another upstream: the address is verified."""
    route = {"path": "/p/", "upstream": f"https://127.0.0.1:{server.port}"}
    spec_with(hop, tmp_path, free_port(), {"routes": [route]})
    told = {one["name"]: one for one in records(tmp_path, "--peers", rc=1)}
    assert told["upstream of egress orders"]["state"] == "unreadable"
    assert told["upstream of egress orders /p/"]["verification"] == "ok"


@pytest.mark.parametrize("key", ["identity", "trust"])
def test_a_link_that_names_nothing_cannot_be_asked_for(hop: Hop, tmp_path: Path, key: str) -> None:
    spec_with(hop, tmp_path, 1, {key: "lost"})
    done = handclasp("expiry", "--peers", cwd=tmp_path)
    assert done.returncode == 2
    assert f"the spec has no {key} 'lost'" in done.stderr


def test_a_key_in_a_token_is_dated_but_does_not_ask(hop: Hop, server: Seen, tmp_path: Path) -> None:
    token = {"certificate": hop.pem("client"), "key": "pkcs11:token=none;object=x"}
    spec_with(hop, tmp_path, server.port, hsm=token)
    assert "identity hsm" in {one["name"] for one in records(tmp_path)}
    done = handclasp("expiry", f"127.0.0.1:{server.port}", "--identity", "hsm", cwd=tmp_path)
    assert (done.returncode, "in a token" in done.stderr) == (2, True)


@contextlib.contextmanager
def many(context: ssl.SSLContext, count: int) -> Iterator[list[str]]:
    """Listeners on addresses of their own, one loop for all."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(1)
        writer.close()

    async def serve() -> asyncio.Server:
        hosts = [f"127.0.{one // 200}.{one % 200 + 1}" for one in range(count)]
        return await asyncio.start_server(greet, hosts, 0, ssl=context)

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(serve())
    addresses = ["{}:{}".format(*one.getsockname()) for one in server.sockets]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield addresses
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_ended(loop))
        loop.close()


async def _ended(loop: asyncio.AbstractEventLoop) -> None:
    tasks = [one for one in asyncio.all_tasks(loop) if one is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_500_endpoints_are_asked_at_the_same_time_and_all_are_told(hop: Hop) -> None:
    """With 100 jobs: 440 answer, 30 refuse, 30 are silent, which one after the other would take a
    quarter of a minute by themselves."""
    refusing = [f"127.0.9.{number}:1" for number in range(1, 31)]
    with many(server_context(hop), 440) as answering, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        waiting = [f"https://127.0.0.1:{silent.getsockname()[1]}/{one}" for one in range(30)]
        given = ("--cert", "client.pem", "--key", "client.key", "--connect-timeout", "4s")
        told = records(hop.folder, *answering, *refusing, *waiting, *given, rc=1)
    assert {one["source"] for one in told} == {*answering, *refusing, *waiting}
    assert len(told) == 500
    assert Counter((one["state"], (one["reason"] or "")[:20]) for one in told) == {
        ("ok", ""): 440,
        ("unreadable", "it cannot be reached"): 30,
        ("unreadable", "no certificate was s"): 30,
    }
