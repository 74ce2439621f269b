"""Names proven by DNS: a program sets the record, the real Pebble asks for it."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.issuers import acme_dns
from handclasp.issuers.acme import AcmeIssuer
from handclasp.issuers.acme_dns import DnsProgram
from handclasp.issuers.protocol import IssuerError
from handclasp.spec.issuer_acme import Acme
from tests.conftest import absent
from tests.issuers import pebble
from tests.issuers.asking import sans, wanted
from tests.issuers.openbao import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.issuers.protocol import Issued

# Adds values and takes all of a name away: what the DNS server of these tests can do.
PROGRAM = """
import json, pathlib, sys, urllib.request
management, verb, name, value = sys.argv[1:]
with open("calls", "a") as calls:
    print(verb, name, value, file=calls)
body = {"host": name + "."} | ({"value": value} if verb == "set" else {})
request = urllib.request.Request(
    f"http://127.0.0.1:{management}/{verb}-txt", json.dumps(body).encode(), method="POST"
)
urllib.request.urlopen(request, timeout=10).close()
"""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pebble.NameServer]:
    if not pebble.programs():
        absent("Pebble (apt install pebble)")
    with pebble.name_server(tmp_path_factory.mktemp("dns")) as server:
        yield server


@pytest.fixture(scope="module")
def ca(
    names: pebble.NameServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pebble.Pebble]:
    folder = tmp_path_factory.mktemp("pebble-dns")
    with pebble.running(folder, dns=names.port, http_port=free_port()) as server:
        yield server


def ask(server: pebble.Pebble, folder: Path, command: list[str], *asked: str) -> Issued:
    section = Acme.model_validate(
        {
            "type": "acme",
            "directory": server.directory,
            "ca": str(server.ca),
            "dns": command,
            "agree_to_terms": True,
        }
    )
    program = DnsProgram(section.dns or (), folder=folder)
    issuer = AcmeIssuer(
        section, state=folder / "state", challenges=program, now=lambda: datetime.now(UTC)
    )
    return asyncio.run(issuer.issue(wanted(*asked)))


def test_a_name_and_its_wildcard_are_proven_by_records_that_are_cleared_afterwards(
    ca: pebble.Pebble, names: pebble.NameServer, tmp_path: Path
) -> None:
    (tmp_path / "dns.py").write_text(PROGRAM)
    command = [sys.executable, "dns.py", str(names.management)]
    issued = ask(ca, tmp_path, command, "dns:example.com", "dns:*.example.com")
    assert sans(issued.chain[0]) == ["*.example.com", "example.com"]
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [(verb, name) for verb, name, _ in calls] == [
        ("set", "_acme-challenge.example.com"),
        ("set", "_acme-challenge.example.com"),
        ("clear", "_acme-challenge.example.com"),
        ("clear", "_acme-challenge.example.com"),
    ]
    values = [value for _, _, value in calls]
    assert values[:2] == values[2:]
    assert len(set(values)) == 2


def test_a_record_that_was_not_set_fails_the_order_and_is_cleared(
    ca: pebble.Pebble, tmp_path: Path
) -> None:
    script = tmp_path / "dns.sh"
    script.write_text('#!/bin/sh\necho "$@" >> calls\n')
    script.chmod(0o755)
    with pytest.raises(IssuerError) as caught:
        ask(ca, tmp_path, ["./dns.sh"], "dns:unset.example.com")
    assert "refuses the proof: unset.example.com:" in caught.value.message
    verbs = [line.split()[0] for line in (tmp_path / "calls").read_text().splitlines()]
    assert verbs == ["set", "clear"]


def test_an_ip_address_is_told_to_need_http(ca: pebble.Pebble, tmp_path: Path) -> None:
    with pytest.raises(IssuerError) as caught:
        ask(ca, tmp_path, ["true"], "ip:127.0.0.1")
    assert "does not take dns-01 for 127.0.0.1, only http-01" in caught.value.message
    assert "`challenges`" in (caught.value.hint or "")


def run(folder: Path, *command: str) -> IssuerError:
    with pytest.raises(IssuerError) as caught:
        asyncio.run(DnsProgram(command, folder=folder).publish("_acme-challenge.x", "v"))
    assert "\n" not in caught.value.message
    return caught.value


def test_a_program_that_fails_is_told_by_its_last_line(tmp_path: Path) -> None:
    error = run(tmp_path, "sh", "-c", "echo one; echo 'no such zone.' >&2; echo; exit 3")
    assert error.message == (
        "the program sh set _acme-challenge.x ended with status 3: no such zone"
    )
    assert "it says nothing" in run(tmp_path, "false").message


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = run(tmp_path, "./none")
    assert "./none cannot be started" in error.message
    assert error.permanent


def test_a_program_that_hangs_is_ended_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(acme_dns.SECONDS, "set", 0.5)
    begin = time.monotonic()
    error = run(tmp_path, "sh", "-c", "sleep 60 & echo $! > child; wait")
    assert "did not end within 0.5 s" in error.message
    assert time.monotonic() - begin < 10
    child = int((tmp_path / "child").read_text())
    assert _gone(child)


def test_an_attempt_that_is_cancelled_ends_the_program(tmp_path: Path) -> None:
    async def cancelled() -> None:
        program = DnsProgram(["sh", "-c", "echo $$ > pid; sleep 60"], folder=tmp_path)
        task = asyncio.ensure_future(program.publish("_acme-challenge.x", "v"))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert not task.done()
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    asyncio.run(cancelled())
    assert _gone(int((tmp_path / "pid").read_text()))


def _gone(pid: int) -> bool:
    """It has ended; a zombie that nobody has collected yet counts."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
            if stat.rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.02)
    return False
