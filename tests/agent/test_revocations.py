"""Revocation lists that change on disk: of each CA its newest, never fewer by mistake."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from handclasp.agent.authorizer import Authorizer
from handclasp.agent.clock import SystemClock
from handclasp.agent.listed import beyond_files, listed_files
from handclasp.agent.lists_in_force import copy_of
from handclasp.agent.newer_lists import Newer, take
from handclasp.agent.revocations import RevocationWatch
from handclasp.ca.revocation import Reason
from handclasp.certs.material import Material, TrustMaterial
from handclasp.errors import EnvironmentFault
from handclasp.identity import denied
from handclasp.identity.denied import denied_by
from handclasp.identity.names import loose_key
from handclasp.nginx.durable import Access
from handclasp.nginx.enforcement import Enforcement
from handclasp.nginx.render.denied import issuer_directory
from handclasp.nginx.state import StateDirectory
from tests import pki
from tests.agent.test_policies import Link, caller, company
from tests.nginx.planning import Planner, ingress, material

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

CA = pki.authority("List CA")
NAMESAKE = pki.authority("List CA", key_label="another key")
INT = pki.authority("List issuing", issuer=CA)
BOB, EVE = pki.leaf(CA, "bob"), pki.leaf(CA, "eve")
BELOW = pki.leaf(INT, "below")
KNOWN = (CA.certificate, INT.certificate)
BEFORE = pki.crl(CA, [BOB], number=5)


def trust(*lists: bytes) -> TrustMaterial:
    crls = tuple(x509.load_pem_x509_crl(one) for one in lists)
    return TrustMaterial(name="company", anchors=KNOWN, crls=crls)


def source(file: Path) -> SimpleNamespace:
    """As the spec names a file."""
    return SimpleNamespace(file=str(file), url=None)


def named(lists: TrustMaterial) -> set[int]:
    return {serial for _, serial in denied_by(lists.crls).serials}


def serials(*pairs: pki.Pair) -> set[int]:
    return {pair.certificate.serial_number for pair in pairs}


# Which lists are in force


def test_a_newer_list_takes_the_place_of_the_one_before() -> None:
    found = take(trust(BEFORE), trust(pki.crl(CA, [EVE], number=6)), KNOWN)
    assert found.problems == ()
    assert found.newer is not None
    assert named(found.newer.trust) == serials(EVE)
    assert found.newer.names_more
    emptied = take(trust(BEFORE), trust(pki.crl(CA, number=6)), KNOWN).newer
    assert emptied is not None
    assert (named(emptied.trust), emptied.names_more) == (set(), False)


WORSE = {
    "gone": ([], "no other one that it signed"),
    "another key": ([pki.crl(NAMESAKE, number=9)], "signed by no CA known here"),
    "forged": ([pki.crl(CA, number=9, signer=NAMESAKE)], "signed by no CA known here"),
    "of another CA": ([pki.crl(INT, number=9)], "no other one that it signed"),
    "number goes back": ([pki.crl(CA, number=4)], "older (number 4 after 5)"),
    "date goes back": (
        [pki.crl(CA, number=6, last_update=pki.NOW - timedelta(hours=2))],
        "number 5 of ",
    ),
    "for leaves alone": (
        [
            pki.crl(
                CA,
                number=6,
                extensions=[
                    x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
                ],
            )
        ],
        "no other one that it signed",
    ),
    "a delta": ([pki.crl(CA, number=6, extensions=[x509.DeltaCRLIndicator(5)])], "no other one"),
}


@pytest.mark.parametrize("what", WORSE)
def test_a_ca_keeps_its_list_while_there_is_none_as_good(what: str) -> None:
    lists, why = WORSE[what]
    found = take(trust(BEFORE), trust(*lists), KNOWN)
    after = found.newer.trust if found.newer else trust(BEFORE)
    assert serials(BOB) <= named(after)
    assert why in "; ".join(found.problems)
    assert "the last list of 'CN=List CA,O=Example Org' stays in force" in "; ".join(found.problems)


def test_one_ca_keeps_its_list_while_another_one_gets_a_new_one() -> None:
    before = trust(BEFORE, pki.crl(INT, number=1))
    found = take(before, trust(pki.crl(INT, [BELOW], number=2)), KNOWN)
    assert found.newer is not None
    assert named(found.newer.trust) == serials(BOB, BELOW)
    assert len(found.problems) == 1


def test_the_same_lists_and_strange_ones_of_before_are_nothing_to_tell() -> None:
    strange = pki.crl(NAMESAKE, [EVE])
    found = take(trust(BEFORE, strange), trust(strange, BEFORE), KNOWN)
    assert (found.newer, found.problems) == (None, ())


def test_a_list_that_ran_out_takes_the_place_of_none_that_did_not() -> None:
    ended = pki.crl(CA, [EVE], number=6, next_update=pki.NOW - timedelta(minutes=1))
    found = take(trust(BEFORE), trust(ended), KNOWN, now=pki.NOW)
    assert found.newer is None
    assert "should have been replaced by" in "; ".join(found.problems)
    both_ended = pki.NOW + timedelta(days=30)
    newer = take(trust(BEFORE), trust(ended), KNOWN, now=both_ended).newer
    assert newer is not None
    assert named(newer.trust) == serials(EVE)


def test_a_list_of_tomorrow_takes_the_place_of_none_in_force() -> None:
    early = pki.crl(CA, number=6, last_update=pki.NOW + timedelta(days=1))
    assert take(trust(BEFORE), trust(early), KNOWN, now=pki.NOW).newer is None
    assert take(trust(BEFORE), trust(early), KNOWN, now=pki.NOW + timedelta(days=2)).newer


def test_what_a_ledger_says_counts_beside_the_lists_and_is_never_taken_back() -> None:
    told = frozenset({("cn=list ca", 7)})
    found = take(trust(BEFORE), replace(trust(BEFORE), withdrawn=told), KNOWN)
    assert found.newer is not None
    assert (found.newer.names_more, found.newer.trust.withdrawn) == (True, told)
    again = take(found.newer.trust, trust(BEFORE), KNOWN)
    assert again.newer is None
    later = take(found.newer.trust, trust(pki.crl(CA, [BOB], number=6)), KNOWN).newer
    assert later is not None
    assert (later.names_more, later.trust.withdrawn) == (False, told)


# The watch


@dataclass
class Watched:
    """A watch of one trust, `changed` of which can be made to fail."""

    folder: Path
    watch: RevocationWatch = field(default_factory=RevocationWatch)
    put: list[Mapping[str, Newer]] = field(default_factory=list)
    fails: Exception | None = None
    prepared: Any = None
    older_lists: bool = False

    def __post_init__(self) -> None:
        (self.folder / "state").mkdir()
        (self.folder / "ca.pem").write_bytes(CA.pem + INT.pem)
        self.write(BEFORE)
        self.read_spec()

    def read_spec(self) -> None:
        files = SimpleNamespace(
            certificates=[str(self.folder / "ca.pem")],
            crl=[source(self.folder / "ca.crl")],
            crl_expired=SimpleNamespace(keep_last=None),
            spiffe=None,
            public=None,
        )
        lists = (self.folder / "ca.crl").read_bytes()
        self.prepared = SimpleNamespace(
            spec=SimpleNamespace(trust={"company": files}),
            layout=SimpleNamespace(root=self.folder / "state"),
            loaded=object(),
            read_at=SystemClock().now(),
            older_lists=self.older_lists,
            plan=SimpleNamespace(
                ingress=[SimpleNamespace(trust="company", link="api")], trust=(("company", "1"),)
            ),
            material=Material(trust={"company": trust(lists)}),
        )

    def rotated(self, *lists: bytes) -> Any:
        """The plan with these lists. The spec and its time are those of before."""
        before = vars(self.prepared)
        self.prepared = SimpleNamespace(
            **{**before, "material": Material(trust={"company": trust(*lists)})}
        )
        return self.prepared

    def write(self, *lists: bytes) -> None:
        fresh = self.folder / "fresh"
        fresh.write_bytes(b"".join(lists))
        fresh.rename(self.folder / "ca.crl")

    def changed(self, newer: Mapping[str, Newer]) -> None:
        if self.fails:
            raise self.fails
        self.put.append(newer)

    def look(self, times: int = 3) -> list[Newer]:
        """What was put in force by so many looks: two to see that a file is settled, one more for quiet."""
        seen = len(self.put)

        async def looks() -> None:
            for _ in range(times):
                await self.watch.look(self.prepared, self.changed)

        asyncio.run(looks())
        return [one["company"] for one in self.put[seen:]]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The events of the journal."""
    events: list[str] = []
    for level in ("error", "info"):
        monkeypatch.setattr(
            f"handclasp.agent.revocations.journal.{level}",
            lambda event, **_: events.append(event),
        )
    return events


def test_lists_that_stay_as_they_are_are_nothing_to_do(watched: Watched, told: list[str]) -> None:
    assert watched.look() == []
    assert (told, watched.watch.problem) == ([], None)


def test_a_list_is_read_once_it_has_settled(watched: Watched, told: list[str]) -> None:
    watched.look()
    watched.write(pki.crl(CA, [BOB, EVE], number=6))
    assert watched.look(1) == []
    (newer,) = watched.look()
    assert named(newer.trust) == serials(BOB, EVE)
    assert newer.names_more
    assert told == ["revocation lists read"]
    watched.write(pki.crl(CA, [BOB], number=7))
    (newer,) = watched.look()
    assert not newer.names_more


def test_a_list_that_is_not_taken_is_said_once_and_stays_in_the_status(
    watched: Watched, told: list[str]
) -> None:
    watched.look()
    for content in (pki.crl(NAMESAKE, number=9), b"no list"):
        told.clear()
        watched.write(content)
        assert watched.look(6) == []
        assert told == ["revocation lists not taken"]
        assert watched.watch.problem is not None
        assert "stays in force" in watched.watch.problem
    watched.write(BEFORE)
    assert watched.look() == []
    assert watched.watch.problem is None


@pytest.mark.parametrize(
    "failure", [EnvironmentFault("the disk is full"), OSError(28, "the disk is full")]
)
def test_lists_that_cannot_be_put_in_force_are_tried_at_every_look(
    watched: Watched, told: list[str], failure: Exception
) -> None:
    watched.look()
    watched.fails = failure
    watched.write(pki.crl(CA, [BOB, EVE], number=6))
    assert watched.look(5) == []
    assert told == ["revocation lists are not in force"]
    assert watched.watch.problem is not None
    assert "not in force: " in watched.watch.problem
    assert "the disk is full" in watched.watch.problem
    watched.fails = None
    (newer,) = watched.look(1)
    assert named(newer.trust) == serials(BOB, EVE)
    assert newer.names_more
    assert watched.watch.problem is None
    assert watched.look() == []


def test_what_is_tried_again_is_read_and_said_once(watched: Watched, told: list[str]) -> None:
    watched.look()
    watched.fails = EnvironmentFault("the disk is full")
    watched.write(pki.crl(CA, [EVE], number=6), pki.crl(NAMESAKE))
    watched.look(6)
    assert told == ["revocation lists not taken", "revocation lists are not in force"]


def test_what_came_with_another_spec_is_owed_until_it_is_done(watched: Watched) -> None:
    watched.look()
    watched.write(pki.crl(CA, [BOB, EVE], number=6))
    watched.read_spec()
    watched.fails = EnvironmentFault("the disk is full")
    watched.look()
    watched.fails = None
    (newer,) = watched.look()
    assert newer.names_more


def test_a_list_that_was_read_is_owed_when_the_one_before_comes_back(watched: Watched) -> None:
    watched.look()
    watched.fails = EnvironmentFault("the disk is full")
    watched.write(pki.crl(CA, [BOB, EVE], number=6))
    watched.look()
    watched.write(BEFORE)
    watched.look()
    watched.fails = None
    (newer,) = watched.look()
    assert named(newer.trust) == serials(BOB, EVE)


def test_the_watch_outlives_a_failure(watched: Watched) -> None:
    watched.watch = RevocationWatch(0.01)
    calls: list[int] = []
    put = asyncio.Event()

    def changed(newer: Mapping[str, Newer]) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise EnvironmentFault("the disk is full")
        watched.put.append(newer)
        put.set()

    async def until_put() -> None:
        task = asyncio.ensure_future(watched.watch.watch(lambda: watched.prepared, changed))
        await asyncio.sleep(0.1)
        watched.write(pki.crl(CA, [EVE], number=6))
        async with asyncio.timeout(10):
            await put.wait()
        task.cancel()

    asyncio.run(until_put())
    assert len(watched.put) == 1


def test_a_list_that_a_plan_brought_is_put_in_force_if_it_is_the_newer_one(
    watched: Watched,
) -> None:
    """As when nginx was given it: what was put in force before must not outlive it."""
    watched.look()
    watched.write(pki.crl(CA, [BOB, EVE], number=6))
    watched.look()
    watched.write(pki.crl(CA, number=7))
    watched.read_spec()
    (newer,) = watched.look()
    assert (named(newer.trust), newer.names_more) == (set(), False)
    watched.write(BEFORE)
    watched.read_spec()
    assert watched.look() == [], "an older one is not, though HUP reads the files"
    watched.older_lists = True
    watched.read_spec()
    (newer,) = watched.look()
    assert named(newer.trust) == serials(BOB), "but for an order"
    watched.write(pki.crl(CA, [EVE], number=8))
    (newer,) = watched.look()
    assert named(newer.trust) == serials(EVE), "what comes after it counts as ever"
    watched.rotated(BEFORE)
    assert watched.look() == [], "an order is not given twice"


def kept(watched: Watched) -> bytes:
    return copy_of(watched.prepared.layout.root, "company").read_bytes()


def test_what_is_in_force_is_kept_and_again_when_that_failed(
    watched: Watched, told: list[str]
) -> None:
    state = watched.folder / "state"
    state.rmdir()
    watched.look()
    assert "cannot keep the revocation lists in force" in (watched.watch.problem or "")
    assert told == ["revocation lists are not kept"]
    state.mkdir()
    watched.look()
    assert (kept(watched), watched.watch.problem) == (BEFORE, None)
    newer = pki.crl(CA, [BOB, EVE], number=6)
    watched.fails = EnvironmentFault("the disk is full")
    watched.write(newer)
    watched.look()
    assert kept(watched) == BEFORE, "it is not in force"
    watched.fails = None
    watched.look()
    assert kept(watched) == newer
    watched.write(BEFORE)
    watched.read_spec()
    watched.look()
    assert kept(watched) == newer


def test_a_list_that_was_too_early_is_taken_when_its_time_has_come(watched: Watched) -> None:
    clock = SimpleNamespace(now=lambda: pki.NOW, monotonic=lambda: 1e9)
    watched.watch = RevocationWatch(clock=clock)
    watched.look()
    hours = timedelta(hours=5)
    watched.write(pki.crl(CA, [EVE], number=40, last_update=pki.NOW + hours))
    assert watched.look() == []
    assert "is valid from" in (watched.watch.problem or "")
    clock.now = lambda: pki.NOW + hours
    (newer,) = watched.look()
    assert named(newer.trust) == serials(EVE)
    assert watched.watch.problem is None
    assert watched.look() == []


class Race:
    """An authorizer's idea of what is in force, and a watch, while plans come and go between them."""

    def __init__(self, watched: Watched, state: StateDirectory) -> None:
        self.watched = watched
        self.authorizer = asyncio.run(self.made(state))
        self.take(watched.prepared)

    async def made(self, state: StateDirectory) -> Authorizer:
        return Authorizer(state, SystemClock())

    def take(self, prepared: Any) -> None:
        """A plan is to take effect, or is gone back to: HUP, a rotation, or its end."""
        self.authorizer._prepared = prepared

    def changed(self, newer: Mapping[str, Newer]) -> None:
        self.authorizer._lists |= {
            name: (SystemClock().now(), one.trust) for name, one in newer.items()
        }

    def look(self) -> None:
        for _ in range(3):
            asyncio.run(self.watched.watch.look(self.watched.prepared, self.changed))

    def in_force(self) -> set[int]:
        prepared = self.authorizer._prepared
        assert prepared is not None
        return named(self.authorizer.material(prepared).trust["company"])


LISTS = {5: BEFORE, 6: pki.crl(CA, [BOB, EVE], number=6), 7: pki.crl(CA, number=7)}
NAMED = {5: serials(BOB), 6: serials(BOB, EVE), 7: set[int]()}
_STEPS = (("watch", 6), ("rotation", 6), ("watch", 7), ("rotation", 7), ("undone", 5))


def _orders() -> list[tuple[tuple[str, int], ...]]:
    """All that can be: nobody reads the second list once the third is in its place."""
    return [
        order
        for order in itertools.permutations(_STEPS)
        if all(
            order.index(early) < order.index(late) for early in _STEPS[:2] for late in _STEPS[2:4]
        )
    ]


@pytest.mark.parametrize("order", _orders(), ids=str)
def test_the_newest_list_counts_whoever_comes_first_with_it(
    watched: Watched, tmp_path: Path, order: tuple[tuple[str, int], ...]
) -> None:
    """From the moment on at which the watch or a rotation has it: a later step never goes back. Of a plan
    that is undone what the watch has stays."""
    first, looked, newest = watched.prepared, 5, 5
    with StateDirectory.open(tmp_path / "race", worker_group=None) as state:
        race = Race(watched, state)
        race.look()
        for who, number in order:
            if who == "watch":
                watched.write(LISTS[number])
                race.look()
                looked = newest = max(newest, number)
            elif who == "rotation":
                race.take(watched.rotated(LISTS[number]))
                newest = max(newest, number)
            else:
                watched.prepared, newest = first, looked
                race.take(first)
            assert race.in_force() == NAMED[newest], (who, number)
        race.look()
        assert race.in_force() == NAMED[7]
        assert kept(watched) == LISTS[7]


def test_a_list_that_runs_out_is_said_once_and_in_the_status(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "handclasp.agent.revocations.journal.warning", lambda _, what: said.append(what)
    )
    clock = SimpleNamespace(now=lambda: pki.NOW, monotonic=lambda: 1e9)
    watched.watch = RevocationWatch(clock=clock)
    watched.look()
    watched.watch._look_at_ends(watched.prepared)
    assert (said, watched.watch.problem) == ([], None)
    stages = ((6, "runs out on"), (6, "runs out on"), (8, "ran out on"))
    for number, (days, what) in enumerate(stages):
        clock.now = lambda days=days: pki.NOW + timedelta(days=days)
        clock.monotonic = lambda at=2e9 + number * 60: at
        watched.watch._look_at_ends(watched.prepared)
        assert what in (watched.watch.problem or "")
    assert len(said) == 2


def test_it_is_said_when_nginx_has_an_old_list_that_runs_out(watched: Watched) -> None:
    clock = SimpleNamespace(now=lambda: pki.NOW + timedelta(days=6), monotonic=lambda: 1e9)
    watched.watch = RevocationWatch(clock=clock)
    watched.look()
    watched.write(pki.crl(CA, number=6, next_update=pki.NOW + timedelta(days=60)))
    watched.look()
    watched.watch._look_at_ends(watched.prepared)
    assert "nginx has not read the newer list yet" in (watched.watch.problem or "")
    watched.read_spec()
    watched.look()
    watched.watch._look_at_ends(watched.prepared)
    assert watched.watch.problem is None


def test_a_ca_beside_its_list_is_believed_before_the_next_list(watched: Watched) -> None:
    from tests.agent.test_own_ledger import ledger

    watched.look()
    opened = ledger(watched.folder, CA, BOB, EVE)
    watched.look()
    before = len(watched.put)
    opened.revoke(EVE.certificate.serial_number, at=pki.NOW, reason=Reason.SUPERSEDED)
    opened.close()
    (newer,) = watched.look()
    assert {serial for _, serial in newer.trust.withdrawn} == serials(EVE)
    assert newer.names_more
    assert len(watched.put) == before + 1


def test_a_list_that_changed_while_the_spec_was_read_is_not_missed(watched: Watched) -> None:
    watched.write(pki.crl(CA, [EVE], number=6))
    (newer,) = watched.look()
    assert named(newer.trust) == serials(EVE)


def test_lists_that_came_with_another_spec_may_name_more(watched: Watched) -> None:
    watched.look()
    watched.write(pki.crl(CA, [BOB, EVE], number=6))
    watched.read_spec()
    (newer,) = watched.look()
    assert newer.names_more
    watched.read_spec()
    assert watched.look() == [], "nothing more than before"


def test_a_list_among_certificates_is_watched_as_well(watched: Watched) -> None:
    watched.prepared.spec.trust["company"].crl = []
    watched.prepared.spec.trust["company"].certificates.append(str(watched.folder / "ca.crl"))
    known = watched.prepared.material.trust["company"]
    having = TrustMaterial(
        name="company", anchors=KNOWN, crls=known.crls, crl_files=(watched.folder / "ca.crl",)
    )
    watched.prepared.material = Material(trust={"company": having})
    watched.look()
    watched.write(pki.crl(CA, [EVE], number=6))
    assert len(watched.look()) == 1


# Where nginx decides


def native(lists: Sequence[bytes]) -> tuple[Any, Material]:
    """A link that nginx decides alone, with these lists."""
    crls = tuple(x509.load_pem_x509_crl(one) for one in lists)
    known = material()
    company_trust = replace(known.trust["company"], crls=crls)
    return (
        Planner().plan(ingress=[ingress()]),
        replace(known, trust={**known.trust, "company": company_trust}),
    )


def test_lists_are_in_force_whatever_the_clock_says(tmp_path: Path) -> None:
    """A list and the plan in one second, or after the clock was set back."""
    plan, loaded = native([pki.crl(company())])
    _, revoking = native([pki.crl(company(), [caller()], number=2)])

    async def relisted(state: StateDirectory, read_at: datetime) -> tuple[bool, bool]:
        authorizer = Authorizer(state, SystemClock())
        prepared: Any = SimpleNamespace(
            plan=plan, material=loaded, read_at=read_at, older_lists=False
        )
        authorizer.take(prepared)
        before = state.enforcement.denied()
        authorizer.relist({"company": revoking.trust["company"]})
        return before, state.enforcement.denied()

    for late in (timedelta(), timedelta(hours=1)):
        with StateDirectory.open(tmp_path / str(late), worker_group=None) as state:
            read_at = SystemClock().now() + late
            assert asyncio.run(relisted(state, read_at)) == (False, True)


def test_files_of_lists_come_and_go_beside_denials(tmp_path: Path) -> None:
    for folder in ("policy", "denied"):
        (tmp_path / folder).mkdir()
    enforcement = Enforcement(tmp_path, Access(0o700), tmp_path)

    def there() -> set[tuple[str, str]]:
        return {(one.parent.name, one.name) for one in (tmp_path / "denied").glob("*/*")}

    denials, lists = {("a", "01"): "CN=A"}, {("a", "02"): "CN=A", ("b", "01"): "CN=B"}
    enforcement.set_denied(denials, lambda *_: False, lists)
    assert there() == {*denials, *lists}
    assert (tmp_path / "denied" / "b" / "01").read_text() == "CN=B"
    enforcement.set_denied(denials, lambda *_: False, {})
    assert there() == set(denials)
    assert not (tmp_path / "denied" / "b").exists()


def test_what_a_list_names_is_a_file_where_nginx_decides() -> None:
    one, other = caller(), caller("svc-x")
    plan, revoking = native([pki.crl(company(), [one])])
    name = "CN=Plan CA,O=Example Org"
    serial = f"{one.certificate.serial_number:X}"
    serial = serial.rjust(len(serial) + len(serial) % 2, "0")
    assert listed_files(plan, revoking) == {(issuer_directory("company", name), serial): name}
    assert str(other.certificate.serial_number) not in str(listed_files(plan, revoking))
    assert listed_files(Link().plan, revoking) == {}, "there the agent is asked"
    forged = pki.crl(company(), [one], signer=NAMESAKE)
    assert listed_files(*native([forged])) == {}


def test_what_a_ledger_says_is_a_file_where_nginx_decides() -> None:
    one, other = caller(), caller("svc-x")
    plan, revoking = native([pki.crl(company(), [one])])
    known = revoking.trust["company"]
    told = frozenset(
        (loose_key("CN=Plan CA,O=Example Org"), pair.certificate.serial_number)
        for pair in (one, other)
    )
    with_ledger = {**revoking.trust, "company": replace(known, withdrawn=told)}
    assert len(listed_files(plan, replace(revoking, trust=with_ledger))) == 2
    without_list = {**revoking.trust, "company": replace(known, crls=(), withdrawn=told)}
    assert len(listed_files(plan, replace(revoking, trust=without_list))) == 2


def test_of_a_long_list_the_latest_are_files_and_the_rest_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(denied, "MOST_RECENT", 2)
    denied._named.cache_clear()
    try:
        many = [caller(f"svc-{number}") for number in range(4)]
        plan, revoking = native([pki.crl(company(), many)])
        assert len(listed_files(plan, revoking)) == 2
        _, loaded = native([pki.crl(company())])
        ((link, what),) = beyond_files(plan, loaded, revoking)
        assert (link, what.partition(",")[0]) == ("api", "2 certificates")
        assert list(beyond_files(plan, revoking, revoking)) == [], "nginx has it loaded"
    finally:
        denied._named.cache_clear()


def test_a_revoked_ca_is_said_where_nginx_decides() -> None:
    plan, revoking = native([pki.crl(company(), [company()])])
    _, loaded = native([])
    ((link, what),) = beyond_files(plan, loaded, revoking)
    assert (link, "Plan CA" in what) == ("api", True)
    assert list(beyond_files(plan, revoking, revoking)) == [], "nginx has it loaded"
