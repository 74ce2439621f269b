"""Renewing by the clock: what is due is renewed, what fails touches nothing, and somebody is told."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent import failing
from handclasp.agent.issuance import Issuance
from handclasp.agent.issued_first import issued_first
from handclasp.agent.renewal import Renewals
from handclasp.certs.material import Material
from handclasp.errors import EnvironmentFault, ExitCode, HandclaspError
from handclasp.findings import errors_in
from handclasp.issuers.protocol import IssuerError
from handclasp.monitor.expiring import expiring
from handclasp.monitor.limits import Limits
from handclasp.monitor.warnings import near
from tests import pki
from tests.agent.issuing_stage import (
    LOCAL,
    NAMES,
    Stage,
    in_loop,
    journal_lines,
    until,
)
from tests.ca.authority import make_authority
from tests.issuers.asking import sans

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.agent.prepare import Prepared

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    make_authority(tmp_path)
    identity = {"issuer": "dev-ca", "names": NAMES, "lifetime": "24h"}
    return Stage(tmp_path, {"svc-b": identity}, {"dev-ca": LOCAL})


def issue(stage: Stage, identity: str = "svc-b") -> str:
    return asyncio.run(Issuance(stage.clock).issue(stage.prepared(), identity))


def shell(stage: Stage, script: str, **options: Any) -> None:
    """Replaces the issuer by a program."""
    program = stage.folder / "issue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    stage.issuers["dev-ca"] = {"type": "command", "command": ["./issue"], **options}


# -- one certificate


def test_an_identity_is_issued_as_the_spec_has_it(stage: Stage) -> None:
    assert issue(stage) == "1"
    kept = stage.kept()
    leaf = kept.material.leaf
    assert leaf is not None
    assert sans(leaf) == sorted(NAMES)
    assert leaf.not_valid_after_utc == stage.clock.now() + DAY
    assert not kept.broken
    assert kept.order == {
        "issuer": "dev-ca",
        "type": "local",
        "names": ["dns:svc-b.internal", "uri:spiffe://example.org/svc-b"],
        "use": "client",
        "lifetime_seconds": 86400.0,
        "key": "p256",
    }


@pytest.mark.parametrize("reuse", [False, True])
def test_the_key_is_new_each_time_unless_told_otherwise(stage: Stage, reuse: bool) -> None:
    stage.identities["svc-b"]["reuse_key"] = reuse
    keys = []
    for _ in range(2):
        issue(stage)
        key = stage.kept().material.public_key()
        assert key is not None
        keys.append(key)
        stage.clock.move(HOUR)
    assert (keys[0] == keys[1]) is reuse


def test_the_key_is_of_the_kind_asked_for(stage: Stage) -> None:
    stage.identities["svc-b"]["key_type"] = "p384"
    issue(stage)
    key = stage.kept().material.public_key()
    assert getattr(key, "key_size", None) == 384


def other(stage: Stage, script: str, sentence: str, **options: Any) -> HandclaspError:
    """A second certificate from a program that does it wrong: refused, and nothing touched."""
    issue(stage)
    before = stage.content()
    shell(stage, script, **options)
    with pytest.raises(IssuerError, match=sentence) as caught:
        issue(stage)
    assert stage.content() == before
    assert stage.kept().version == "1"
    return caught.value


def test_a_certificate_for_another_key_touches_nothing(stage: Stage) -> None:
    wrong = pki.leaf(pki.authority(), sans=["svc-b.internal", f"uri:{NAMES[1]}"])
    (stage.folder / "wrong.pem").write_bytes(wrong.pem)
    error = other(
        stage, "cat wrong.pem", "issuer dev-ca gave what was not asked for: .*another key"
    )
    assert isinstance(error, IssuerError)
    assert error.permanent


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 1", "issuer dev-ca: the command ./issue ended with status 1"),
        ("echo garbage", "printed no certificate"),
        ("kill -9 $$", "was ended by SIGKILL"),
        ("cat /dev/zero", "prints more than"),
    ],
)
def test_a_program_that_fails_touches_nothing(stage: Stage, script: str, sentence: str) -> None:
    other(stage, script, sentence)


def test_an_expired_certificate_touches_nothing(stage: Stage) -> None:
    ca = pki.authority("Old CA")
    gone = pki.NOW - DAY
    pair = pki.leaf(ca, sans=[NAMES[0], f"uri:{NAMES[1]}"], not_before=gone - DAY, not_after=gone)
    (stage.folder / "pair.pem").write_bytes(pair.pem + pair.key_pem)
    other(stage, "cat pair.pem", "expired on", makes_key=True)


def test_a_hanging_issuer_is_given_up_after_its_timeout(stage: Stage) -> None:
    began = time.monotonic()
    other(stage, "exec sleep 60", "issuer dev-ca did not answer within 0.5 s", timeout="500ms")
    assert time.monotonic() - began < 10


def test_a_program_that_makes_the_key_is_asked_without_a_request(stage: Stage) -> None:
    pair = pki.leaf(pki.authority(), sans=[NAMES[0], f"uri:{NAMES[1]}"])
    (stage.folder / "pair.pem").write_bytes(pair.pem + pair.key_pem)
    shell(stage, "cat > asked; cat pair.pem", makes_key=True)
    issue(stage)
    assert (stage.folder / "asked").read_bytes() == b""
    assert stage.kept().material.leaf == pair.certificate
    assert not stage.kept().broken


def test_a_full_or_forbidden_directory_is_told(stage: Stage) -> None:
    stage.state.mkdir()
    (stage.state / "issued").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="cannot keep an issued certificate"):
        issue(stage)


# -- by the clock


@in_loop
async def test_what_is_due_is_renewed_and_what_is_not_is_left(stage: Stage) -> None:
    async with stage.renewing() as renewals:
        await until(lambda: stage.renewed == ["svc-b"])
        await until(lambda: renewals.news()["svc-b"]["next"] is not None)
        news = renewals.news()["svc-b"]
        assert news["issuer"] == "dev-ca"
        assert news["last_error"] is None
        stage.clock.move(timedelta(hours=14))
        await asyncio.sleep(0.2)
        assert stage.kept().version == "1"
        stage.clock.move(timedelta(hours=2.1))
        await until(lambda: stage.renewed == ["svc-b", "svc-b"])
    assert stage.kept().version == "2"


@in_loop
async def test_a_failing_issuer_leaves_what_is_there_and_is_asked_again(stage: Stage) -> None:
    with journal_lines() as lines:
        async with stage.renewing() as renewals:
            await until(lambda: stage.renewed)
            before = stage.content()
            (stage.folder / "ca").rename(stage.folder / "away")
            stage.clock.move(timedelta(hours=16.1))
            await until(lambda: renewals.news()["svc-b"]["last_error"])
            assert stage.content() == before
            assert "is not a CA" in str(renewals.news()["svc-b"]["last_error"])
            (stage.folder / "away").rename(stage.folder / "ca")
            await asyncio.sleep(0.1)
            assert stage.kept().version == "1", "not before the wait is over"
            stage.clock.move(timedelta(minutes=20))
            await until(lambda: stage.kept().version == "2")
            await until(lambda: renewals.news()["svc-b"]["last_error"] is None)
    events = [line["event"] for line in lines]
    assert events.count("renewal fails, and the certificate in use ends soon") == 1
    assert "renewal works again" in events


@in_loop
async def test_alarms_are_raised_as_the_end_comes_near_and_no_more_often(stage: Stage) -> None:
    with journal_lines() as lines:
        async with stage.renewing() as renewals:
            await until(lambda: stage.renewed)
            (stage.folder / "ca").rename(stage.folder / "away")
            stage.clock.move(timedelta(hours=15.9))
            for _ in range(60):
                stage.clock.move(timedelta(minutes=9))
                await asyncio.sleep(0.03)
            assert renewals.news()["svc-b"]["last_error"]
    failed = [line for line in lines if "renewal fail" in line["event"]]
    assert 5 <= len(failed) <= 6, "one for each of the alarms, and perhaps a warning before"
    assert failed[-1]["event"] == "renewal failed, and the certificate in use has ended"
    assert failed[-1]["level"] == "error"


@in_loop
async def test_what_is_not_taken_is_a_failure_and_another_one_is_asked_for_in_time(
    stage: Stage,
) -> None:
    refused: dict[str, str] = {}

    def error() -> str | None:
        return renewals.news()["svc-b"]["last_error"]

    with journal_lines() as lines:
        async with stage.renewing(not_taken=lambda: refused) as renewals:
            await until(lambda: stage.renewed)
            stage.served = Material(identities={"svc-b": stage.kept().material})
            stage.clock.move(16.1 * HOUR)
            await until(lambda: len(stage.renewed) == 2)
            assert error() is None
            refused["identity svc-b"] = "an upstream refuses it"
            await until(lambda: error() == "what was issued is not taken: an upstream refuses it")
            soon = stage.clock.now() + 7.9 * HOUR / 8  # of what is served
            told = datetime.fromisoformat(str(renewals.news()["svc-b"]["next"]))
            assert abs(told - soon) < timedelta(minutes=1)
            stage.clock.move(timedelta(minutes=55))
            await asyncio.sleep(0.1)
            assert stage.kept().version == "2", "each costs something"
            stage.clock.move(timedelta(minutes=5))
            await until(lambda: len(stage.renewed) == 3)
            stage.clock.move(timedelta(minutes=1))  # it is not taken either
            await asyncio.sleep(0.1)
            stage.clock.move(timedelta(minutes=58))
            await until(lambda: len(stage.renewed) == 4)
            refused.clear()
            await until(lambda: error() is None)
    events = [line["event"] for line in lines]
    assert events.count("renewal fails, and the certificate in use ends soon") == 1
    assert events.count("renewal works again") == 1


@in_loop
async def test_what_was_said_before_the_newest_is_not_said_of_it(stage: Stage) -> None:
    refused = {"identity svc-b": "the key is empty"}
    async with stage.renewing(not_taken=lambda: refused) as renewals:
        await until(lambda: stage.renewed)
        stage.served = Material(identities={"svc-b": stage.kept().material})
        (stage.state / "issued" / "svc-b" / "1" / "key.pem").write_bytes(b"")
        await until(lambda: stage.kept().version == "2")
        await asyncio.sleep(0.1)
        assert renewals.news()["svc-b"]["last_error"] is None
        stage.clock.move(timedelta(seconds=21))
        await until(lambda: renewals.news()["svc-b"]["last_error"] is not None)


@in_loop
async def test_another_spec_does_not_wait_for_the_next_try(stage: Stage) -> None:
    async with stage.renewing() as renewals:
        await until(lambda: stage.renewed)
        (stage.folder / "ca").rename(stage.folder / "away")
        stage.clock.move(16.1 * HOUR)
        await until(lambda: renewals.news()["svc-b"]["last_error"])
        (stage.folder / "away").rename(stage.folder / "ca")
        await asyncio.sleep(0.1)
        assert stage.kept().version == "1"
        stage.issuers["other"] = LOCAL
        await until(lambda: stage.kept().version == "2")


@in_loop
async def test_how_long_it_fails_is_written_down_until_it_works(stage: Stage) -> None:
    async with stage.renewing():
        await until(lambda: stage.renewed)
        (stage.folder / "ca").rename(stage.folder / "away")
        stage.clock.move(16.1 * HOUR)
        began = stage.clock.now()
        await until(lambda: failing.read(stage.state, "svc-b"))
        stage.clock.move(HOUR)
        await asyncio.sleep(0.1)
        told = failing.read(stage.state, "svc-b")
        assert told is not None
        assert told.since == began
        assert "is not a CA" in told.why
        (stage.folder / "away").rename(stage.folder / "ca")
        stage.clock.move(HOUR)
        await until(lambda: stage.kept().version == "2")
        await until(lambda: failing.read(stage.state, "svc-b") is None)


@in_loop
async def test_other_names_in_the_spec_are_issued_at_once(stage: Stage) -> None:
    async with stage.renewing():
        await until(lambda: stage.renewed)
        stage.identities["svc-b"]["names"] = ["svc-c.internal"]
        await until(lambda: len(stage.renewed) == 2)
    leaf = stage.kept().material.leaf
    assert leaf is not None
    assert sans(leaf) == ["svc-c.internal"]


@in_loop
async def test_a_clock_set_forward_renews_and_one_set_back_does_not(stage: Stage) -> None:
    async with stage.renewing():
        await until(lambda: stage.renewed)
        stage.clock.set(pki.NOW - timedelta(days=300))
        await asyncio.sleep(0.2)
        assert stage.kept().version == "1"
        stage.clock.set(pki.NOW + timedelta(days=30))
        await until(lambda: len(stage.renewed) == 2)
    assert stage.kept().version == "2"


@in_loop
async def test_a_clock_set_back_does_not_keep_a_failed_renewal_waiting(stage: Stage) -> None:
    async with stage.renewing() as renewals:
        await until(lambda: stage.renewed)
        (stage.folder / "ca").rename(stage.folder / "away")
        stage.clock.move(timedelta(hours=16.5))
        await until(lambda: renewals.news()["svc-b"]["last_error"])
        (stage.folder / "away").rename(stage.folder / "ca")
        stage.clock.set(stage.clock.now() - timedelta(minutes=10))
        stage.clock.move(timedelta(minutes=15))
        await until(lambda: len(stage.renewed) == 2)


@in_loop
async def test_damaged_files_are_issued_anew(stage: Stage) -> None:
    async with stage.renewing():
        await until(lambda: stage.renewed)
        (stage.state / "issued" / "svc-b" / "1" / "key.pem").write_bytes(b"")
        await until(lambda: len(stage.renewed) == 2)
    assert not stage.kept().broken


@in_loop
async def test_an_identity_that_goes_is_forgotten(stage: Stage) -> None:
    shell(stage, "exec sleep 60")
    async with stage.renewing() as renewals:
        await until(lambda: "svc-b" in renewals.news())
        stage.identities = {}
        await until(lambda: not renewals.news())


class _Broken(Issuance):
    async def issue(self, prepared: Prepared, identity: str) -> str:
        if identity == "svc-b":
            raise IssuerError("no", retry_after=timedelta(hours=2))
        return await super().issue(prepared, identity)


@in_loop
async def test_one_that_fails_keeps_no_other_one_waiting(stage: Stage) -> None:
    stage.identities["svc-c"] = {"issuer": "dev-ca", "names": ["svc-c.internal"]}
    async with stage.renewing(issuance=_Broken(stage.clock)) as renewals:
        await until(lambda: stage.renewed == ["svc-c"])
        await until(lambda: renewals.news()["svc-b"]["last_error"] == "no")
        wanted = stage.clock.now() + timedelta(hours=2)
        assert renewals.news()["svc-b"]["next"] == wanted.isoformat()


@in_loop
async def test_two_hundred_at_once_do_not_hold_up_the_loop(stage: Stage) -> None:
    stage.identities = {
        f"svc-{number}": {"issuer": "dev-ca", "names": [f"svc-{number}.internal"]}
        for number in range(200)
    }
    longest, ended = 0.0, False

    async def tick() -> None:
        """The work of the loop's own thread between two turns: other programs do not count."""
        nonlocal longest
        while not ended:
            began = time.thread_time()
            await asyncio.sleep(0.01)
            longest = max(longest, time.thread_time() - began)

    ticking = asyncio.ensure_future(tick())
    async with stage.renewing():
        await until(lambda: len(stage.renewed) == 200, within=60)
    ended = True
    await ticking
    assert sorted(stage.renewed) == sorted(stage.identities)
    assert longest < 1.0


@in_loop
async def test_work_under_way_ends_with_the_watch(stage: Stage) -> None:
    shell(stage, "echo $$ > own; exec sleep 60")
    async with stage.renewing():
        await until(lambda: (stage.folder / "own").exists() and (stage.folder / "own").read_text())
    pid = int((stage.folder / "own").read_text())
    await until(lambda: not _runs(stage.folder, pid))


def _runs(_folder: Path, pid: int) -> bool:
    from pathlib import Path as Place

    try:
        return Place(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_before_the_first_look_nothing_is_known(stage: Stage) -> None:
    assert Renewals(stage.clock).news() == {}


# -- before nginx starts


def first(stage: Stage, *, within: float = 30.0) -> Prepared:
    made = stage.prepared()

    async def again() -> Prepared:
        return stage.prepared()

    return asyncio.run(issued_first(made, stage.clock, again, within=within))


def test_what_is_missing_is_issued_before_the_start(stage: Stage) -> None:
    stage.identities["svc-c"] = {"issuer": "dev-ca", "names": ["svc-c.internal"]}
    first(stage)
    assert stage.kept("svc-b").version == stage.kept("svc-c").version == "1"


def test_an_issuer_that_cannot_be_had_is_an_environment_fault(stage: Stage) -> None:
    stage.identities["svc-c"] = {"issuer": "dev-ca", "names": ["svc-c.internal"]}
    (stage.folder / "ca").rename(stage.folder / "away")
    with pytest.raises(EnvironmentFault, match="nginx is not started") as caught:
        first(stage)
    assert caught.value.exit_code is ExitCode.ENVIRONMENT
    assert "identity 'svc-b': issuer dev-ca: " in caught.value.message
    assert "identity 'svc-c': issuer dev-ca: " in caught.value.message
    assert caught.value.hint == (
        "Name the CA's directory with `directory`; `handclasp ca init` makes one."
    )


def test_an_issuer_that_hangs_is_not_waited_for_for_ever(stage: Stage) -> None:
    shell(stage, "exec sleep 60")
    began = time.monotonic()
    with pytest.raises(EnvironmentFault, match=r"'svc-b': nothing came within 0\.5 s"):
        first(stage, within=0.5)
    assert time.monotonic() - began < 10


def test_nothing_is_asked_where_nothing_is_missing(stage: Stage) -> None:
    made = stage.prepared()
    made.waiting = ()  # type: ignore[misc]  # a stand-in of the test
    again = asyncio.run(issued_first(made, stage.clock, lambda: pytest.fail("prepared again")))
    assert again is made
    assert not errors_in(made.findings)
    assert not (stage.state / "issued").exists()


# -- what is said of it


def test_a_short_life_counts_from_when_it_was_had_and_is_no_warning(stage: Stage) -> None:
    """Issuers set the begin back by minutes: what lives for seconds would always be about to end."""
    stage.identities["svc-b"]["lifetime"] = "30s"
    issue(stage)
    material = Material(identities={"svc-b": stage.kept().material})
    (leaf,) = [
        one for one in expiring(material, ["svc-b"], [], {"svc-b"}) if one.kind == "identity"
    ]
    assert leaf.lifetime == timedelta(seconds=30)
    now = stage.clock.now()
    assert near([leaf], Limits(), now) == ()
    assert near([leaf], Limits(), now + timedelta(seconds=26))  # it should have been renewed
