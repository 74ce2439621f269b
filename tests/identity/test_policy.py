"""Rules by path and method, and the decision: no rule, no entry, and nothing falls back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handclasp.identity.denied import Denied, denied_certificate
from handclasp.identity.policy import Policy, Reason, decide, make_policy, path_rule
from handclasp.identity.rules import Rule, compile_rule
from handclasp.spec.values import AllowRule
from tests.identity.specimens import NOW, caller

if TYPE_CHECKING:
    from handclasp.identity.caller import Caller
    from handclasp.identity.policy import Decision

A, B = caller("a"), caller("b")


def rules(*names: str) -> list[Rule]:
    return [compile_rule(AllowRule.parse(f"cn:{name}")) for name in names]


def ask(policy: Policy, who: Caller | None, target: str = "/", method: str = "GET") -> Decision:
    return decide(policy, who, method=method, target=target, now=NOW)


def test_without_path_rules_the_links_rules_hold_everywhere() -> None:
    policy = make_policy(rules("x", "a"))
    decision = ask(policy, A, "/any//where", "PURGE")
    assert (decision.allowed, decision.reason, decision.rule) == (True, Reason.ALLOWED, "cn:a")
    assert ask(policy, B).reason is Reason.NO_RULE_HOLDS


def test_no_rule_means_no_entry() -> None:
    assert ask(make_policy([]), A).reason is Reason.NO_RULE_HOLDS
    assert (
        ask(make_policy(rules("a"), [path_rule("/", allow=[])]), A).reason is Reason.NO_RULE_HOLDS
    )


def test_the_longest_path_decides_and_lends_nothing_from_above() -> None:
    policy = make_policy(
        [], [path_rule("/", allow=rules("a", "b")), path_rule("/admin/", allow=rules("b"))]
    )
    assert ask(policy, A, "/").allowed
    assert ask(policy, A, "/administrator").allowed
    assert ask(policy, B, "/admin/x").allowed
    for target in ("/admin/x", "/admin", "/admin/", "/%61dmin/x", "/admin?x"):
        assert ask(policy, A, target).reason is Reason.NO_RULE_HOLDS, target


@pytest.mark.parametrize("target", ["/x/../admin/", "//admin/", "/admin;/", "/x%2fadmin", "*"])
def test_an_ambiguous_path_is_refused_whoever_asks(target: str) -> None:
    policy = make_policy([], [path_rule("/", allow=rules("a"))])
    assert ask(policy, A, target).reason is Reason.PATH_AMBIGUOUS


def test_what_no_rule_covers_is_refused() -> None:
    policy = make_policy(rules("a"), [path_rule("/api", methods=["GET"], allow=rules("a"))])
    assert ask(policy, A, "/api/x").allowed
    assert ask(policy, A, "/api/x", "HEAD").allowed
    assert ask(policy, A, "/other").reason is Reason.PATH_NOT_COVERED
    assert ask(policy, A, "/api/x", "POST").reason is Reason.METHOD_NOT_COVERED
    assert ask(policy, A, "/api/x", "get").reason is Reason.METHOD_NOT_COVERED


def test_a_method_falls_back_neither_to_a_shorter_path_nor_past_a_rule_that_names_it() -> None:
    policy = make_policy(
        [],
        [
            path_rule("/", allow=rules("a")),
            path_rule("/admin", methods=["GET"], allow=rules("a")),
            path_rule("/admin/", methods=["POST"], allow=rules("b")),
            path_rule("/data", methods=["DELETE"], allow=rules("b")),
            path_rule("/data", allow=rules("a")),
        ],
    )
    assert ask(policy, A, "/admin", "DELETE").reason is Reason.METHOD_NOT_COVERED
    assert ask(policy, A, "/admin", "POST").reason is Reason.NO_RULE_HOLDS
    assert ask(policy, B, "/admin", "POST").allowed
    assert ask(policy, A, "/data", "PUT").allowed
    assert ask(policy, A, "/data", "DELETE").reason is Reason.NO_RULE_HOLDS


def test_a_path_rule_without_names_of_its_own_uses_the_links() -> None:
    policy = make_policy(rules("a"), [path_rule("/api")])
    assert ask(policy, A, "/api").allowed
    assert ask(policy, B, "/api").reason is Reason.NO_RULE_HOLDS


@pytest.mark.parametrize("method", ["get", "GET ", "", "G-T"])
def test_a_method_that_is_none_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match="not an HTTP method"):
        path_rule("/", methods=[method])


def test_a_rule_for_no_method_is_refused() -> None:
    with pytest.raises(ValueError, match="names no method"):
        path_rule("/", methods=[])


def test_dates_and_denials_go_before_rules() -> None:
    policy = make_policy(rules("a"))

    def reason(moment: timedelta, denied: Denied | None = None) -> Reason:
        return decide(policy, A, method="GET", target="/", now=NOW + moment, denied=denied).reason

    nothing = timedelta(0)
    assert reason(nothing) is Reason.ALLOWED
    assert reason(A.not_after - NOW) is Reason.ALLOWED
    assert reason(A.not_after - NOW + timedelta(seconds=1)) is Reason.EXPIRED
    assert reason(A.not_before - NOW - timedelta(seconds=1)) is Reason.NOT_YET_VALID
    assert reason(nothing, denied_certificate(A.sha256)) is Reason.DENIED
    assert reason(nothing, denied_certificate(B.sha256)) is Reason.ALLOWED


def test_without_a_verified_certificate_nobody_enters() -> None:
    assert ask(make_policy(rules("a")), None).reason is Reason.NO_CERTIFICATE


def test_a_reason_is_a_sentence_about_the_rule_and_not_about_who_else_may_enter() -> None:
    decision = ask(make_policy(rules("secret-name")), replace(A))
    assert "secret-name" not in decision.sentence
