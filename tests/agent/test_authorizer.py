"""The socket on which nginx asks: who may open it, and that only questions are answered there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http.client
import os
import socket
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.authorizer import Authorizer
from handclasp.agent.clock import SystemClock
from handclasp.agent.denials import Denial, Denials
from handclasp.errors import EnvironmentFault
from handclasp.nginx.state import StateDirectory
from tests.agent.test_policies import Link, caller, escaped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from tests import pki

LINK = Link(forward=["handclasp"])


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory.open(tmp_path / "state", worker_group=None) as opened:
        yield opened


def prepared(link: Link = LINK) -> Any:
    """As much of what `prepare` makes as the authorizer looks at."""

    @dataclass
    class Prepared:
        plan: Any
        material: Any
        read_at: Any
        older_lists: bool = False

    return Prepared(link.plan, link.material, SystemClock().now())


@contextlib.asynccontextmanager
async def listening(
    state: StateDirectory, *, knowing: Link | None = LINK
) -> AsyncIterator[Authorizer]:
    authorizer = Authorizer(state, SystemClock())
    await authorizer.start()
    if knowing:
        authorizer.take(prepared(knowing))
    try:
        yield authorizer
    finally:
        await authorizer.stop()


async def begun(state: StateDirectory) -> None:
    """As far as it gets."""
    async with listening(state):
        pass


async def asked(
    state: StateDirectory,
    headers: Mapping[str, str],
    *,
    method: str = "GET",
    path: str = "/",
    body: bytes = b"",
) -> tuple[int, dict[str, str]]:
    """One request as nginx sends it; status and headers."""

    def ask() -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("agent")
        with socket.socket(socket.AF_UNIX) as connection.sock:
            connection.sock.settimeout(5)
            connection.sock.connect(str(state.authorizer_socket))
            connection.request(method, path, body=body or None, headers=dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}

    return await asyncio.to_thread(ask)


def question(state: StateDirectory, pair: pki.Pair, **other: str) -> dict[str, str]:
    policy = state.path / "policy" / (state.enforcement.policy() or "")
    told = {
        "Rule": LINK.rule,
        "Policy": str(policy),
        "Verify": "SUCCESS",
        "Certificate": escaped(pair),
        **other,
    }
    return {f"X-Handclasp-{name}": value for name, value in told.items()}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# The socket


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_the_socket_is_the_users_alone_whatever_the_umask(
    state: StateDirectory, umask: int
) -> None:
    async def look() -> None:
        before = os.umask(umask)
        try:
            async with listening(state):
                assert os.umask(umask) == umask, "the one before is back"
                assert mode(state.authorizer_socket) == 0o600
                assert mode(state.authorizer_socket.parent) == 0o750
        finally:
            os.umask(before)

    asyncio.run(look())


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a socket to a group")
def test_the_workers_group_may_ask_and_no_other(tmp_path: Path) -> None:
    group = 54_321

    async def look(state: StateDirectory) -> None:
        async with listening(state):
            for path, bits in (
                (state.authorizer_socket, 0o660),
                (state.authorizer_socket.parent, 0o750),
            ):
                assert (mode(path), path.stat().st_gid) == (bits, group)
                assert path.stat().st_uid == os.geteuid()

    with StateDirectory.open(tmp_path / "shared", worker_group=group) as state:
        asyncio.run(look(state))


def test_a_socket_left_behind_is_replaced_in_one_step(state: StateDirectory) -> None:
    """nginx finds the old name or the new one, never none: and one that nobody listens on is no matter."""

    async def look() -> None:
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(state.authorizer_socket))
        left.close()
        async with listening(state):
            status, _ = await asked(state, question(state, caller()))
            assert status == 200
            names = {path.name for path in state.authorizer_socket.parent.iterdir()}
            assert names == {state.authorizer_socket.name}

    asyncio.run(look())


def test_the_longest_path_that_a_socket_can_have_will_do() -> None:
    """107 bytes: nginx and this test name it whole."""

    async def ask(state: StateDirectory) -> None:
        async with listening(state):
            assert (await asked(state, question(state, caller())))[0] == 200

    with tempfile.TemporaryDirectory() as folder:
        rest = 107 - len(f"{folder}//ask/sock")
        with StateDirectory.open(Path(folder) / ("d" * rest), worker_group=None) as state:
            assert len(str(state.authorizer_socket)) == 107
            asyncio.run(ask(state))


# Questions


def test_a_question_is_answered_with_a_status_a_reason_and_how_long_it_holds(
    state: StateDirectory,
) -> None:
    async def ask() -> None:
        async with listening(state) as authorizer:
            status, headers = await asked(state, question(state, caller()))
            assert (status, headers["hc-reason"]) == (200, "")
            assert headers["cache-control"] == "max-age=300, stale-if-error=600"
            assert headers["hc-x-handclasp-identity"]
            assert "hc-hop" not in headers
            status, headers = await asked(state, question(state, caller("svc-x")))
            assert (status, headers["hc-reason"]) == (403, "no-rule-holds")
            assert headers["cache-control"] == "max-age=300, stale-if-error=600"
            assert "hc-x-handclasp-identity" not in headers
            assert authorizer.answers == {"allowed": 1, "no-rule-holds": 1}

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("other", "status", "reason"),
    [
        ({"Rule": "unknown"}, 503, "authorizer-unavailable"),
        ({"Rule": ""}, 503, "authorizer-unavailable"),
        ({"Verify": "NONE"}, 403, "no-certificate"),
        ({"Verify": "FAILED:self-signed certificate"}, 403, "no-certificate"),
        ({"Certificate": "x"}, 403, "certificate-unreadable"),
        ({"Certificate": ""}, 403, "certificate-unreadable"),
    ],
)
def test_a_question_that_makes_no_sense_is_a_refusal(
    state: StateDirectory, other: dict[str, str], status: int, reason: str
) -> None:
    async def ask() -> None:
        async with listening(state):
            told, headers = await asked(state, question(state, caller(), **other))
            assert (told, headers["hc-reason"]) == (status, reason)
            assert status != 503 or "max-age" not in headers.get("cache-control", "")

    asyncio.run(ask())


def test_without_rules_nobody_is_let_in(state: StateDirectory) -> None:
    async def ask() -> None:
        async with listening(state, knowing=None):
            status, headers = await asked(state, question(state, caller()))
            assert status == 503
            assert "cache-control" not in headers

    asyncio.run(ask())


@pytest.mark.parametrize("policy", ["", "/elsewhere", "/state/policy/current"])
def test_an_answer_is_not_to_be_kept_under_a_policy_that_is_not_in_force(
    state: StateDirectory, policy: str
) -> None:
    async def ask() -> None:
        async with listening(state):
            for who, expected in (("svc-b", 200), ("svc-x", 403)):
                told = question(state, caller(who), Policy=policy)
                status, headers = await asked(state, told)
                assert (status, headers["cache-control"]) == (expected, "no-store")

    asyncio.run(ask())


def test_the_socket_changes_nothing(state: StateDirectory) -> None:
    """Orders are taken on another one, which nginx's workers cannot open."""
    denial = b'{"sha256": "%s", "since": "2026-01-01"}' % (b"aa" * 32)

    async def order() -> None:
        async with listening(state) as authorizer:
            before = state.enforcement.policy()
            for path in ("/deny", "/undo", "/denied", "/reload"):
                for method in ("POST", "PUT", "DELETE"):
                    status, _ = await asked(state, {}, method=method, path=path, body=denial)
                    assert status == 503, "a question without a rule"
            assert authorizer.denials.entries == ()
            assert state.enforcement.policy() == before

    asyncio.run(order())


def test_what_is_in_force_is_put_together_once_and_anew_when_lists_change(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    real = Authorizer.material

    def counted(authorizer: Authorizer, wanted: Any) -> Any:
        made.append(wanted)
        return real(authorizer, wanted)

    monkeypatch.setattr(Authorizer, "material", counted)

    async def order() -> None:
        async with listening(state) as authorizer:
            taken = authorizer._prepared
            assert taken is not None
            before = authorizer.in_force(taken)
            assert len(made) == 1
            assert authorizer.in_force(taken) is before
            authorizer.relist(dict(taken.material.trust))
            assert len(made) == 2
            assert authorizer.in_force(taken) is not before
            assert len(made) == 2

    asyncio.run(order())


def test_a_denial_is_in_force_when_it_is_acknowledged_and_after_a_start(
    state: StateDirectory,
) -> None:
    pair = caller()
    since = "2026-01-01T00:00:00+00:00"

    async def order() -> None:
        async with listening(state) as authorizer:
            before = question(state, pair)
            assert (await asked(state, before))[0] == 200
            from handclasp.identity.caller import read_caller

            digest = read_caller(pair.certificate).sha256
            done = authorizer.deny(Denial(since=since, sha256=digest))
            assert (done.changed, done.in_force, done.written) == (True, None, None)
            status, headers = await asked(state, before)
            assert (status, headers["cache-control"]) == (403, "no-store"), "asked before it moved"
            after = question(state, pair)
            assert after["X-Handclasp-Policy"] != before["X-Handclasp-Policy"]
            status, headers = await asked(state, after)
            assert (status, headers["hc-reason"]) == (403, "denied")
        async with listening(state):
            assert question(state, pair) == after
            assert (await asked(state, after))[0] == 403
            assert (await asked(state, question(state, caller())))[0] == 200

    asyncio.run(order())


@pytest.mark.parametrize("step", ["set_policy", "set_denied"])
def test_a_denial_that_is_not_in_force_is_said_and_tried_again_until_it_is(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    denial = Denial(since="2026-01-01T00:00:00+00:00", sha256="aa" * 32)
    monkeypatch.setattr("handclasp.agent.authorizer._RETRY_SECONDS", 0.01)

    def broken(*_: object) -> None:
        raise EnvironmentFault("it is broken")

    async def order() -> None:
        async with listening(state) as authorizer:
            before = state.enforcement.policy()
            with monkeypatch.context() as patched:
                patched.setattr(f"handclasp.nginx.enforcement.Enforcement.{step}", broken)
                done = authorizer.deny(denial)
                assert (done.changed, done.in_force) == (True, "it is broken")
                assert done.written is None, "that is another matter"
                assert authorizer.problem == "it is broken"
                await asyncio.sleep(0.1)
                assert authorizer.problem == "it is broken"
            for _ in range(200):
                if authorizer.problem is None:
                    break
                await asyncio.sleep(0.01)
            assert authorizer.problem is None
            assert state.enforcement.policy() != before

    asyncio.run(order())


def test_a_denial_that_is_not_written_is_in_force_and_written_when_it_can_be(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    denial = Denial(since="2026-01-01T00:00:00+00:00", sha256="aa" * 32)
    monkeypatch.setattr("handclasp.agent.authorizer._RETRY_SECONDS", 0.01)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def order() -> None:
        async with listening(state) as authorizer:
            before = state.enforcement.policy()
            with monkeypatch.context() as patched:
                patched.setattr("handclasp.agent.denials.replace_file", full)
                done = authorizer.deny(denial)
                assert done.in_force is None
                assert "write the denials" in (done.written or "")
                assert state.enforcement.policy() != before
            for _ in range(200):
                if authorizer.problem is None:
                    break
                await asyncio.sleep(0.01)
            again = Denials(state.path)
            again.load()
            assert again.entries == (denial,)

    asyncio.run(order())


def test_an_agent_that_cannot_read_who_is_denied_does_not_listen(state: StateDirectory) -> None:
    (state.path / "denied.json").write_text("{")
    with pytest.raises(EnvironmentFault, match="nobody knows who is denied"):
        asyncio.run(begun(state))
    assert not state.authorizer_socket.exists()


def test_the_largest_certificate_admitted_can_be_asked_about(state: StateDirectory) -> None:
    async def ask() -> None:
        async with listening(state):
            long = question(state, caller(), Certificate="x" * 64 * 1024)
            status, headers = await asked(state, long)
            assert (status, headers["hc-reason"]) == (403, "certificate-unreadable")

    asyncio.run(ask())
