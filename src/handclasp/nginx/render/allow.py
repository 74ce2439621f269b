"""Allow rules that stock nginx can decide: patterns over the verification result and the subject.

`$ssl_client_s_dn` is RFC 2253 text as OpenSSL prints it: RDNs separated by `,`, values escaped by a
backslash, so a pattern that consumes `\\x` as one unit cannot be led astray by a comma inside a value.
Patterns are anchored with \\A and \\z and match case, unlike plain map keys.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from handclasp.certs.dn import escape_value, parse
from handclasp.nginx.render.text import block, entry, identifier
from handclasp.spec.access import Reason
from handclasp.spec.paths import AMBIGUOUS
from handclasp.spec.values import AllowKind, AllowRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handclasp.certs.dn import Attribute
    from handclasp.nginx.parts import RuleSet

# The rest of one attribute value: no bare separator, or an escaped pair. Possessive (`*+`), since there
# is one way only to read a value: PCRE then neither tries others nor recurses for each character.
_VALUE = r"[^\\,+]*+(?:\\.[^\\,+]*+)*+"
_ATTRIBUTE = rf"[^\\,+=]++={_VALUE}"
_NOT_CN = rf"(?!CN=){_VALUE}"
SUBJECT_SOURCE = "$ssl_client_verify:$ssl_client_s_dn"
_LINE_END = r"(?:%0[Dd])?%0[Aa]"
_ONE_PEM = (
    rf"-----BEGIN%20CERTIFICATE-----{_LINE_END}"
    # A DER sequence of more than 127 bytes: 0x30, then 0x81 to 0x84.
    r"MI(?:[A-Za-z0-9+/]++|%2[BbFf]|%0[AaDd])++(?:=|%3[Dd]){0,2}(?:%0[AaDd])*+"
    rf"-----END%20CERTIFICATE-----(?:{_LINE_END})?"
)
"""One certificate as `$ssl_client_escaped_cert` has it, or with `+`, `/` and `=` as they are (AWS ALB). There
is no `-` between the two lines, so that no second one hides there."""


def rule_pattern(rule: AllowRule) -> str:
    """A regular expression over ``SUBJECT_SOURCE`` that holds for exactly the certificates of a rule.

    `cn:` wants a single CN with exactly this value: with several, which of them counts is a matter of
    opinion, and opinions are how one gets in. Raises ValueError for a kind nginx cannot decide.
    """
    match rule.kind:
        case AllowKind.ANY:
            return r"\ASUCCESS:"
        case AllowKind.DN:
            relative = ",".join(map(_relative_name, parse(rule.value).rdns))
            return rf"\ASUCCESS:{relative}\z"
        case AllowKind.CN:
            value = re.escape(escape_value(rule.value))
            return rf"\ASUCCESS:(?:{_NOT_CN}[,+])*CN={value}(?:[,+]{_NOT_CN})*\z"
        case _:
            raise ValueError(f"{rule} needs the authorizer")


def _relative_name(attributes: Sequence[Attribute]) -> str:
    """The attributes of one relative name are a set: nginx prints them by their encoding (X.690 section
    11.6), backwards, which depends on the string types of the certificate. So: as many as there are, and
    each of these among them as often as it is named.
    """
    if len(attributes) == 1:
        return re.escape(str(attributes[0]))
    ahead = [
        rf"(?=(?:(?:{_ATTRIBUTE}\+)*?{re.escape(text)}(?:\+|(?=,|\z))){{{times}}})"
        for text, times in Counter(map(str, attributes)).items()
    ]
    return rf"{''.join(ahead)}{_ATTRIBUTE}(?:\+{_ATTRIBUTE}){{{len(attributes) - 1}}}"


def allow_map(link: str, rules: Iterable[RuleSet]) -> list[str]:
    """`$hc_allow_LINK`: 1 for a caller whom the rules that cover the request let in, else 0."""
    body = ["default 0;"]
    for rule_set in rules:
        patterns = [rule_pattern(rule) for rule in rule_set.rule.allow]
        if rule_set.rule.anonymous:
            patterns.append(r"\ANONE:")
        body += [entry(f"~{_under(rule_set.id, pattern)}", 1) for pattern in patterns]
    source = f"{rule_variable(link)}:{SUBJECT_SOURCE}"
    return block("map", source, allow_variable(link), body=body)


def _under(rule: str, pattern: str) -> str:
    return rf"\A{rule}:" + pattern.removeprefix(r"\A")


def rule_map(link: str, rules: Sequence[RuleSet]) -> list[str]:
    """`$hc_rule_LINK`: the id of the rules that cover a request, else the reason why none does.

    The path is nginx's own, decoded, and looked at only once the raw one was found plain: then both read
    the same. The map is first asked for in the main request, and so holds its path, not a subrequest's.
    """
    variable = rule_variable(link)
    if not by_request(rules):
        return block("map", "", variable, body=[entry("default", rules[0].id)])
    paths = list(dict.fromkeys(one.rule.path for one in rules))
    place = f"$hc_path_{identifier(link)}"
    body = ['default "";', *(entry(f"~{pattern}", "ambiguous") for pattern in AMBIGUOUS)]
    raw = f"$hc_raw_{identifier(link)}"
    lines = block("map", "$request_uri", raw, body=body)
    within = [entry(rf"~\A:{re.escape(path)}(?:/|\z)", at) for at, path in enumerate(paths)]
    lines += block(
        "map", f"{raw}:$uri", place, body=["default none;", entry("~\\Aa", "raw"), *within]
    )
    body = [entry("default", Reason.PATH_NOT_COVERED), entry("~\\Araw:", Reason.PATH_AMBIGUOUS)]
    for at, path in enumerate(paths):
        here = [one for one in rules if one.rule.path == path]
        for one in here:
            methods = "|".join(one.rule.methods) if one.rule.methods else "[^:]*"
            body.append(entry(rf"~\A{at}:(?:{methods})\z", one.id))
        if all(one.rule.methods for one in here):
            body.append(entry(rf"~\A{at}:", Reason.METHOD_NOT_COVERED))
    return [*lines, *block("map", f"{place}:$request_method", variable, body=body)]


def by_request(rules: Sequence[RuleSet]) -> bool:
    """Whether it depends on path or method which rules cover a request."""
    return len(rules) > 1 or bool(rules[0].rule.path) or rules[0].rule.methods is not None


def rule_variable(link: str) -> str:
    """The variable with the id of the rules that cover a request."""
    return f"$hc_rule_{identifier(link)}"


def uncovered_map(link: str) -> list[str]:
    """`$hc_uncovered_LINK`: why no rule covers the request; empty when one does."""
    reasons = (Reason.PATH_NOT_COVERED, Reason.METHOD_NOT_COVERED)
    body = ['default "";', *(entry(reason, reason) for reason in reasons)]
    return block("map", rule_variable(link), uncovered_variable(link), body=body)


def uncovered_variable(link: str) -> str:
    """The variable with the reason why no rule covers a request."""
    return f"$hc_uncovered_{identifier(link)}"


def allow_variable(link: str) -> str:
    """The variable that says whether a caller may enter."""
    return f"$hc_allow_{identifier(link)}"


def trusted_hop_map(link: str, rules: Iterable[AllowRule]) -> list[str]:
    """`$hc_trusted_LINK`: 1 for a caller that is a trusted earlier hop."""
    body = ['default "";', *(entry(f"~{rule_pattern(rule)}", 1) for rule in rules)]
    return block("map", SUBJECT_SOURCE, trusted_hop_variable(link), body=body)


def hop_map(link: str, header: str) -> list[str]:
    """`$hc_hop_LINK`: the inbound certificate when a trusted hop sent it, else empty."""
    body = ['default "";', entry("1", original_variable(link))]
    return [
        *original_map(link, header),
        *block("map", trusted_hop_variable(link), hop_variable(link), body=body),
    ]


def original_map(link: str, header: str) -> list[str]:
    """`$hc_original_LINK`: an inbound certificate as one URL-encoded PEM, else empty.

    Two headers are joined by a comma from nginx 1.23.0 on: a hop that adds its own to the one its client
    sent must not have the client's believed.
    """
    value = f"$http_{header.lower().replace('-', '_')}"
    body = ['default "";', entry(rf"~\A{_ONE_PEM}\z", value)]
    return block("map", value, original_variable(link), body=body)


def original_variable(link: str) -> str:
    """The variable that carries an inbound certificate, whoever sent it."""
    return f"$hc_original_{identifier(link)}"


def hop_variable(link: str) -> str:
    """The variable that carries an earlier hop's certificate."""
    return f"$hc_hop_{identifier(link)}"


def trusted_hop_variable(link: str) -> str:
    """The variable that says whether the caller is a trusted earlier hop."""
    return f"$hc_trusted_{identifier(link)}"
