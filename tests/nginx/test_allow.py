"""Patterns of allow rules against an oracle that reads the certificate instead of its text."""

from __future__ import annotations

import itertools
import re
import sys
import time
import warnings
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handclasp.backend.readers.reader import one_pem
from handclasp.certs.dn import Attribute, name_text
from handclasp.identity.names import read_name
from handclasp.nginx.parts import RuleSet
from handclasp.nginx.render.allow import (
    allow_map,
    hop_map,
    original_map,
    rule_pattern,
    trusted_hop_map,
)
from handclasp.spec.access import AccessRule
from handclasp.spec.values import AllowKind, AllowRule
from tests import pki
from tests.nginx.configuration_tree import tree

if TYPE_CHECKING:
    from collections.abc import Sequence

# The characters that mean something to DN text, to PCRE, to nginx, or to a careless reader.
NASTY = st.text(
    st.sampled_from(list(',+"\\<>;#= \nCN=svc-bSVÄü0*.^$(){}[]|?~\x00\u2028')), max_size=12
)
VALUES = st.one_of(st.just("svc-b"), st.sampled_from(["CN=svc-b", "svc-b,CN=svc-b", "a\\"]), NASTY)
KINDS = st.sampled_from(
    [
        NameOID.COMMON_NAME,
        NameOID.COMMON_NAME,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
        NameOID.SURNAME,
        NameOID.EMAIL_ADDRESS,
        x509.ObjectIdentifier("1.2.3.4"),
    ]
)
Pairs = list[list[tuple[x509.ObjectIdentifier, str]]]
SUBJECTS: st.SearchStrategy[Pairs] = st.lists(
    st.lists(st.tuples(KINDS, VALUES), min_size=1, max_size=3, unique_by=str),
    max_size=4,
)


def name(subject: Pairs) -> x509.Name:
    with warnings.catch_warnings(action="ignore"):
        return x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [x509.NameAttribute(oid, value, _validate=False) for oid, value in rdn]
                )
                for rdn in subject
            ]
        )


def common_names(subject: Pairs) -> list[str]:
    return [value for rdn in subject for oid, value in rdn if oid == NameOID.COMMON_NAME]


def admits(rule: AllowRule, text: str, verdict: str = "SUCCESS") -> bool:
    # nginx matches bytes; the text is ASCII, so `str` is the same. \z is \Z in Python.
    return re.search(rule_pattern(rule).replace(r"\z", r"\Z"), f"{verdict}:{text}") is not None


@given(subject=SUBJECTS, value=VALUES.filter(bool))
def test_a_cn_rule_admits_exactly_the_subjects_whose_only_cn_is_its_value(
    subject: Pairs, value: str
) -> None:
    rule = AllowRule(AllowKind.CN, value)
    assert admits(rule, name_text(name(subject))) == (common_names(subject) == [value])


@given(subject=SUBJECTS, place=st.integers(0, 4), value=VALUES.filter(bool))
def test_a_cn_is_found_wherever_it_stands(subject: Pairs, place: int, value: str) -> None:
    others = [[pair for pair in rdn if pair[0] != NameOID.COMMON_NAME] for rdn in subject]
    whole = [rdn for rdn in others if rdn]
    whole.insert(min(place, len(whole)), [(NameOID.COMMON_NAME, value)])
    assert admits(AllowRule(AllowKind.CN, value), name_text(name(whole)))


@given(subject=SUBJECTS.filter(bool), other=SUBJECTS)
def test_a_dn_rule_admits_exactly_its_own_subject(subject: Pairs, other: Pairs) -> None:
    text = name_text(name(subject))
    rule = AllowRule(AllowKind.DN, text)
    assert admits(rule, text)
    assert admits(rule, name_text(name(other))) == (name_text(name(other)) == text)


@given(subject=SUBJECTS.filter(bool), other=SUBJECTS, data=st.data())
def test_a_dn_rule_means_to_nginx_what_it_means_to_the_authorizer(
    subject: Pairs, other: Pairs, data: st.DataObject
) -> None:
    """Parts joined by + in whatever order they are written, or encoded."""
    shuffled = [data.draw(st.permutations(rdn)) for rdn in reversed(subject)]
    rule = AllowRule(AllowKind.DN, written(shuffled))
    near = [rdn[: data.draw(st.integers(1, len(rdn)))] for rdn in subject]
    for one in (subject, other, near, [*subject, *near]):
        text = name_text(name(one))
        assert admits(rule, text) == (read_name(text) == read_name(rule.value))
        # Certificates whose sets are in another order than X.690 wants are read all the same.
        odd = written([data.draw(st.permutations(rdn)) for rdn in reversed(one)])
        assert admits(rule, odd) == (read_name(odd) == read_name(rule.value))
    assert admits(rule, written(subject[::-1]))


def written(rdns: Pairs) -> str:
    """RFC 4514 text with the attributes of each relative name in this order."""
    return ",".join(
        "+".join(str(Attribute(oid.dotted_string, value)) for oid, value in rdn) for rdn in rdns
    )


def test_an_attribute_that_is_named_twice_is_wanted_twice() -> None:
    rule = AllowRule(AllowKind.DN, "CN=a+OU=b+CN=a,O=x")
    assert admits(rule, "OU=b+CN=a+CN=a,O=x")
    for text in (
        "CN=a+OU=b+OU=b,O=x",
        "CN=a+OU=b,O=x",
        "CN=a+CN=a+CN=a,O=x",
        "CN=a+OU=b+CN=ab,O=x",
    ):
        assert not admits(rule, text)


@given(subject=SUBJECTS, verdict=st.sampled_from(["NONE", "FAILED:SUCCESS:", "FAILED:x", ""]))
def test_no_rule_admits_what_was_not_verified(subject: Pairs, verdict: str) -> None:
    text = name_text(name(subject))
    rules = [AllowRule(AllowKind.ANY, ""), AllowRule(AllowKind.CN, "svc-b")]
    if text:
        rules.append(AllowRule(AllowKind.DN, text))
    assert not any(admits(rule, text, verdict) for rule in rules)


@pytest.mark.parametrize(
    "subject",
    [
        "OU=" + "\\," * 50_000 + ",CN=svc-bb",
        ",".join(["OU=x"] * 20_000) + ",CN=svc-bb",
        "+".join(["OU=CN"] * 20_000) + ",CN=svc-b,CN=svc-b",
        "OU=" + "CN=svc-b" * 20_000,
        "+".join(["OU=x"] * 20_000) + "+CN=svc-bb,O=y",
    ],
)
def test_no_subject_makes_a_pattern_slow(subject: str) -> None:
    began = time.perf_counter()
    assert not admits(AllowRule(AllowKind.CN, "svc-b"), subject)
    assert not admits(AllowRule(AllowKind.DN, "OU=x+CN=svc-b+OU=z+OU=x,O=y"), subject)
    assert time.perf_counter() - began < 0.5


def test_a_rule_nginx_cannot_decide_is_never_rendered() -> None:
    for kind in set(AllowKind) - {AllowKind.ANY, AllowKind.CN, AllowKind.DN}:
        with pytest.raises(ValueError, match="authorizer"):
            rule_pattern(AllowRule(kind, "x"))


def entries(lines: Sequence[str]) -> tuple[str, dict[str, str]]:
    *_, block = tree("\n".join(lines)).children
    return block.values[0], {one.name: one.values[0] for one in block.children}


def rule_set(*rules: AllowRule, anonymous: bool = False) -> RuleSet:
    return RuleSet("0123456789abcdef", AccessRule("", None, rules, anonymous))


def test_the_map_denies_by_default_and_keeps_every_pattern_whole() -> None:
    values = ['the "boss" \\', "a;b}", "$x", "ü", "a b", "'"]
    rules = [AllowRule(AllowKind.CN, value) for value in values]
    source, found = entries(allow_map("api", [rule_set(*rules)]))
    assert source == "$hc_rule_api:$ssl_client_verify:$ssl_client_s_dn"
    assert found.pop("default") == "0"
    patterns = [rule_pattern(rule).removeprefix(r"\A") for rule in rules]
    assert found == {rf"~\A0123456789abcdef:{pattern}": "1" for pattern in patterns}


def test_callers_without_certificate_enter_only_where_the_rules_say_so() -> None:
    rule = AllowRule(AllowKind.CN, "svc-b")
    nobody = r"~\A0123456789abcdef:NONE:"
    assert nobody not in entries(allow_map("api", [rule_set(rule)]))[1]
    assert entries(allow_map("api", [rule_set(rule, anonymous=True)]))[1][nobody] == "1"


def test_a_hop_is_believed_by_its_rule_and_nobody_else() -> None:
    rule = AllowRule(AllowKind.CN, "gateway")
    source, found = entries(trusted_hop_map("api", [rule]))
    assert source == "$ssl_client_verify:$ssl_client_s_dn"
    assert found == {"default": "", f"~{rule_pattern(rule)}": "1"}
    source, found = entries(hop_map("api", "X-Original-Client-Cert"))
    assert source == "$hc_trusted_api"
    assert found == {"default": "", "1": "$hc_original_api"}


# nginx has PCRE; Python's possessive quantifiers are wrong before 3.11.5 (CPython, gh-106052).
POSSESSIVE = pytest.mark.skipif(
    sys.version_info < (3, 11, 5), reason="possessive quantifiers of `re` are at fault here"
)
ONE = quote(pki.leaf(pki.authority("Hop CA"), "customer").pem.decode(), safe="")


@pytest.fixture(scope="module")
def believed() -> re.Pattern[str]:
    source, found = entries(original_map("api", "X-SSL-CERT"))
    assert source == "$http_x_ssl_cert"
    ((pattern, value),) = [item for item in found.items() if item[0] != "default"]
    assert (value, found["default"]) == ("$http_x_ssl_cert", "")
    return re.compile(pattern.removeprefix("~").replace(r"\z", r"\Z"))


@POSSESSIVE
@pytest.mark.parametrize(
    "value",
    [
        ONE,
        ONE.removesuffix("%0A"),
        re.sub("%[0-9A-F]{2}", lambda one: one[0].lower(), ONE),
        re.sub("%(2B|2F|3D)", lambda one: unquote(one[0]), ONE),
        ONE.replace("%0A", "%0D%0A"),
        re.sub("(?<=[A-Za-z0-9])%0A(?=[A-Za-z0-9])", "", ONE),
    ],
    ids=["nginx", "without-the-last-line-end", "lower", "load-balancer", "crlf", "haproxy"],
)
def test_one_certificate_is_taken_in_the_forms_that_proxies_write(
    believed: re.Pattern[str], value: str
) -> None:
    assert believed.search(value)
    der, _ = one_pem(value)
    assert x509.load_der_x509_certificate(der).subject == pki.dn("customer")


@POSSESSIVE
@pytest.mark.parametrize(
    "value",
    [
        "",
        "hello",
        "MIIB+/=",
        unquote(ONE),
        ONE + ONE,
        ONE.removesuffix("%0A") + ONE,
        f"{ONE},{ONE}",
        f"{ONE}%0A",
        f"x{ONE}",
        f"{ONE}x",
        ONE[:-40],
        ONE[30:],
        ONE.replace("CERTIFICATE", "PRIVATE%20KEY"),
        ONE.replace("CERTIFICATE", "TRUSTED%20CERTIFICATE"),
        ONE.replace("%20", "+"),
        ONE.replace("%0AMI", "%0AMI%20", 1),
        ONE.replace("%0AMI", "%0AMI%00", 1),
        ONE.replace("%0AMI", "%0AMI-", 1),
        ONE.replace("%0AMI", "%0AMI=", 1),
        "-----BEGIN%20CERTIFICATE-----%0Ahello%0A-----END%20CERTIFICATE-----%0A",
        "-----BEGIN%20CERTIFICATE-----%0A-----END%20CERTIFICATE-----%0A",
    ],
    ids=itertools.count(),
)
def test_what_is_not_one_certificate_is_left_out(believed: re.Pattern[str], value: str) -> None:
    assert not believed.search(value)
