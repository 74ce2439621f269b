"""A link's rules by path and method, and the decision about one request.

Without path rules the link's own rules hold for every request. With path rules, what no rule covers is
refused: a path by the longest rule path that covers it, then a method by the rules of that path that
name it, or, when none does, by those that name no method. Nothing falls back to a shorter path.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from handclasp.certs.facts import date
from handclasp.identity.paths import covers, plain_path, rule_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from handclasp.identity.caller import Caller
    from handclasp.identity.denied import Denied
    from handclasp.identity.rules import Rule


class Reason(StrEnum):
    """Why a request was let in or refused: the stable id that goes into the log."""

    ALLOWED = "allowed"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE_UNREADABLE = "certificate-unreadable"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    DENIED = "denied"
    PATH_AMBIGUOUS = "path-ambiguous"
    PATH_NOT_COVERED = "path-not-covered"
    METHOD_NOT_COVERED = "method-not-covered"
    NO_RULE_HOLDS = "no-rule-holds"


@dataclass(frozen=True, slots=True)
class Decision:
    """`sentence` is for the log, never for the caller; `rule` is the rule that let them in."""

    allowed: bool
    reason: Reason
    sentence: str
    rule: str | None = None


@dataclass(frozen=True, slots=True)
class PathRule:
    """Who may enter below a path. `methods` None: all; `allow` None: the link's own rules."""

    path: str
    methods: frozenset[str] | None
    allow: tuple[Rule, ...] | None


@dataclass(frozen=True, slots=True)
class Policy:
    """A link's rules. Made by `make_policy`."""

    allow: tuple[Rule, ...]
    paths: tuple[PathRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """The rules that decide a request, and where they come from: positions in `Policy.paths`."""

    allow: tuple[Rule, ...]
    positions: tuple[int, ...] = ()


def path_rule(
    path: str, *, methods: Iterable[str] | None = None, allow: Sequence[Rule] | None = None
) -> PathRule:
    """Raises ValueError for a path or method that no request can have. GET covers HEAD."""
    named = None if methods is None else frozenset(methods)
    for method in sorted(named or ()):
        if not (method.isascii() and method.isalpha() and method == method.upper()):
            raise ValueError(f"{method!r} is not an HTTP method in capitals")
    if named is not None and not named:
        raise ValueError(f"the rule for {path} names no method; leave methods out for all")
    if named and "GET" in named:
        named |= {"HEAD"}
    return PathRule(rule_path(path), named, None if allow is None else tuple(allow))


def make_policy(allow: Sequence[Rule], paths: Sequence[PathRule] = ()) -> Policy:
    """Longest paths first, otherwise in the order given."""
    return Policy(tuple(allow), tuple(sorted(paths, key=lambda rule: -len(rule.path))))


def select(policy: Policy, *, method: str, target: str) -> Selection | Decision:
    """The rules for a request, or the refusal of its path or method.

    `target` is the raw one, as `$request_uri`. It is looked at only when there are path rules.
    """
    if not policy.paths:
        return Selection(policy.allow)
    try:
        path = plain_path(target)
    except ValueError as problem:
        return _refused(Reason.PATH_AMBIGUOUS, f"the path is ambiguous: {problem}")
    at_path = _longest(policy.paths, path)
    if not at_path:
        return _refused(Reason.PATH_NOT_COVERED, "no rule covers the path")
    naming = [p for p in at_path if method in (policy.paths[p].methods or ())]
    positions = naming or [p for p in at_path if policy.paths[p].methods is None]
    if not positions:
        place = policy.paths[at_path[0]].path or "/"
        return _refused(
            Reason.METHOD_NOT_COVERED, f"no rule for {place} covers the method {method!a}"
        )
    rules = (policy.paths[position].allow for position in positions)
    allow = tuple(rule for own in rules for rule in (policy.allow if own is None else own))
    return Selection(allow, tuple(positions))


def judge(
    allow: Iterable[Rule], caller: Caller | None, *, now: datetime, denied: Denied | None = None
) -> Decision:
    """Whether a caller may enter under these rules: any one of them suffices, none lets nobody in."""
    if caller is None:
        return _refused(Reason.NO_CERTIFICATE, "the caller showed no verified certificate")
    if now < caller.not_before:
        return _refused(
            Reason.NOT_YET_VALID, f"the certificate is valid from {date(caller.not_before)} on"
        )
    if now > caller.not_after:
        return _refused(Reason.EXPIRED, f"the certificate expired on {date(caller.not_after)}")
    if denied is not None and denied.holds(caller):
        return _refused(Reason.DENIED, "the certificate was denied or revoked")
    for rule in allow:
        if rule.holds(caller):
            return Decision(True, Reason.ALLOWED, f"the rule {rule} holds", str(rule))
    return _refused(Reason.NO_RULE_HOLDS, "no allow rule holds for the certificate")


def decide(
    policy: Policy,
    caller: Caller | None,
    *,
    method: str,
    target: str,
    now: datetime,
    denied: Denied | None = None,
) -> Decision:
    """`select`, then `judge`. `caller` None: no certificate, or one that was not verified."""
    selected = select(policy, method=method, target=target)
    if isinstance(selected, Decision):
        return selected
    return judge(selected.allow, caller, now=now, denied=denied)


def _longest(paths: Sequence[PathRule], path: str) -> list[int]:
    """Positions of the rules with the longest path that covers `path`; `paths` longest first."""
    found: list[int] = []
    for position, rule in enumerate(paths):
        if found and rule.path != paths[found[0]].path:
            continue
        if covers(rule.path, path):
            found.append(position)
    return found


def _refused(reason: Reason, sentence: str) -> Decision:
    return Decision(False, reason, sentence)
