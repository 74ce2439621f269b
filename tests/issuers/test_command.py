"""`type: command`: real programs that sign, fail, hang, or print what they should not."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.ca.profile import Use
from handclasp.issuers.command import CommandIssuer
from handclasp.issuers.protocol import IssuerError
from tests import pki
from tests.issuers.asking import sans, wanted
from tests.openssl import needs_openssl

if TYPE_CHECKING:
    from handclasp.issuers.protocol import Issued, Wanted

NAMES = ("dns:svc-b.internal", "uri:spiffe://example.org/svc-b")
SIGN = """\
cat > csr.pem
cat > ext.cnf <<END
subjectAltName = DNS:svc-b.internal, URI:spiffe://example.org/svc-b
extendedKeyUsage = clientAuth
END
openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -extfile ext.cnf -days 1
cat ca.pem
"""


def program(folder: Path, script: str) -> tuple[str, ...]:
    path = folder / "issue"
    path.write_text(f"#!/bin/sh\nset -e\n{script}\n")
    path.chmod(0o755)
    return ("./issue",)


def ask(source: CommandIssuer, question: Wanted | None = None) -> Issued:
    return asyncio.run(source.issue(question or wanted(*NAMES)))


def refusal(folder: Path, script: str, *, makes_key: bool = False) -> IssuerError:
    source = CommandIssuer(program(folder, script), folder=folder, makes_key=makes_key)
    with pytest.raises(IssuerError) as caught:
        ask(source)
    return caught.value


@pytest.fixture
def ca(tmp_path: Path) -> pki.Pair:
    pair = pki.authority("Shell CA")
    (tmp_path / "ca.pem").write_bytes(pair.pem)
    (tmp_path / "ca.key").write_bytes(pair.key_pem)
    return pair


@needs_openssl
def test_a_shell_script_around_openssl_issues(tmp_path: Path, ca: pki.Pair) -> None:
    issued = ask(CommandIssuer(program(tmp_path, SIGN), folder=tmp_path))
    leaf, above = issued.chain
    assert above == ca.certificate
    leaf.verify_directly_issued_by(above)
    assert sans(leaf) == ["spiffe://example.org/svc-b", "svc-b.internal"]
    assert leaf.public_key() == pki.key("asked").public_key()


@needs_openssl
def test_the_script_of_the_guide_issues(tmp_path: Path, ca: pki.Pair) -> None:
    guide = Path(__file__).parents[2] / "docs" / "how-to" / "renewal.md"
    script = guide.read_text("utf-8").partition("```sh\n")[2].partition("```")[0]
    issued = ask(CommandIssuer(program(tmp_path, script), folder=tmp_path))
    leaf, above = issued.chain
    assert above == ca.certificate
    assert sans(leaf) == ["spiffe://example.org/svc-b", "svc-b.internal"]


def test_the_program_is_told_what_is_wanted(tmp_path: Path) -> None:
    script = 'env | grep ^HANDCLASP_ | sort | tr "\\n" ";" >&2; cat >&2; exit 1'
    source = CommandIssuer(program(tmp_path, f"exec 2>told; {script}"), folder=tmp_path)
    with pytest.raises(IssuerError, match="ended with status 1"):
        ask(source, wanted(*NAMES, use=Use.BOTH, lifetime=timedelta(hours=36)))
    told = (tmp_path / "told").read_text()
    assert told.startswith(
        "HANDCLASP_IDENTITY=svc-b;HANDCLASP_LIFETIME=129600;"
        "HANDCLASP_NAMES=svc-b.internal spiffe://example.org/svc-b;HANDCLASP_USE=both;"
        "-----BEGIN CERTIFICATE REQUEST-----"
    )


def test_arguments_reach_the_program_as_they_are(tmp_path: Path) -> None:
    command = (*program(tmp_path, 'printf "%s|" "$@" > told; exit 1'), "a b", "$HOME", "*; id")
    with pytest.raises(IssuerError):
        ask(CommandIssuer(command, folder=tmp_path))
    assert (tmp_path / "told").read_text() == "a b|$HOME|*; id|"


def test_a_failure_is_told_with_the_last_line_of_what_it_said(tmp_path: Path) -> None:
    error = refusal(tmp_path, "echo first >&2; echo 'no such role: \033[31mweb.' >&2; exit 3")
    assert error.message == "the command ./issue ended with status 3: no such role: [31mweb"
    assert not error.permanent


def test_a_silent_failure_is_told(tmp_path: Path) -> None:
    assert "status 7, and says nothing" in refusal(tmp_path, "exit 7").message
    assert "was ended by SIGTERM" in refusal(tmp_path, "kill -TERM $$").message


@pytest.mark.parametrize("mode", [None, 0o644])
def test_a_program_that_cannot_be_started_is_told(tmp_path: Path, mode: int | None) -> None:
    if mode is not None:
        (tmp_path / "issue").touch(mode=mode)
    with pytest.raises(IssuerError, match="cannot be started") as caught:
        ask(CommandIssuer(("./issue",), folder=tmp_path))
    assert caught.value.permanent


@pytest.mark.parametrize("output", ["", "echo hello", "echo '-----BEGIN CERTIFICATE-----'"])
def test_output_without_a_certificate_is_refused(tmp_path: Path, output: str) -> None:
    assert "printed no certificate" in refusal(tmp_path, output).message


def test_a_key_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    pair = pki.leaf(pki.authority(), sans=NAMES)
    (tmp_path / "pair.pem").write_bytes(pair.pem + pair.key_pem)
    assert "printed a private key" in refusal(tmp_path, "cat pair.pem").message


def test_a_program_that_makes_the_key_prints_it(tmp_path: Path) -> None:
    pair = pki.leaf(pki.authority(), sans=NAMES)
    (tmp_path / "pair.pem").write_bytes(pair.pem + pair.key_pem)
    source = CommandIssuer(program(tmp_path, "cat pair.pem"), folder=tmp_path, makes_key=True)
    assert source.makes_key
    issued = ask(source)
    assert issued.key is not None
    assert issued.key.reveal().public_key() == pair.private_key.public_key()
    assert "PRIVATE" not in repr(issued)


def test_a_program_that_is_to_make_the_key_and_does_not_is_refused(tmp_path: Path) -> None:
    pair = pki.leaf(pki.authority(), sans=NAMES)
    (tmp_path / "pair.pem").write_bytes(pair.pem)
    error = refusal(tmp_path, "cat pair.pem", makes_key=True)
    assert "is to print one private key, and printed 0" in error.message


def test_output_without_end_is_cut_off(tmp_path: Path) -> None:
    began = time.monotonic()
    assert "prints more than 1024 KiB" in refusal(tmp_path, "exec yes").message
    assert time.monotonic() - began < 10


def test_complaints_without_end_do_no_harm(tmp_path: Path) -> None:
    error = refusal(tmp_path, "yes | head -c 3000000 >&2; echo done >&2; exit 1")
    assert error.message.endswith(": done")


def test_a_program_that_does_not_read_its_input_is_no_fault(tmp_path: Path) -> None:
    pair = pki.leaf(pki.authority(), sans=NAMES)
    (tmp_path / "leaf.pem").write_bytes(pair.pem)
    source = CommandIssuer(program(tmp_path, "exec <&-; cat leaf.pem"), folder=tmp_path)
    assert ask(source).chain == (pair.certificate,)


def test_a_chain_of_a_hundred_is_none(tmp_path: Path) -> None:
    ca = pki.authority()
    leaves = b"".join(pki.leaf(ca, f"svc-{number}").pem for number in range(20))
    (tmp_path / "many.pem").write_bytes(leaves)
    assert "which is no chain" in refusal(tmp_path, "cat many.pem").message


def test_what_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """Cancelled, as the agent does after the timeout; the child has our pipes in its hands."""
    script = "echo $$ > own; sleep 600 & echo $! > child; wait"

    async def hurried() -> None:
        source = CommandIssuer(program(tmp_path, script), folder=tmp_path)
        async with asyncio.timeout(1.0):
            await source.issue(wanted(*NAMES))

    with pytest.raises(TimeoutError):
        asyncio.run(hurried())
    for name in ("own", "child"):
        assert not _lives(int((tmp_path / name).read_text()))


@pytest.mark.parametrize("leaving", ["", "setsid "])
def test_what_a_program_leaves_behind_with_its_pipes_is_not_waited_for(
    tmp_path: Path, leaving: str
) -> None:
    """The child ends with it, unless it has left the group; a daemon that is to live on does that."""
    pair = pki.leaf(pki.authority(), sans=NAMES)
    (tmp_path / "leaf.pem").write_bytes(pair.pem)
    script = f"{leaving}sh -c 'echo $$ > child; exec sleep 60' & cat leaf.pem; sleep 0.2"
    began = time.monotonic()
    issued = ask(CommandIssuer(program(tmp_path, script), folder=tmp_path))
    assert time.monotonic() - began < 10
    assert issued.chain == (pair.certificate,)
    child = int((tmp_path / "child").read_text())
    if leaving:
        os.kill(child, signal.SIGKILL)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    """Whether a process still runs; the kernel takes a moment, and a zombie runs no more."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("times", [1, 2])
def test_a_program_that_is_given_up_is_gone_however_often_that_is_said(
    tmp_path: Path, times: int
) -> None:
    source = CommandIssuer(program(tmp_path, "echo $$ > own; exec sleep 60"), folder=tmp_path)

    async def given_up() -> int:
        asking = asyncio.ensure_future(source.issue(wanted(*NAMES)))
        own = tmp_path / "own"
        while not own.exists() or not own.read_text():  # noqa: ASYNC110  a file tells no event
            await asyncio.sleep(0.02)
        for _ in range(times):
            asking.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(asking, return_exceptions=True)
        return int(own.read_text())

    pid = asyncio.run(given_up())
    assert not Path(f"/proc/{pid}").exists()
