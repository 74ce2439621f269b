"""Numbers with their nouns."""

from __future__ import annotations

from datetime import timedelta

import pytest

from handclasp.certs.certificate_checks import check_dates
from handclasp.certs.contents import FoundObject
from handclasp.certs.counting import counted
from handclasp.certs.describe import describe
from handclasp.certs.rows import rows
from handclasp.findings import Where
from tests import pki

LEAF = pki.leaf(pki.authority("Root"))


@pytest.mark.parametrize(("count", "said"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_one_is_not_many(count: int, said: str) -> None:
    assert counted(count, "day") == said


@pytest.mark.parametrize(("days", "said"), [(1, "1 day"), (2, "2 days")])
def test_days_are_counted_in_words_wherever_a_date_is_told(days: int, said: str) -> None:
    end, span = LEAF.certificate.not_valid_after_utc, timedelta(days=days, minutes=1)
    told = describe(FoundObject(LEAF.certificate), file="x", form="pem")
    assert f"({said} left)" in dict(rows(told, now=end - span))["valid"]
    assert f"(ended {said} ago)" in dict(rows(told, now=end + span))["valid"]
    begin = LEAF.certificate.not_valid_before_utc
    assert f"(begins in {said})" in dict(rows(told, now=begin - span))["valid"]
    for now, words in ((end - span, f"in {said}"), (end + span, f"({said} ago)")):
        (finding,) = check_dates(LEAF.certificate, now=now, where=Where(), what="certificate")
        assert finding.seen.endswith(words)
