"""A link's rules by path and method, spread out so that exactly one of them covers a request, or none. Pure.

Without path rules the link's own rules hold for every request. With path rules, what no rule covers is
refused: a path by the longest rule path that covers it, then a method by the rules of that path that
name it, or, when none does, by those that name no method. Nothing falls back to a shorter path.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handclasp.spec.links import Clients, PathRule
    from handclasp.spec.values import AllowRule


class Reason(StrEnum):
    """Why a request was let in or refused: the stable id that goes into the log."""

    ALLOWED = "allowed"
    NO_CERTIFICATE = "no-certificate"
    CERTIFICATE_UNREADABLE = "certificate-unreadable"
    CERTIFICATE_TOO_LARGE = "certificate-too-large"
    HEADERS_TOO_LARGE = "headers-too-large"
    NOT_YET_VALID = "not-yet-valid"
    EXPIRED = "expired"
    DENIED = "denied"
    LIST_EXPIRED = "list-expired"
    LIST_MISSING = "list-missing"
    PATH_AMBIGUOUS = "path-ambiguous"
    PATH_NOT_COVERED = "path-not-covered"
    METHOD_NOT_COVERED = "method-not-covered"
    NO_RULE_HOLDS = "no-rule-holds"
    AUTHORIZER_UNAVAILABLE = "authorizer-unavailable"


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may enter below `path` ("" for all) with one of `methods`; None: those no other names.

    `anonymous`: so may callers without a certificate, where the link lets them connect at all.
    """

    path: str
    methods: tuple[str, ...] | None
    allow: tuple[AllowRule, ...]
    anonymous: bool


def access_rules(clients: Clients) -> tuple[AccessRule, ...]:
    """The rules of a link, longest path first and rules that name methods before the one that does not."""
    anonymous = clients.verify == "optional"
    if not clients.rules:
        return (AccessRule("", None, tuple(clients.allow), anonymous),)
    by_path: dict[str, list[PathRule]] = defaultdict(list)
    for rule in clients.rules:
        by_path[rule.path].append(rule)
    spread: list[AccessRule] = []
    for path in sorted(by_path, key=lambda one: (-len(one), one)):
        for methods, rules in _by_methods(by_path[path]):
            allow = [one for rule in rules for one in rule.allow or clients.allow]
            # A rule that says who may enter wants to know who it is.
            open_to_all = anonymous and any(rule.allow is None for rule in rules)
            spread.append(AccessRule(path, methods, tuple(dict.fromkeys(allow)), open_to_all))
    return tuple(spread)


def _by_methods(
    rules: Sequence[PathRule],
) -> Iterable[tuple[tuple[str, ...] | None, list[PathRule]]]:
    named = {method for rule in rules for method in _methods(rule)}
    groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
    for method in sorted(named):
        naming = tuple(at for at, rule in enumerate(rules) if method in _methods(rule))
        groups[naming].append(method)
    for positions, methods in groups.items():
        yield tuple(methods), [rules[at] for at in positions]
    if others := [rule for rule in rules if rule.methods is None]:
        yield None, others


def _methods(rule: PathRule) -> frozenset[str]:
    named = frozenset(rule.methods or ())
    return named | {"HEAD"} if "GET" in named else named
