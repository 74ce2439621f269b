"""What breaks when, in order."""

from __future__ import annotations

from handclasp.monitor.expiry import Entry, Kind
from handclasp.monitor.timeline import timeline
from tests.monitor.moments import DAY, NOW, entry, member

IDENTITY = entry(
    member(90 * DAY),
    member(40 * DAY, kind=Kind.CA, subject="CN=Middle"),
    name="identity svc-b",
    breaks=("egress orders cannot present it",),
)
LIST = entry(
    member(7 * DAY, kind=Kind.CRL, subject="CN=Root"),
    name="trust company",
    breaks=("egress orders refuses every upstream of that CA",),
)


def told(*entries: Entry, days: int | None = None) -> list[str]:
    until = None if days is None else NOW + days * DAY
    return [str(event) for event in timeline(entries, now=NOW, until=until)]


def test_every_member_is_told_in_order_with_what_breaks() -> None:
    assert told(IDENTITY, LIST) == [
        f"2026-12-01: CRL of 'CN=Root' of trust company lapses: {LIST.breaks[0]}",
        "2027-01-03: CA 'CN=Middle' of identity svc-b expires: egress orders cannot present it",
        "2027-02-22: identity svc-b expires: egress orders cannot present it",
    ]


def test_what_comes_later_than_asked_for_is_left_out() -> None:
    assert len(told(IDENTITY, LIST, days=40)) == 2
    assert len(told(IDENTITY, LIST, days=39)) == 1


def test_what_is_over_is_said_in_the_past_and_first() -> None:
    old = entry(member(-DAY), source="old.pem")
    assert told(LIST, old)[0] == "2026-11-23: certificate 'CN=svc-b' of old.pem expired"


def test_what_is_not_valid_yet_has_a_beginning() -> None:
    new = entry(member(90 * DAY, begun=-2 * DAY), name="identity new", breaks=("x cannot",))
    assert told(new) == [
        "2026-11-26: identity new becomes valid: until then x cannot",
        "2027-02-22: identity new expires: x cannot",
    ]


def test_a_caller_is_told_by_its_name_and_link() -> None:
    caller = entry(
        member(6 * DAY, kind=Kind.CALLER, subject="CN=svc-c"),
        source="ingress api",
        name="ingress api",
        breaks=("ingress api refuses it",),
        seen=NOW,
    )
    assert told(caller) == [
        "2026-11-30: caller 'CN=svc-c' of ingress api expires: ingress api refuses it"
    ]


def test_what_has_no_end_or_could_not_be_read_is_no_event() -> None:
    endless = entry(member(None, kind=Kind.CRL))
    assert told(endless, Entry(source="x", problem="gone")) == []
