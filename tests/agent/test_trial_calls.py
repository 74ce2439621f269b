"""A new identity is refused only by an upstream that takes the old one; nothing is waited for too long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from handclasp.agent import trial_calls
from handclasp.agent.staging import stage
from handclasp.agent.trial_calls import Call, calls
from handclasp.nginx.state import StateDirectory
from tests import pki
from tests.agent.rotating_stage import clients, planned
from tests.integration.running import Material
from tests.integration.upstreams import Request, Upstream, answer, dead_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.nginx.parts import Plan

pytestmark = pytest.mark.integration


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path)


@pytest.fixture
def nginx(nginx_builds: dict[str, Path]) -> Path:
    return nginx_builds["wheel"]


class Two:
    """Two versions of svc-b that are staged: the one in effect, and the one to be tried."""

    def __init__(self, state: StateDirectory, plan: Plan, versions: tuple[str, str]) -> None:
        self.state, self.plan, self.versions = state, plan, versions

    def tried(self, request: str | None = None) -> tuple[Call, ...]:
        return asyncio.run(calls(self.state, self.plan, {"svc-b": self.versions}, request=request))


@contextlib.contextmanager
def two(
    material: Material, nginx: Path, *ports: int, issuer: pki.Pair | None = None
) -> Iterator[Two]:
    """The new one is named `renewed` and issued by `issuer`."""
    spec = clients(material, *ports)
    old = planned(material, spec, nginx)
    with StateDirectory.open(material.folder / "state", worker_group=None) as state:
        assert old.plan is not None
        stage(state, old, old.plan)
        material.add("svc-b", issuer=issuer, subject=pki.dn("renewed"), key_label="renewed")
        new = planned(material, spec, nginx)
        assert new.plan is not None
        stage(state, new, new.plan)
        names = (dict(old.plan.identities)["svc-b"], dict(new.plan.identities)["svc-b"])
        yield Two(state, new.plan, names)


def test_an_upstream_that_takes_it_says_so(material: Material, nginx: Path) -> None:
    ca = material.folder / "ca.pem"
    with (
        Upstream(certificate=material.pair("server-a"), client_ca=ca) as upstream,
        two(material, nginx, upstream.port) as case,
    ):
        assert case.tried() == (Call("svc-b", f"127.0.0.1:{upstream.port}"),)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_an_upstream_that_takes_only_the_old_one_refuses_the_new(
    version: str, material: Material, nginx: Path
) -> None:
    import ssl

    def only(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    ca = material.folder / "ca.pem"
    with (
        Upstream(certificate=material.pair("server-a"), client_ca=ca, adjust=only) as upstream,
        two(material, nginx, upstream.port, issuer=material.other_ca) as case,
    ):
        (call,) = case.tried()
        assert call.refused is not None
        assert call.unsaid is None
        assert "unknown ca" in call.refused.lower()


def test_an_upstream_that_takes_neither_says_nothing_of_the_new(
    material: Material, nginx: Path
) -> None:
    other = material.folder / "other-ca.pem"
    with (
        Upstream(certificate=material.pair("server-a"), client_ca=other) as upstream,
        two(material, nginx, upstream.port) as case,
    ):
        (call,) = case.tried()
        assert call.refused is None
        assert call.unsaid is not None
        assert call.unsaid.endswith("the identity in effect fares no better")


def test_an_upstream_whose_own_certificate_is_wrong_says_nothing_and_is_asked_once(
    material: Material, nginx: Path
) -> None:
    ca = material.folder / "ca.pem"
    with (
        Upstream(certificate=material.pair("stranger"), client_ca=ca) as upstream,
        two(material, nginx, upstream.port) as case,
    ):
        (call,) = case.tried()
        assert call.refused is None
        assert call.unsaid is not None
        assert upstream.accepted == 1


def test_an_upstream_that_is_down_says_nothing(material: Material, nginx: Path) -> None:
    with two(material, nginx, dead_port()) as case:
        (call,) = case.tried()
        assert call.refused is None
        assert call.unsaid is not None
        assert "failed" in call.unsaid


def test_a_refusal_in_http_counts_where_a_request_is_sent(material: Material, nginx: Path) -> None:
    def respond(request: Request) -> bytes:
        return answer(status="200 OK" if request.peer == "svc-b" else "401 Unauthorized")

    ca = material.folder / "ca.pem"
    with (
        Upstream(certificate=material.pair("server-a"), client_ca=ca, respond=respond) as upstream,
        two(material, nginx, upstream.port) as case,
    ):
        (silent,), (asked,) = case.tried(), case.tried("/healthz")
        assert silent.refused is None
        assert asked.refused == "it answered HTTP 401 Unauthorized"
        assert [one.line for one in upstream.seen] == ["HEAD /healthz HTTP/1.1"] * 2


@pytest.mark.parametrize(("hanging", "unasked"), [(20, False), (60, True)])
def test_upstreams_that_hang_are_not_waited_for_however_many_they_are(
    hanging: int,
    unasked: bool,
    material: Material,
    nginx: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial_calls, "_CALL_SECONDS", 0.4)
    monkeypatch.setattr(trial_calls, "_ALL_SECONDS", 1.0)
    ca = material.folder / "ca.pem"
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(Upstream(certificate=material.pair("server-a"), client_ca=ca))
        ports = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for _ in range(hanging)
        ]
        case = stack.enter_context(two(material, nginx, good.port, *ports))
        began = time.monotonic()
        seen = case.tried()
        one_after_the_other = hanging * trial_calls._CALL_SECONDS
        assert time.monotonic() - began < one_after_the_other * 3 / 4
        assert len(seen) == hanging + 1
        assert [one for one in seen if one.refused] == []
        assert any(one.unsaid == "no time was left to ask it" for one in seen) is unasked
        if not unasked:
            taken = [one.server for one in seen if one.unsaid is None]
            assert taken == [f"127.0.0.1:{good.port}"]


def test_one_that_hangs_has_no_more_time_than_there_is_for_all(
    material: Material, nginx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_calls, "_ALL_SECONDS", 0.5)
    with (
        socket.create_server(("127.0.0.1", 0)) as hanging,
        two(material, nginx, hanging.getsockname()[1]) as case,
    ):
        began = time.monotonic()
        (call,) = case.tried()
        assert time.monotonic() - began < 3
        assert call.unsaid is not None


def test_no_time_for_the_identity_in_effect_is_no_refusal(
    material: Material, nginx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = trial_calls._observed

    async def late(how: trial_calls._How, folder: Path) -> object:
        return None if folder.name == case.versions[0] else await real(how, folder)

    monkeypatch.setattr(trial_calls, "_observed", late)
    ca = material.folder / "ca.pem"
    with (
        Upstream(certificate=material.pair("server-a"), client_ca=ca) as upstream,
        two(material, nginx, upstream.port, issuer=material.other_ca) as case,
    ):
        (call,) = case.tried()
        assert call.refused is None
        assert call.unsaid is not None
        assert call.unsaid.endswith("no time was left to ask it")
