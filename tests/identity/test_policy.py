"""The decision about a caller: any one rule suffices, none lets nobody in."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.identity.denied import Denied, denied_certificate
from handclasp.identity.policy import judge
from handclasp.identity.rules import Rule, compile_rule
from handclasp.spec.access import Reason
from handclasp.spec.values import AllowRule
from tests.identity.specimens import NOW, caller

if TYPE_CHECKING:
    from handclasp.identity.caller import Caller
    from handclasp.identity.policy import Decision

A, B = caller("a"), caller("b")


def rules(*names: str) -> list[Rule]:
    return [compile_rule(AllowRule.parse(f"cn:{name}")) for name in names]


def ask(allow: list[Rule], who: Caller | None) -> Decision:
    return judge(allow, who, now=NOW)


def test_any_one_rule_lets_in_and_is_named() -> None:
    decision = ask(rules("x", "a"), A)
    assert (decision.allowed, decision.reason, decision.rule) == (True, Reason.ALLOWED, "cn:a")
    assert ask(rules("x", "a"), B).reason is Reason.NO_RULE_HOLDS


def test_no_rule_means_no_entry() -> None:
    assert ask([], A).reason is Reason.NO_RULE_HOLDS


def test_dates_and_denials_go_before_rules() -> None:
    def reason(moment: timedelta, denied: Denied | None = None) -> Reason:
        return judge(rules("a"), A, now=NOW + moment, denied=denied).reason

    nothing = timedelta(0)
    assert reason(nothing) is Reason.ALLOWED
    assert reason(A.not_after - NOW) is Reason.ALLOWED
    assert reason(A.not_after - NOW + timedelta(seconds=1)) is Reason.EXPIRED
    assert reason(A.not_before - NOW - timedelta(seconds=1)) is Reason.NOT_YET_VALID
    assert reason(nothing, denied_certificate(A.sha256)) is Reason.DENIED
    assert reason(nothing, denied_certificate(B.sha256)) is Reason.ALLOWED


def test_without_a_verified_certificate_nobody_enters() -> None:
    assert ask(rules("a"), None).reason is Reason.NO_CERTIFICATE


def test_a_reason_is_a_sentence_about_the_rule_and_not_about_who_else_may_enter() -> None:
    assert "secret-name" not in ask(rules("secret-name"), A).sentence
