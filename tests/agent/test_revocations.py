"""Revocation lists that change on disk: of each CA its newest, never fewer by mistake."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from handclasp.agent.authorizer import Authorizer
from handclasp.agent.clock import SystemClock
from handclasp.agent.listed import beyond_files, listed_files
from handclasp.agent.newer_lists import Newer, take
from handclasp.agent.revocations import RevocationWatch
from handclasp.certs.material import Material, TrustMaterial
from handclasp.errors import EnvironmentFault
from handclasp.identity import denied
from handclasp.identity.denied import denied_by
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
        "older (",
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


# The watch


@dataclass
class Watched:
    """A watch of one trust, `changed` of which can be made to fail."""

    folder: Path
    watch: RevocationWatch = field(default_factory=RevocationWatch)
    put: list[Mapping[str, Newer]] = field(default_factory=list)
    fails: Exception | None = None
    prepared: Any = None

    def __post_init__(self) -> None:
        (self.folder / "ca.pem").write_bytes(CA.pem + INT.pem)
        self.write(BEFORE)
        self.read_spec()

    def read_spec(self) -> None:
        files = SimpleNamespace(
            certificates=[str(self.folder / "ca.pem")],
            crl=[str(self.folder / "ca.crl")],
            public=None,
        )
        lists = (self.folder / "ca.crl").read_bytes()
        self.prepared = SimpleNamespace(
            spec=SimpleNamespace(trust={"company": files}),
            plan=SimpleNamespace(ingress=[SimpleNamespace(trust="company", link="api")]),
            material=Material(trust={"company": trust(lists)}),
        )

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
    link = Link()
    plan, revoking = native([pki.crl(company(), [caller()])])

    async def relisted(state: StateDirectory, read_at: datetime) -> tuple[bool, bool]:
        authorizer = Authorizer(state, SystemClock())
        prepared: Any = SimpleNamespace(plan=plan, material=link.material, read_at=read_at)
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
