"""Peers that are silent, rude, broken or somewhere else: each ends in an observation, in time."""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import ssl
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handclasp.wire.client import observe
from handclasp.wire.observation import FailureKind, Stage, Target
from handclasp.wire.offer import HttpRequest
from tests.wire.looking import V12, VERSIONS, at, identity, see
from tests.wire.servers import (
    HELLO,
    Hop,
    Seen,
    free_port,
    open_files,
    says,
    server_context,
    serving,
)
from tests.wire.servers import tls as tls_server

if TYPE_CHECKING:
    from pathlib import Path


def test_a_silent_server_is_waited_for_a_bounded_time(hop: Hop) -> None:
    with serving(tls_server(server_context(hop), then="hold")) as seen:
        quiet = see(at(seen), identity=identity(hop), first_read=0.02)
        asked = see(at(seen), identity=identity(hop), request=HttpRequest(), timeout=0.5)
    assert quiet.ok
    assert quiet.steps[-1].name is Stage.FIRST_READ
    assert "no objection" in quiet.steps[-1].detail
    assert asked.failure is not None
    assert (asked.failure.stage, asked.failure.kind) == (Stage.ANSWER, FailureKind.TIMEOUT)


def test_a_port_where_nobody_listens_is_a_refused_connection() -> None:
    found = see(Target(host="127.0.0.1", port=free_port()))
    assert found.failure is not None
    assert found.failure.stage is Stage.CONNECT
    assert found.failure.errno == errno.ECONNREFUSED
    assert found.failure.errno_name == "ECONNREFUSED"
    assert [attempt.errno for attempt in found.addresses] == [errno.ECONNREFUSED]
    assert not found.reached
    assert not found.refused


def test_a_listener_that_never_answers_is_a_timeout_in_the_handshake() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        found = see(Target(host="127.0.0.1", port=hole.getsockname()[1]), timeout=0.2)
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == (Stage.HANDSHAKE, FailureKind.TIMEOUT)
    assert found.reached
    assert not found.steps[-1].ok
    assert found.steps[-1].seconds < 2
    assert found.steps[-1].detail == "cut short"


@pytest.mark.parametrize("listens", [False, True])
def test_a_server_that_closes_at_once_is_closed_and_nothing_more(listens: bool) -> None:
    with serving(says(b"", listens=listens)) as seen:
        found = see(at(seen))
    assert found.failure is not None
    assert found.failure.stage is Stage.HANDSHAKE
    assert found.failure.kind in {FailureKind.CLOSED, FailureKind.OS}
    assert found.failure.alert is None
    assert found.bytes_received == 0


def test_a_reset_is_named_by_its_errno() -> None:
    def reset(connection: socket.socket, _seen: Seen) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with serving(reset) as seen:
        found = see(at(seen))
    assert found.failure is not None
    assert found.failure.errno_name in {"ECONNRESET", "EPIPE"}


def test_an_http_server_on_the_port_shows_in_the_first_bytes() -> None:
    reply = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with serving(says(reply)) as seen:
        found = see(at(seen), request=HttpRequest())
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == (Stage.HANDSHAKE, FailureKind.TLS)
    assert found.failure.received == reply
    assert found.first_bytes == reply
    assert found.protocol is None


def test_a_name_without_an_address_ends_before_any_connection() -> None:
    for host in ("no-such-host.invalid", "x" * 70 + ".example", "nul\0.example"):
        found = see(Target(host=host, port=443))
        assert found.failure is not None
        assert (found.failure.stage, found.failure.kind) == (Stage.RESOLVE, FailureKind.RESOLVE)
        assert found.addresses == ()


def test_plain_http_is_asked_without_tls() -> None:
    with serving(says(HELLO)) as seen:
        found = see(at(seen, tls=False), request=HttpRequest(path="/x", host="a.example"))
    assert found.ok
    assert found.answer is not None
    assert found.protocol is None
    assert found.client_certificate_requested is None
    assert seen.received[0].startswith(b"GET /x HTTP/1.1\r\nHost: a.example\r\n")


def test_a_connection_alone_can_be_asked_for() -> None:
    with serving(says(b"", listens=False)) as seen:
        found = see(at(seen, None, tls=False))
    assert found.ok
    assert [step.name for step in found.steps] == [Stage.RESOLVE, Stage.CONNECT]


def test_unix_sockets_and_ipv6_are_spoken_to_like_any_other(hop: Hop, tmp_path: Path) -> None:
    context = server_context(hop, clients=None)
    path = tmp_path / "s"
    with serving(tls_server(context), path=path) as seen:
        local = see(
            Target(unix_path=str(path), server_name="server.example"), request=HttpRequest()
        )
    assert local.ok
    assert local.addresses[0].address == str(path)
    gone = see(Target(unix_path=str(tmp_path / "absent")))
    assert gone.failure is not None
    assert gone.failure.errno_name == "ENOENT"
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with serving(tls_server(context), family=socket.AF_INET6) as seen:
        six = see(Target(host="::1", port=seen.port), request=HttpRequest())
    assert six.ok
    assert six.addresses[0].address == six.remote_address == f"[::1]:{seen.port}"
    assert b"\r\nHost: [::1]\r\n" in seen.received[0]


def test_the_proxy_header_comes_first_and_tells_the_truth() -> None:
    with serving(says(HELLO)) as seen:
        found = see(at(seen, tls=False, proxy_protocol=True), request=HttpRequest())
    assert found.ok
    line = seen.received[0].partition(b"\r\n")[0].decode()
    port = (found.local_address or "").partition(":")[2]
    assert line == f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {seen.port}"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(noise=st.binary(max_size=300), encrypted=st.booleans(), plain=st.booleans())
def test_any_bytes_from_a_server_make_an_observation(
    hop: Hop, noise: bytes, encrypted: bool, plain: bool
) -> None:
    """Garbage before, instead of and inside TLS is reported, never raised."""
    context = server_context(hop, clients=None)
    behaviour = tls_server(context, noise) if encrypted else says(noise)
    with serving(behaviour) as seen:
        found = see(at(seen, tls=not plain or encrypted), request=HttpRequest(), timeout=3)
    assert found.reached
    assert found.failure is not None
    assert found.failure.kind is not FailureKind.TIMEOUT
    assert found.failure.text


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_damaged_server_flight_makes_an_observation(hop: Hop, place: float, flip: int) -> None:
    """One flipped byte anywhere in the server's first flight ends in a report, never raises."""
    context = server_context(hop, clients=None)

    def damaged(connection: socket.socket, _seen: Seen) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(connection.recv(65536))
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        flight = bytearray(outgoing.read())
        flight[int(place * len(flight))] ^= flip
        connection.sendall(flight)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    with serving(damaged) as seen:
        found = see(at(seen), timeout=3)
    assert found.failure is not None
    assert found.failure.kind is not FailureKind.TIMEOUT


def test_no_socket_outlives_its_observation(hop: Hop) -> None:
    async def scenario() -> tuple[int, int]:
        before = open_files()
        with serving(tls_server(server_context(hop))) as seen, serving(says(b"junk")) as noisy:
            inside = open_files()
            await observe(at(seen), identity=identity(hop), request=HttpRequest())
            await observe(at(seen))
            await observe(at(noisy))
            await observe(Target(host="127.0.0.1", port=free_port()))
            cancelled = asyncio.ensure_future(observe(at(seen), identity=identity(hop)))
            await asyncio.sleep(0.02)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            for _ in range(200):  # the servers have their own ends to close
                if open_files() == inside:
                    break
                await asyncio.sleep(0.01)
        return before, open_files()

    before, after = asyncio.run(asyncio.wait_for(scenario(), 20))
    assert after == before


def test_durations_are_measured_by_the_clock_given() -> None:
    ticks = itertools.count()
    with serving(says(HELLO)) as seen:
        found = see(at(seen, tls=False), request=HttpRequest(), clock=lambda: float(next(ticks)))
    assert [step.seconds for step in found.steps] == [1.0, 3.0, 1.0, 1.0]


def test_a_server_that_speaks_first_loses_no_word(hop: Hop) -> None:
    with serving(tls_server(server_context(hop), then="speak")) as seen:
        found = see(at(seen), identity=identity(hop), request=HttpRequest())
    assert found.answer is not None
    assert found.answer.body == b"hi"
    assert found.close_notify_received


@VERSIONS
def test_a_server_that_closes_after_the_handshake_is_not_taken_for_a_good_one(
    hop: Hop, version: ssl.TLSVersion
) -> None:
    with serving(tls_server(server_context(hop, version=version), then="close")) as seen:
        found = see(at(seen), identity=identity(hop), request=HttpRequest())
    assert found.failure is not None
    assert found.failure.kind in {FailureKind.CLOSED, FailureKind.OS}
    assert found.refused_after_handshake


def test_the_goodbye_is_said_in_tls(hop: Hop) -> None:
    """The server insists on close_notify before the end of file."""
    with serving(tls_server(server_context(hop), then="hold")) as seen:
        found = see(at(seen), identity=identity(hop), first_read=0.01)
    assert found.ok
    assert seen.received == [b""]
    assert seen.errors == []


def test_a_goodbye_instead_of_a_handshake_is_closed() -> None:
    with serving(says(b"\x15\x03\x03\x00\x02\x01\x00")) as seen:
        found = see(at(seen))
    assert found.failure is not None
    assert (found.failure.stage, found.failure.kind) == (Stage.HANDSHAKE, FailureKind.CLOSED)
    assert found.close_notify_received


def test_tls_1_2_is_not_waited_for_since_its_finished_was_consent(hop: Hop) -> None:
    with serving(tls_server(server_context(hop, version=V12), then="hold")) as seen:
        found = see(at(seen), identity=identity(hop), first_read=30, timeout=10)
    assert found.ok
    assert found.steps[-1].seconds < 1
