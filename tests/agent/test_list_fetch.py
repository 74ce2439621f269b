"""Revocation lists over http and https: what is taken, and every way in which nothing is."""

from __future__ import annotations

import asyncio
import gzip
import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.list_fetch import (
    MOST_REDIRECTS,
    Bounds,
    Fetched,
    NotFetchedError,
    Validators,
    fetch,
)
from handclasp.agent.list_fetcher import ListFetcher, fetch_first
from handclasp.agent.list_store import kept, sources
from handclasp.agent.listed_trust import kept_list, load_listed_trust
from handclasp.certs.read import read_objects
from handclasp.errors import EnvironmentFault, ExitCode
from handclasp.findings import FindingsError
from handclasp.spec.load import LoadedSpec, parse_spec
from tests import pki
from tests.list_server import Answer, ListServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

CA = pki.authority("Fetched CA")
NAMESAKE = pki.authority("Fetched CA", key_label="of a namesake")
BOB = pki.leaf(CA, "bob")
LIST = pki.crl(CA, [BOB], number=5)


@pytest.fixture
def server() -> Iterator[ListServer]:
    with ListServer() as running:
        running.put(LIST)
        yield running


def get(url: str, **options: Any) -> Fetched:
    return asyncio.run(fetch(url, **options))


def refusal(url: str, **options: Any) -> str:
    with pytest.raises(NotFetchedError) as refused:
        get(url, **options)
    return str(refused.value)


# The request


def test_a_list_is_fetched_whole_and_asked_for_again_only_when_it_changed(
    server: ListServer,
) -> None:
    first = get(server.url())
    assert first.body == LIST
    assert get(server.url(), known=first.validators) == Fetched(None, first.validators)
    server.put(LIST + b"\n")
    assert get(server.url(), known=first.validators).body == LIST + b"\n"
    assert "If-None-Match" not in server.asked[0][1]
    assert server.asked[1][1]["If-None-Match"] == first.validators.etag
    assert {asked[1]["Accept-Encoding"] for asked in server.asked} == {"identity"}


def test_a_date_serves_where_a_server_has_no_tags(server: ListServer) -> None:
    date = "Tue, 24 Nov 2026 00:00:00 GMT"
    server.put(LIST, validators=False, headers={"Last-Modified": date})
    known = get(server.url()).validators
    assert known == Validators(None, date)
    get(server.url(), known=known)
    assert server.asked[-1][1]["If-Modified-Since"] == date


def test_what_was_not_asked_for_conditionally_is_no_confirmation(server: ListServer) -> None:
    server.put(b"", status=304, validators=False)
    assert "304" in refusal(server.url())


def test_redirects_are_followed_so_many_times(server: ListServer) -> None:
    for step in range(MOST_REDIRECTS):
        server.put(b"", f"/{step}", status=302, headers={"Location": f"/{step + 1}"})
    server.put(LIST, f"/{MOST_REDIRECTS}")
    assert get(server.url("/0")).body == LIST
    server.put(b"", "/before", status=307, headers={"Location": "/0"})
    assert "redirects more than" in refusal(server.url("/before"))


BAD_ANSWERS = {
    "404": (Answer(b"gone", 404), "answers 404"),
    "500": (Answer(b"", 500), "answers 500"),
    "redirects for ever": (
        Answer(b"", 302, {"Location": "/ca.crl"}),
        f"redirects more than {MOST_REDIRECTS} times",
    ),
    "redirect to a file": (
        Answer(b"", 302, {"Location": "file:///etc/passwd"}),
        "begins with http:// or https://",
    ),
    "redirect with a password": (
        Answer(b"", 301, {"Location": "http://user:secret@127.0.0.1/ca.crl"}),
        "user name or password",
    ),
    "redirect to nowhere": (Answer(b"", 302), "redirects to nowhere"),
    "packed": (
        Answer(gzip.compress(LIST), headers={"Content-Encoding": "gzip"}),
        "is packed (gzip)",
    ),
    "too long, and says so": (Answer(b"x" * 5000), "more than 4000 bytes"),
    "too long without saying": (Answer(b"x" * 5000, chunked=True), "more than 4000 bytes"),
    "slow": (Answer(LIST, waits=0.2), "no whole answer in 0.5 s"),
    "silent": (Answer(LIST, waits=5), "nothing for 0.3 s"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_an_answer_that_is_none_is_said_to_be_none(server: ListServer, what: str) -> None:
    answer, why = BAD_ANSWERS[what]
    server.answers["/ca.crl"] = answer
    assert why in refusal(server.url(), bounds=Bounds(4000, 0.5, 0.3))


def test_a_server_that_is_not_there_is_said(server: ListServer) -> None:
    server.stop()
    assert f"127.0.0.1:{server.port}" in refusal(server.url())


def test_an_https_server_is_verified_with_the_cas_named(tmp_path: Path) -> None:
    credentials = pki.leaf(CA, "pki", sans=["localhost"], usages=[pki.SERVER]).write(
        tmp_path, "pki"
    )
    with ListServer(credentials) as server:
        server.put(LIST)
        url = server.url(host="localhost")
        assert get(url, authorities=CA.pem).body == LIST
        assert "not verified" in refusal(url, authorities=pki.authority("Other").pem)
        assert "not verified" in refusal(server.url(), authorities=CA.pem), "another name"
        assert "no public CAs" in refusal(url)
        with ListServer() as plain:
            server.put(b"", status=302, headers={"Location": plain.url()})
            assert "from https to http" in refusal(url, authorities=CA.pem)


# What is kept


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at: datetime = pki.NOW
        self.seconds = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, by: timedelta) -> None:
        self.at += by
        self.seconds += by.total_seconds()


@dataclass
class Place:
    """A spec with one URL, and a state directory."""

    folder: Path
    server: ListServer
    clock: Clock = field(default_factory=Clock)
    more: str = ""

    def __post_init__(self) -> None:
        (self.folder / "ca.pem").write_bytes(CA.pem)
        self.fetcher = self.new_fetcher()

    def new_fetcher(self) -> ListFetcher:
        return ListFetcher(self.clock, draw=lambda: 0.0)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def loaded(self) -> LoadedSpec:
        text = f"""
trust:
  company:
    certificates: [ca.pem]
    crl: [{{url: "{self.server.url()}", every: 10m{self.more}}}]
"""
        return parse_spec(text.encode(), source="spec.yaml", base=PurePosixPath(self.folder))

    @property
    def file(self) -> Path:
        return kept_list(self.state, "company", self.server.url())

    def look(self) -> str | None:
        asyncio.run(self.fetcher.look(self.loaded.spec, self.state))
        return self.fetcher.problem

    def first(self, **options: Any) -> None:
        asyncio.run(
            fetch_first(self.loaded, self.state, passable=False, clock=self.clock, **options)
        )

    def revoked(self) -> set[int]:
        """Serials on the list that is kept."""
        crls = read_objects(self.file.read_bytes(), source="kept").crls
        return {entry.serial_number for crl in crls for entry in crl}


@pytest.fixture
def place(tmp_path: Path, server: ListServer) -> Place:
    return Place(tmp_path, server)


def test_a_list_is_had_before_the_start_and_kept_for_the_next(place: Place) -> None:
    place.first()
    assert place.revoked() == {BOB.certificate.serial_number}
    assert place.file.stat().st_mode & 0o777 == 0o600
    assert place.file.parent.stat().st_mode & 0o777 == 0o700
    assert place.file.parent.parent.stat().st_mode & 0o777 == 0o700
    place.server.stop()
    place.first()
    material = load_listed_trust("company", place.loaded.spec.trust["company"], place.state)
    assert (len(material.crls), material.findings) == (1, ())


def test_what_was_never_had_and_cannot_be_forbids_the_start(place: Place) -> None:
    place.server.answers.clear()
    with pytest.raises(FindingsError) as refused:
        place.first()
    (finding,) = refused.value.findings
    assert refused.value.exit_code is ExitCode.ENVIRONMENT
    assert finding.slug == "crl-not-fetched"
    assert "answers 404" in finding.seen
    assert (finding.where.file, finding.where.line) == ("spec.yaml", 5)
    material = load_listed_trust("company", place.loaded.spec.trust["company"], place.state)
    assert [one.slug for one in material.findings] == ["crl-not-fetched"]


def test_the_start_waits_so_long_and_no_longer(place: Place) -> None:
    place.server.put(LIST, waits=5)
    with pytest.raises(FindingsError, match=r"no answer in 0\.3 s"):
        place.first(seconds=0.3)


def test_a_directory_of_something_else_is_left_alone(place: Place) -> None:
    place.state.mkdir(0o700)
    (place.state / "precious").touch()
    with pytest.raises(EnvironmentFault, match="not a state directory"):
        place.first()
    assert [one.name for one in place.state.iterdir()] == ["precious"]


def test_der_is_as_good_as_pem(place: Place) -> None:
    place.server.put(pki.der_from_pem(LIST))
    place.first()
    assert place.revoked() == {BOB.certificate.serial_number}


def test_a_newer_list_is_had_at_the_pace_of_the_spec(place: Place) -> None:
    place.first()
    place.server.put(pki.crl(CA, number=6))
    assert place.look() is None
    assert place.revoked() != set(), "it is not due"
    place.clock.advance(timedelta(minutes=10))
    assert place.look() is None
    assert place.revoked() == set()


def test_what_did_not_change_is_not_sent_again_after_a_restart_either(place: Place) -> None:
    place.first()
    before = place.file.stat().st_ino
    place.fetcher = place.new_fetcher()
    place.clock.advance(timedelta(minutes=11))
    assert place.look() is None
    assert "If-None-Match" in place.server.asked[-1][1]
    assert place.file.stat().st_ino == before


WORSE = {
    "of a namesake": (pki.crl(NAMESAKE, number=9), "signed by no CA known here"),
    "forged": (pki.crl(CA, number=9, signer=NAMESAKE), "signed by no CA known here"),
    "older": (pki.crl(CA, number=4), "older (number 4 after 5)"),
    "run out": (
        pki.crl(CA, number=6, next_update=pki.NOW - timedelta(minutes=1)),
        "should have been replaced by",
    ),
    "of tomorrow": (
        pki.crl(CA, number=6, last_update=pki.NOW + timedelta(days=1)),
        "is valid from",
    ),
    "a page": (b"<!DOCTYPE html><title>Sign in</title>", "it begins with '<!DOCTYPE html"),
    "nothing": (b"", "it begins with nothing"),
    "a certificate": (CA.pem, "what came is no revocation list"),
    "half of it": (pki.der_from_pem(LIST)[:-20], "what came is no revocation list"),
}


@pytest.mark.parametrize("what", WORSE)
def test_a_list_gives_way_to_none_that_is_worse(place: Place, what: str) -> None:
    body, why = WORSE[what]
    place.first()
    before = place.file.read_bytes()
    place.server.put(body)
    place.clock.advance(timedelta(minutes=10))
    problem = place.look()
    assert problem is not None
    assert why in problem
    assert problem.startswith(f"company: {place.server.url()}: ")
    assert place.file.read_bytes() == before
    place.server.put(pki.crl(CA, number=7))
    place.clock.advance(timedelta(minutes=10))
    assert place.look() is None
    assert place.revoked() == set()


@pytest.mark.parametrize("what", ["of a namesake", "forged", "a page", "nothing"])
def test_a_first_list_that_is_worth_nothing_is_none(place: Place, what: str) -> None:
    place.server.put(WORSE[what][0])
    with pytest.raises(FindingsError, match="cannot be had"):
        place.first()
    assert not place.file.exists()


def test_a_newer_list_that_ran_out_follows_one_that_ran_out_before(place: Place) -> None:
    place.server.put(pki.crl(CA, number=1, next_update=pki.NOW + timedelta(minutes=5)))
    place.first()
    place.clock.advance(timedelta(minutes=20))
    place.server.put(pki.crl(CA, [BOB], number=2, next_update=pki.NOW + timedelta(minutes=15)))
    problem = place.look()
    assert problem is not None
    assert "should have been replaced" in problem
    assert place.revoked() == {BOB.certificate.serial_number}, "it names more"


def test_a_server_that_is_away_is_asked_again_soon_and_said_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for level in ("error", "info"):
        monkeypatch.setattr(
            f"handclasp.agent.list_fetcher.journal.{level}", lambda event, **_: told.append(event)
        )
    place.first()
    place.server.answers.clear()
    place.clock.advance(timedelta(minutes=10))
    for _ in range(4):
        place.look()
        place.clock.advance(timedelta(seconds=41))
    assert told == ["revocation list fetched", "revocation list not had"]
    asked = len(place.server.asked)
    place.look()
    assert len(place.server.asked) == asked + 1
    place.server.put(LIST)
    place.clock.advance(timedelta(minutes=10))
    place.look()
    assert told[-1] == "revocation list had again"


def test_a_list_in_its_last_third_is_renewed_before_a_start(place: Place) -> None:
    place.server.put(pki.crl(CA, number=1, next_update=pki.NOW + timedelta(hours=1)))
    place.first()
    place.server.put(pki.crl(CA, number=2, next_update=pki.NOW + timedelta(hours=9)))
    place.first()
    assert len(place.server.asked) == 1, "half of it is left"
    place.clock.advance(timedelta(minutes=30))
    place.first()
    assert len(place.server.asked) == 2
    life = kept(place.state, sources(place.loaded.spec)[0]).life
    assert life is not None
    assert life.end == pki.NOW + timedelta(hours=9)


def test_a_clock_that_was_set_back_does_not_keep_a_list_from_being_fetched(place: Place) -> None:
    place.first()
    place.look()
    place.clock.at -= timedelta(days=3)
    place.clock.seconds += 601
    asked = len(place.server.asked)
    place.look()
    assert len(place.server.asked) == asked + 1


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"fetched": 3}', b"\xff"])
def test_notes_that_cannot_be_read_are_as_if_there_were_none(place: Place, content: bytes) -> None:
    place.first()
    notes = place.file.with_suffix(".json")
    assert json.loads(notes.read_bytes())["url"] == place.server.url()
    notes.write_bytes(content)
    place.fetcher = place.new_fetcher()
    assert place.look() is None
    assert "If-None-Match" not in place.server.asked[-1][1]


def test_a_named_trust_verifies_the_server_of_a_list(tmp_path: Path) -> None:
    credentials = pki.leaf(CA, "pki", sans=["ip:127.0.0.1"], usages=[pki.SERVER]).write(
        tmp_path, "pki"
    )
    with ListServer(credentials) as server:
        server.put(LIST)
        place = Place(tmp_path, server, more=", trust: company")
        place.first()
        assert place.revoked() == {BOB.certificate.serial_number}
        place.file.unlink()
        place.more = ""  # the public CAs
        with pytest.raises(FindingsError, match="not verified"):
            place.first()
        place.more = ", trust: nobody"
        with pytest.raises(FindingsError, match="no trust 'nobody'"):
            place.first()
