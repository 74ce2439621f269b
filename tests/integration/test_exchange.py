"""Another nginx in place of the one that runs: nobody is refused, nothing is lost, whatever fails."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx import proc
from handclasp.nginx.features import Feature
from tests import pki
from tests.integration.keepalive_clients import Clients
from tests.integration.running import SERVER_NAME, Running, egress_spec, write_spec
from tests.integration.servers import Backend
from tests.integration.softhsm import Token
from tests.integration.tampered import under
from tests.integration.test_adoption import killed, replaced, script, until
from tests.integration.test_agent_lifecycle import call, processes_of

if TYPE_CHECKING:
    from handclasp.nginx.facts import Facts
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

EXCHANGED = "the nginx before takes no connections any more"


@pytest.fixture
def program(nginx_build: Path, tmp_path: Path) -> Path:
    """A build under a name of its own; when its file is another one, a reload is not enough."""
    copy = tmp_path / "nginx"
    shutil.copy2(nginx_build, copy)
    return copy


def exchange(agent: Running, program: Path, build: Path, *, count: int = 1) -> None:
    """Has nginx replaced, until it is."""
    replaced(program, build)
    agent.reload()
    agent.wait_for(EXCHANGED, count=count)
    agent.wait_for("change in effect", count=count)


def more_than(clients: Clients, answers: int) -> bool:
    return clients.answers > answers


def masters(state: Path) -> list[int | None]:
    return [pid for pid in processes_of(state) if proc.title(pid).startswith("nginx: master")]


def test_two_exchanges_in_a_row_under_load_lose_and_refuse_nothing(
    material: Material,
    nginx_build: Path,
    nginx_facts: Facts,
    program: Path,
    port: int,
    spec: dict[str, Any],
) -> None:
    path = write_spec(material.folder, f"exchange-{port}", spec)
    with Running(path, program) as agent, Clients(material, port) as clients:
        # Builds that callers have to be told for wait six seconds for it, each time.
        slow = clients.slow(5 if nginx_facts.has(Feature.KEEPALIVE_MIN_TIMEOUT) else 20)
        until(lambda: clients.answers > 50)
        pids = [agent.master_pid]
        for count in (1, 2):
            exchange(agent, program, nginx_build, count=count)
            pids.append(agent.master_pid)
            assert masters(agent.state) == [agent.master_pid]
        assert len(set(pids)) == 3
        assert slow.is_alive()
        told = agent.status()
        assert (told["ready"], told["nginx"]["pid"]) == (True, pids[-1])
        slow.join(30)
        agent.wait_for("has finished its requests", count=2)
        before = clients.answers
        until(lambda: clients.answers > before + 50)
        assert clients.trouble == []
        assert clients.raced == []
        assert clients.renewed >= clients.keeping
        assert list((agent.state / "nginx").glob("retired-*")) == []
        assert not (agent.state / "nginx" / "successor.json").exists()
    assert agent.process.returncode == 0
    assert processes_of(agent.state) == []


def test_without_the_old_sockets_connections_are_refused_and_the_journal_says_so(
    material: Material, nginx_build: Path, program: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"gap-{port}", spec)
    tampered = under("no_sockets", path)
    with Running(path, program, under=tampered) as agent, Clients(material, port) as clients:
        slow = clients.slow(2)
        until(lambda: clients.answers > 20)
        replaced(program, nginx_build)
        agent.reload()
        agent.wait_for("connections are refused until nginx listens again")
        agent.wait_for("change in effect")
        slow.join(20)
        assert "cannot be handed on" in agent.text
        assert clients.refused


def test_an_exchanged_nginx_is_adopted_with_what_is_left_of_the_one_before(
    material: Material, nginx_build: Path, program: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"adopted-{port}", spec)
    with Running(path, program) as first, Clients(material, port, fresh=1) as clients:
        slow = clients.slow(4)
        until(lambda: clients.answers > 20)
        exchange(first, program, nginx_build)
        master = killed(first)
        with Running(path, program, expect_ready=False) as second:
            second.wait_for(" ready ", count=3)
            assert "nginx adopted" in second.text
            assert second.master_pid == master
            slow.join(20)
            second.wait_for("has finished its requests")
            exchange(second, program, nginx_build, count=2)
            assert clients.trouble == []
    assert processes_of(first.state) == []


def test_a_stop_gives_the_nginx_before_as_long_as_the_present_one(
    material: Material, nginx_build: Path, program: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"stopped-{port}", spec)
    with Running(path, program) as agent:
        clients = Clients(material, port)
        slow = clients.slow(2.5)
        time.sleep(0.3)
        exchange(agent, program, nginx_build)
        agent.process.terminate()
        slow.join(20)
        assert agent.process.wait(10) == 0
    assert (clients.answers, clients.trouble) == (1, [])
    assert processes_of(agent.state) == []


def test_unix_listeners_survive_two_exchanges_and_go_with_the_last_nginx(
    material: Material, nginx_build: Path, program: Path, port: int
) -> None:
    sockets = material.folder / f"sockets-{port}"
    listener = sockets / "orders.sock"
    with Backend(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as upstream:
        spec = egress_spec(material, f"unix:{listener}", f"https://127.0.0.1:{upstream.port}")
        path = write_spec(material.folder, f"unix-{port}", spec)
        with Running(path, program) as agent, Clients(material, listener) as clients:
            until(lambda: clients.answers > 20)
            inode = listener.stat().st_ino
            for count in (1, 2):
                exchange(agent, program, nginx_build, count=count)
                before = clients.answers
                until(functools.partial(more_than, clients, before + 20))
            assert clients.trouble == []
            assert listener.stat().st_ino == inode
    assert agent.process.returncode == 0
    assert not listener.exists()


def test_a_unix_listener_that_is_given_up_is_there_until_the_new_nginx_is_proven(
    material: Material, nginx_build: Path, program: Path, port: int
) -> None:
    listener = material.folder / f"old-{port}" / "orders.sock"
    with Backend(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as upstream:
        spec = egress_spec(material, f"unix:{listener}", f"https://127.0.0.1:{upstream.port}")
        path = write_spec(material.folder, f"given-up-{port}", spec)
        flag = material.folder / f"given-up-{port}.flag"
        with (
            Running(path, program, under=under("unproven", flag)) as agent,
            Clients(material, listener) as clients,
        ):
            flag.touch()
            spec["egress"][0]["listen"] = f"127.0.0.1:{port}"
            write_spec(material.folder, f"given-up-{port}", spec)
            replaced(program, nginx_build)
            agent.reload()
            agent.wait_for("change refused, the old configuration serves on")
            before = clients.answers
            until(lambda: clients.answers > before + 20)
            assert clients.trouble == []


def test_addresses_that_overlap_are_bound_after_the_old_nginx_has_ended(
    material: Material, nginx_build: Path, program: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"overlap-{port}", spec)
    with Running(path, program) as agent:
        spec["ingress"][0]["listen"] = f"0.0.0.0:{port}"
        write_spec(material.folder, f"overlap-{port}", spec)
        replaced(program, nginx_build)
        agent.reload()
        agent.wait_for("change in effect")
        assert f"cannot be bound beside 127.0.0.1:{port}" in agent.text
        assert call(material, port) == 200


# -- what fails


@pytest.mark.parametrize("failing", ["start", "proof"])
def test_an_exchange_that_fails_leaves_the_old_nginx_serving_and_loses_nothing(
    material: Material,
    nginx_build: Path,
    program: Path,
    port: int,
    spec: dict[str, Any],
    tmp_path: Path,
    failing: str,
) -> None:
    flag = tmp_path / "flag"
    path = write_spec(material.folder, f"failing-{failing}-{port}", spec)
    with (
        Running(path, program, under=under("unproven", flag)) as agent,
        Clients(material, port) as clients,
    ):
        master = agent.master_pid
        slow = clients.slow(3)
        until(lambda: clients.answers > 20)
        if failing == "start":
            spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
            write_spec(material.folder, f"failing-{failing}-{port}", spec)
            replaced(program, script(tmp_path / "broken", nginx_build, refuses="serving"))
        else:
            flag.touch()
            replaced(program, nginx_build)
        agent.reload()
        agent.wait_for("change refused, the old configuration serves on", within=30)
        assert "the nginx before serves on" in agent.text
        assert masters(agent.state) == [master]
        assert agent.master_pid == master
        assert str((agent.state / "generation" / "current").readlink()) == "1"
        before = clients.answers
        until(lambda: clients.answers > before + 50)
        slow.join(20)
        assert agent.status()["ready"]
        assert clients.trouble == []
        # And the next good one is taken.
        flag.unlink(missing_ok=True)
        spec["ingress"][0]["clients"]["allow"] = "any"
        write_spec(material.folder, f"failing-{failing}-{port}", spec)
        exchange(agent, program, nginx_build)
        assert agent.master_pid != master
        assert clients.trouble == []


@pytest.mark.parametrize("hangs", ["hangs_before_the_proof", "hangs_before_the_handover"])
def test_an_agent_killed_during_an_exchange_leaves_two_of_which_the_next_keeps_one(
    material: Material,
    nginx_build: Path,
    program: Path,
    port: int,
    spec: dict[str, Any],
    tmp_path: Path,
    hangs: str,
) -> None:
    flag = tmp_path / "flag"
    path = write_spec(material.folder, f"killed-{hangs[-5:]}-{port}", spec)
    with (
        Running(path, program, under=under(hangs, flag)) as first,
        Clients(material, port, keeping=2, fresh=1) as clients,
    ):
        old = first.master_pid
        slow = clients.slow(6)
        until(lambda: clients.answers > 20)
        flag.touch()
        replaced(program, nginx_build)
        first.reload()
        until(flag.with_suffix(".reached").exists)
        new = killed(first)
        assert set(masters(first.state)) == {old, new}
        assert old != new
        with Running(path, program, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            proven = hangs == "hangs_before_the_handover"
            how = "completed" if proven else "undone"
            assert f"an exchange of nginx that was interrupted is {how}" in second.text
            if proven:
                assert second.master_pid == new
            else:  # the old one is adopted, and then exchanged: its file is another one now
                assert f"nginx adopted pid={old}" in second.text
            assert masters(second.state) == [second.master_pid]
            assert call(material, port) == 200
            slow.join(20)
            assert clients.refused == []
            assert clients.lost == []
    assert processes_of(first.state) == []


def test_an_agent_killed_before_the_next_nginx_is_there_leaves_one_that_serves_again(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any]
) -> None:
    path = write_spec(material.folder, f"stood-down-{port}", spec)
    with Running(path, nginx_build) as first:
        master = killed(first)
        os.kill(master, signal.SIGSTOP)
        for worker in proc.children(master):
            os.kill(worker, signal.SIGQUIT)
        with Running(path, nginx_build, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            assert f"nginx adopted pid={master}" in second.text
            assert call(material, port) == 200


def test_what_a_killed_agent_had_nginx_read_unproven_is_not_taken_for_what_is_in_effect(
    material: Material, nginx_build: Path, port: int, spec: dict[str, Any], tmp_path: Path
) -> None:
    """The state directory went back; nginx has the other rules until it is told to read these again."""
    flag = tmp_path / "flag"
    path = write_spec(material.folder, f"unsure-{port}", spec)
    with Running(path, nginx_build, under=under("hangs_before_the_proof", flag)) as first:
        flag.touch()
        spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
        write_spec(material.folder, f"unsure-{port}", spec)
        first.reload()
        until(flag.with_suffix(".reached").exists)
        assert call(material, port) == 403
        master = killed(first)
        spec["ingress"][0]["clients"]["allow"] = "any"
        write_spec(material.folder, f"unsure-{port}", spec)
        with Running(path, nginx_build, expect_ready=False) as second:
            second.wait_for(" ready ", count=2)
            assert second.master_pid == master
            assert call(material, port) == 200


# -- keys in tokens


def test_a_key_that_moves_into_a_token_under_load_costs_no_request(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
) -> None:
    """The old nginx reads the key at each handshake, and could not use the one that takes its place."""
    token = Token(material.folder / f"moving-{port}" / "token")
    token.certify(material.ca, "server-a", kind="rsa2048", sans=[SERVER_NAME], usages=[pki.SERVER])
    spec["nginx"] = {"workers": 3}
    if os.geteuid() == 0:
        # Not www-data: an account that other programs have too is not let read keys at each handshake.
        account = pwd.getpwnam("games")
        token.let_in(account.pw_uid, account.pw_gid)
        spec["nginx"]["user"] = account.pw_name
    path = write_spec(material.folder, f"moving-{port}", spec)
    with (
        Running(path, nginx_builds["distribution"]) as agent,
        Clients(material, port) as clients,
    ):
        assert "$hc_id_" in (agent.state / "generation/current/link-api.conf").read_text()
        slow = clients.slow(3)
        until(lambda: clients.answers > 20)
        certificate = str(token.folder.parent / "server-a.pem")
        spec["identities"] = {"server-a": token.identity("server-a", certificate=certificate)}
        spec["pkcs11"] = token.section()
        write_spec(material.folder, f"moving-{port}", spec)
        agent.reload()
        agent.wait_for(EXCHANGED, within=30)
        agent.wait_for("change in effect")
        before = clients.answers
        until(lambda: clients.answers > before + 50)
        slow.join(20)
        assert clients.trouble == []
        # It has what its predecessor's environment would not have given it.
        assert token.module.name in Path(f"/proc/{agent.master_pid}/maps").read_text()
