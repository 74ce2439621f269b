"""Files that belong together are told once they keep still and hold together, not before, and not twice."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.rotate.gather import (
    Gathering,
    Judge,
    Rules,
    Settled,
    Stamp,
    State,
    Unchanged,
    Unit,
    Unsettled,
    Wait,
    stamps_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handclasp.rotate.gather import Stamps, Told

CERTIFICATE, KEY = Path("/etc/certs/tls.crt"), Path("/etc/certs/tls.key")
RULES = Rules(quiet_seconds=0.5, at_most_seconds=10.0, patience_seconds=30.0)


def file(path: Path, content: str, *, changed_ns: int = 0, mode: int = 0o600) -> Stamp:
    return Stamp(
        path,
        State.FILE,
        real=str(path),
        size=len(content),
        mode=mode,
        changed_ns=changed_ns,
        digest=content,
    )


def pair(certificate: str, key: str) -> Stamps:
    return file(CERTIFICATE, certificate), file(KEY, key)


def mismatch(stamps: Stamps) -> str | None:
    """A pair holds together when both are of the same number."""
    one, other = stamps
    return None if one.digest == other.digest else "the key is of another certificate"


def through(
    gathering: Gathering,
    seen: Sequence[tuple[float, Stamps]],
    until: float,
    judge: Callable[[Stamps], str | None] = mismatch,
) -> tuple[Gathering, list[tuple[float, Told]]]:
    """Looks when told to, and whenever something is seen; what was told, and when."""
    told: list[tuple[float, Told]] = []
    moments = [*seen, (until, None)]
    at = seen[0][0]
    for moment, stamps in moments:
        while isinstance(step := gathering.step(at), Wait | Judge):
            if isinstance(step, Wait):
                assert step.until > at, "nothing is waited for in the past"
                if step.until >= moment:
                    break
                at = step.until
                continue
            assert gathering.now is not None
            gathering, news = gathering.judged(judge(gathering.now), at)
            if news is not None:
                told.append((at, news))
        at = moment
        if stamps is not None:
            gathering = gathering.seen(stamps, at)
    return gathering, told


OLD = Gathering("api", RULES, told=pair("1", "1"))


def test_what_the_reader_has_read_is_no_news() -> None:
    gathering, told = through(OLD, [(0.0, pair("1", "1"))], 100.0)
    assert told == []
    assert gathering.step(100.0) == Unchanged()


def test_what_nobody_has_read_is_told_once() -> None:
    _, told = through(Gathering("api", RULES), [(0.0, pair("1", "1"))], 100.0)
    assert told == [(0.5, Settled("api", pair("1", "1")))]


def test_a_change_is_told_when_it_has_kept_still() -> None:
    looks = [(0.0, pair("1", "1")), (7.0, pair("2", "2")), (7.25, pair("3", "3"))]
    _, told = through(OLD, looks, 100.0)
    assert told == [(7.75, Settled("api", pair("3", "3")))]


def test_the_second_file_of_a_pair_is_waited_for() -> None:
    looks = [(0.0, pair("1", "1")), (5.0, pair("2", "1")), (25.0, pair("2", "2"))]
    _, told = through(OLD, looks, 100.0)
    assert told == [(25.5, Settled("api", pair("2", "2")))]


def test_a_pair_that_does_not_become_one_is_told_once_and_again_when_it_changes() -> None:
    looks = [(0.0, pair("1", "1")), (5.0, pair("2", "1")), (100.0, pair("3", "1"))]
    _, told = through(OLD, looks, 200.0)
    why = "the key is of another certificate"
    assert told == [
        (35.0, Unsettled("api", pair("2", "1"), why)),
        (130.0, Unsettled("api", pair("3", "1"), why)),
    ]


def test_what_becomes_whole_after_it_was_said_not_to_be_is_told() -> None:
    """Although the reader has read it before: it thinks of it as broken."""
    looks = [(0.0, pair("1", "1")), (5.0, pair("2", "1")), (50.0, pair("1", "1"))]
    _, told = through(OLD, looks, 100.0)
    assert [type(news) for _, news in told] == [Unsettled, Settled]


def test_a_change_that_is_taken_back_is_no_news() -> None:
    looks = [(0.0, pair("1", "1")), (5.0, pair("2", "1")), (6.0, pair("1", "1"))]
    gathering, told = through(OLD, looks, 100.0)
    assert told == []
    # And the next change has all its time again.
    _, told = through(gathering, [(100.0, pair("2", "1"))], 200.0)
    assert [at for at, _ in told] == [130.0]


def test_what_was_refused_before_is_judged_again_when_it_comes_back() -> None:
    gathering, told = OLD.seen(pair("1", "1"), 0.0).seen(pair("2", "1"), 5.0).judged("no", 5.5)
    assert told is None
    gathering = gathering.seen(pair("1", "1"), 6.0).seen(pair("2", "1"), 100.0)
    assert gathering.step(100.5) == Judge(restless=False)


def test_what_never_keeps_still_is_told_after_the_bound_and_not_at_every_change() -> None:
    looks = [(0.1 * n, pair(str(n), str(n))) for n in range(1, 250)]
    _, told = through(OLD, looks, 24.9)
    assert [round(at) for at, _ in told] == [10, 20]
    assert all(isinstance(news, Settled) and news.restless for _, news in told)


def test_what_never_keeps_still_nor_holds_together_is_told_at_the_end_of_patience() -> None:
    looks = [(0.1 * n, pair(str(n), "1")) for n in range(2, 620)]
    judged = []

    def judge(stamps: Stamps) -> str | None:
        judged.append(stamps)
        return mismatch(stamps)

    _, told = through(OLD, looks, 61.9, judge)
    assert len(judged) == 6, "nor is it judged at every change"
    assert [(round(at), type(news)) for at, news in told] == [(30, Unsettled), (60, Unsettled)]


def test_the_date_alone_is_no_news_but_the_mode_is() -> None:
    touched = tuple(replace(one, changed_ns=7, inode=7) for one in pair("1", "1"))
    opened = tuple(replace(one, mode=0o644) for one in pair("1", "1"))
    assert through(OLD, [(0.0, pair("1", "1")), (5.0, touched)], 100.0)[1] == []
    assert through(OLD, [(0.0, pair("1", "1")), (5.0, opened)], 100.0)[1] != []


def test_a_large_file_is_told_apart_by_its_dates() -> None:
    large = tuple(replace(one, digest=None) for one in pair("1", "1"))
    touched = tuple(replace(one, changed_ns=7) for one in large)
    gathering = Gathering("api", RULES, told=large)
    _, told = through(gathering, [(0.0, large), (5.0, touched)], 100.0, lambda _: None)
    assert [at for at, _ in told] == [5.5]


def test_what_the_reader_reads_by_itself_is_not_told() -> None:
    gathering = OLD.seen(pair("1", "1"), 0.0).seen(pair("2", "2"), 5.0).read(pair("2", "2"))
    assert gathering.step(100.0) == Unchanged()
    assert gathering.read(pair("1", "1")).step(100.0) == Judge(restless=False)


@pytest.mark.parametrize(
    ("stamp", "trouble"),
    [
        (Stamp(KEY, State.ABSENT, "No such file"), "/etc/certs/tls.key is not there"),
        (
            Stamp(KEY, State.UNREADABLE, "Permission denied"),
            "/etc/certs/tls.key cannot be read: Permission denied",
        ),
        (Stamp(KEY, State.NOT_A_FILE, "a FIFO"), "/etc/certs/tls.key is a FIFO, not a file"),
        (file(KEY, ""), "/etc/certs/tls.key is empty"),
        (file(KEY, "1"), None),
    ],
)
def test_what_cannot_be_read_is_named(stamp: Stamp, trouble: str | None) -> None:
    assert OLD.seen((file(CERTIFICATE, "1"), stamp), 0.0).trouble() == trouble


def test_stamps_are_of_a_unit_when_it_has_all_of_them() -> None:
    unit = Unit("api", (KEY, CERTIFICATE))
    certificate, key = pair("1", "2")
    assert stamps_of(unit, {CERTIFICATE: certificate, KEY: key}) == (key, certificate)
    assert stamps_of(unit, {CERTIFICATE: certificate}) is None


contents = st.sampled_from("123")
pauses = st.one_of(st.floats(0.01, 0.6), st.floats(0.01, 12.0))
changes_of_a_pair = st.one_of(
    st.lists(st.tuples(pauses, contents, contents), min_size=1, max_size=30),
    st.lists(st.tuples(st.floats(0.3, 0.49), contents, contents), min_size=40, max_size=80),
)


@given(changes_of_a_pair, st.booleans())
def test_any_order_of_changes_ends_told_and_nothing_is_told_within_the_quiet_time(
    changes: list[tuple[float, str, str]], known: bool
) -> None:
    """Whatever happens: what is told keeps still, or had its time; the last thing told is how it is at the
    end; a whole pair is told as settled and another never."""
    at, looks = 0.0, []
    for pause, certificate, key in changes:
        at += pause
        looks.append((at, pair(certificate, key)))
    begin = OLD if known else Gathering("api", RULES)
    gathering, told = through(begin, looks, at + 100.0)
    assert gathering.step(at + 100.0) == Unchanged()
    last = told[-1][1].stamps if told else begin.told
    assert last == looks[-1][1]
    for moment, news in told:
        changed = [
            when
            for (when, stamps), (_, before) in zip(looks[1:], looks, strict=False)
            if stamps != before and when <= moment
        ]
        quiet = moment - max([looks[0][0], *changed]) >= RULES.quiet_seconds - 1e-9
        run = [when for when in (looks[0][0], *changed) if when >= moment - RULES.at_most_seconds]
        gaps = [later - earlier for earlier, later in pairwise(run)]
        assert quiet or (gaps and max(gaps) < RULES.quiet_seconds)
        if isinstance(news, Settled):
            assert news.restless is not quiet
            assert mismatch(news.stamps) is None
        else:
            assert news.why == mismatch(news.stamps)
            assert moment - looks[0][0] >= RULES.patience_seconds - 1e-9
