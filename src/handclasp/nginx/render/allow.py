"""Allow rules that stock nginx can decide: patterns over the verification result and the subject.

`$ssl_client_s_dn` is RFC 2253 text as OpenSSL prints it: RDNs separated by `,`, values escaped by a
backslash, so a pattern that consumes `\\x` as one unit cannot be led astray by a comma inside a value.
Patterns are anchored with \\A and \\z and match case, unlike plain map keys.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handclasp.certs.dn import escape_value, parse
from handclasp.nginx.render.text import block, entry, identifier
from handclasp.spec.values import AllowKind, AllowRule

if TYPE_CHECKING:
    from collections.abc import Iterable

# The rest of one attribute value: no bare separator, or an escaped pair. Possessive (`*+`), since there
# is one way only to read a value: PCRE then neither tries others nor recurses for each character.
_VALUE = r"[^\\,+]*+(?:\\.[^\\,+]*+)*+"
_NOT_CN = rf"(?!CN=){_VALUE}"
SUBJECT_SOURCE = "$ssl_client_verify:$ssl_client_s_dn"


def rule_pattern(rule: AllowRule) -> str:
    """A regular expression over ``SUBJECT_SOURCE`` that holds for exactly the certificates of a rule.

    `cn:` wants a single CN with exactly this value: with several, which of them counts is a matter of
    opinion, and opinions are how one gets in. Raises ValueError for a kind nginx cannot decide.
    """
    match rule.kind:
        case AllowKind.ANY:
            return r"\ASUCCESS:"
        case AllowKind.DN:
            return rf"\ASUCCESS:{re.escape(str(parse(rule.value)))}\z"
        case AllowKind.CN:
            value = re.escape(escape_value(rule.value))
            return rf"\ASUCCESS:(?:{_NOT_CN}[,+])*CN={value}(?:[,+]{_NOT_CN})*\z"
        case _:
            raise ValueError(f"{rule} needs the authorizer")


def allow_map(link: str, rules: Iterable[AllowRule], *, optional: bool) -> list[str]:
    """`$hc_allow_LINK`: 1 for a caller who may enter, else 0."""
    body = ["default 0;"]
    body += [entry(f"~{rule_pattern(rule)}", 1) for rule in rules]
    if optional:
        body.append(entry("NONE:", 1))
    return block("map", SUBJECT_SOURCE, allow_variable(link), body=body)


def allow_variable(link: str) -> str:
    """The variable that says whether a caller may enter."""
    return f"$hc_allow_{identifier(link)}"


def hop_map(link: str, rules: Iterable[AllowRule], header: str) -> list[str]:
    """`$hc_hop_LINK`: the inbound certificate when a trusted hop sent it, else empty."""
    body = ['default "";']
    body += [entry(f"~{rule_pattern(rule)}", original_variable(link)) for rule in rules]
    return [
        *original_map(link, header),
        *block("map", SUBJECT_SOURCE, hop_variable(link), body=body),
    ]


def original_map(link: str, header: str) -> list[str]:
    """`$hc_original_LINK`: an inbound certificate as one URL-encoded PEM, else empty.

    Two headers are joined by a comma from nginx 1.23.0 on: a hop that adds its own to the one its client
    sent must not have the client's believed.
    """
    value = f"$http_{header.lower().replace('-', '_')}"
    body = ['default "";', entry(r"~\A[A-Za-z0-9%._~-]+\z", value)]
    return block("map", value, original_variable(link), body=body)


def original_variable(link: str) -> str:
    """The variable that carries an inbound certificate, whoever sent it."""
    return f"$hc_original_{identifier(link)}"


def hop_variable(link: str) -> str:
    """The variable that carries an earlier hop's certificate."""
    return f"$hc_hop_{identifier(link)}"
