"""Each kind of allow rule: who it lets in, and the nearest who must stay out."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

import pytest
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.certs.private_keys import spki
from handclasp.identity.rules import compile_rule, compile_rules, needs_chain
from handclasp.spec.values import AllowKind, AllowRule
from tests import pki
from tests.identity.specimens import caller, holds, issuing, name, root, subject


@pytest.mark.parametrize(
    ("rule", "san", "admitted"),
    [
        ("dns:svc-b.internal", "dns:svc-b.internal", True),
        ("dns:SVC-B.internal", "dns:svc-b.INTERNAL", True),
        ("dns:svc-b.internal.", "dns:svc-b.internal", True),
        ("dns:svc-b.internal", "dns:svc-b.internal.evil.example", False),
        ("dns:svc-b.internal", "dns:xsvc-b.internal", False),
        ("dns:svc-b.internal", "uri:svc-b.internal", False),
        ("dns:svc-b.internal", "email:x@svc-b.internal", False),
        # A wildcard in the certificate is not a caller's name.
        ("dns:svc-b.internal", "dns:*.internal", False),
        ("dns:*.svc.internal", "dns:b.svc.internal", True),
        ("dns:*.svc.internal", "dns:B.SVC.internal", True),
        ("dns:*.svc.internal", "dns:a.b.svc.internal", False),
        ("dns:*.svc.internal", "dns:svc.internal", False),
        ("dns:*.svc.internal", "dns:.svc.internal", False),
        ("dns:*.svc.internal", "dns:bsvc.internal", False),
        ("dns:*.svc.internal", "dns:*.svc.internal", False),
        ("dns:*.svc.internal", "dns:a b.svc.internal", False),
        ("dns:*.svc.internal", "dns:a\nb.svc.internal", False),
        ("dns:*.svc.internal", "dns:a\x00.svc.internal", False),
    ],
)
def test_a_dns_rule_holds_for_the_name_and_a_star_for_one_label(
    rule: str, san: str, admitted: bool
) -> None:
    assert holds(rule, caller(sans=[san])) is admitted


def test_a_dns_rule_does_not_look_at_the_common_name() -> None:
    assert not holds("dns:svc-b.internal", caller("svc-b.internal"))


@pytest.mark.parametrize(
    ("rule", "uri", "admitted"),
    [
        ("spiffe://example.org/svc-b", "spiffe://example.org/svc-b", True),
        ("spiffe://Example.ORG/svc-b", "spiffe://example.org/svc-b", True),
        ("spiffe://example.org/svc-b", "SPIFFE://EXAMPLE.org/svc-b", True),
        ("spiffe://example.org/svc-b", "spiffe://example.org/SVC-B", False),
        ("spiffe://example.org/svc-b", "spiffe://example.org/svc-b/", False),
        ("spiffe://example.org/svc-b", "spiffe://example.org/svc-b/x", False),
        ("spiffe://example.org/svc-b", "spiffe://example.org.evil/svc-b", False),
        ("spiffe://example.org/svc-b", "spiffe://x@example.org/svc-b", False),
        ("spiffe://example.org/svc-b", "spiffe://example.org/svc-b?x", False),
        ("spiffe://example.org/svc-b", "https://example.org/svc-b", False),
        ("spiffe://example.org/*", "spiffe://example.org/svc-b", True),
        ("spiffe://example.org/*", "spiffe://example.org/ns/prod/sa/b", True),
        ("spiffe://example.org/*", "spiffe://example.org", False),
        ("spiffe://example.org/*", "spiffe://example.org/", False),
        ("spiffe://example.org/*", "spiffe://example.orgx/svc-b", False),
        ("spiffe://example.org/*", "spiffe://example.org:8443/svc-b", False),
        ("spiffe://example.org/*", "spiffe://example.org/../svc-b", False),
        ("spiffe://example.org/*", "spiffe://example.org/a//b", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/sa/b", True),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/production/b", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/../test/b", False),
        ("spiffe://example.org/ns/prod/*", "spiffe://example.org/ns/prod/%2e%2e/b", False),
        ("spiffe://example.org/*/*", "spiffe://example.org/a", False),
        ("spiffe://example.org/*/*", "spiffe://example.org/a/b", True),
        ("spiffe://example.org/*/*", "spiffe://example.org/a/b/c", True),
    ],
)
def test_a_spiffe_rule_holds_for_the_id_and_stars_for_segments_at_the_end(
    rule: str, uri: str, admitted: bool
) -> None:
    assert holds(rule, caller(sans=[f"uri:{uri}"])) is admitted


def test_a_certificate_with_two_uris_or_of_a_ca_has_no_spiffe_id() -> None:
    """X509-SVID sections 2 and 5.2."""
    wanted = "spiffe://example.org/svc-b"
    assert holds(wanted, caller(sans=[f"uri:{wanted}", "dns:svc-b.internal"]))
    assert not holds(wanted, caller(sans=[f"uri:{wanted}", "uri:https://example.org/"]))
    assert not holds(wanted, caller(sans=[f"uri:{wanted}"], is_ca=True))


@pytest.mark.parametrize(
    ("rule", "san", "admitted"),
    [
        ("uri:https://example.org/a?b=c", "uri:https://example.org/a?b=c", True),
        ("uri:https://example.org/a", "uri:https://example.org/A", False),
        ("uri:https://example.org/a", "uri:https://example.org/a/", False),
        ("uri:https://example.org/a", "dns:https://example.org/a", False),
        ("email:Ops@example.org", "email:Ops@EXAMPLE.org", True),
        ("email:Ops@example.org", "email:ops@example.org", False),
        ("email:*@example.org", "email:anybody@example.org", True),
        ("email:*@example.org", "email:anybody@sub.example.org", False),
        ("ip:10.0.0.7", "ip:10.0.0.7", True),
        ("ip:10.0.0.7", "ip:10.0.0.77", False),
        ("ip:10.0.0.7", "dns:10.0.0.7", False),
        ("ip:10.0.0.0/8", "ip:10.255.0.1", True),
        ("ip:10.0.0.0/8", "ip:11.0.0.1", False),
        ("ip:10.0.0.0/8", "ip:::ffff:10.0.0.1", False),
        ("ip:2001:db8::/32", "ip:2001:db8::1", True),
        ("ip:2001:db8::/32", "ip:10.0.0.1", False),
    ],
)
def test_other_san_rules_hold_for_their_own_type_only(rule: str, san: str, admitted: bool) -> None:
    assert holds(rule, caller(sans=[san])) is admitted


@pytest.mark.parametrize(
    "local",
    [
        *("", "x@evil.org", '"x@evil.org"', " ops", "ops ", "o ps", '" ops"', '"ops "', '"\\ ops"'),
        *(
            '"ops\\ "',
            '" "',
            '""',
            '"',
            '"ops',
            'ops"',
            ".ops",
            "ops.",
            "o..ps",
            "o,ps",
            "<ops",
            "ops\n",
        ),
        *("\tops", "ops\x00", "öps", '"o\x01ps"', '"ops\\"', '"o"ps"', "ops(x)", "ops;x", "o\\ps"),
    ],
)
def test_a_mailbox_that_is_none_is_nobodys(local: str) -> None:
    # A certificate may hold any text there; the library makes only sensible ones.
    mailbox = f"{local}@example.org"
    assert not holds("email:*@example.org", replace(caller(), sans=(f"email:{mailbox}",)))
    with pytest.raises(ValueError, match="not a mailbox"):
        compile_rule(AllowRule(AllowKind.EMAIL, mailbox))


@pytest.mark.parametrize(
    "local", ["ops", "first.last", "a+b", "o'hara", "*", '"a b"', '"a.\\"b"', '"a,b"', "x" * 64]
)
def test_a_mailbox_of_rfc_5321_is_somebodys(local: str) -> None:
    who = replace(caller(), sans=(f"email:{local}@example.org",))
    assert holds("email:*@example.org", who)
    assert holds(f"email:{local}@EXAMPLE.org", who)
    assert not holds("email:*@example.com", who)


def test_a_mailbox_beyond_its_last_sign_is_none() -> None:
    assert not holds("email:*@example.org", replace(caller(), sans=("email:x@example.org@x.org",)))


def test_a_cn_rule_wants_the_only_cn_and_to_the_letter() -> None:
    assert holds("cn:svc-b", caller("svc-b"))
    assert not holds("cn:svc-b", caller("SVC-B"))
    assert not holds("cn:svc-b", caller("svc-b,CN=x"))
    assert not holds("cn:svc-b", caller("x,CN=svc-b"))
    two = name((NameOID.COMMON_NAME, "admin"), (NameOID.COMMON_NAME, "svc-b"))
    assert not holds("cn:svc-b", caller(subject=two))
    assert not holds("cn:svc-b", caller(subject=name((NameOID.ORGANIZATION_NAME, "svc-b"))))


def test_an_ou_rule_wants_one_of_the_ous() -> None:
    two = name(
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "ops"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "edge"),
        (NameOID.COMMON_NAME, "svc-b"),
    )
    assert holds("ou:ops", caller(subject=two))
    assert holds("ou:edge", caller(subject=two))
    assert not holds("ou:ops", caller("x,OU=ops"))
    assert not holds("ou:op", caller(subject=two))


@pytest.mark.parametrize(
    "text",
    [
        "CN=svc-b,OU=ops,O=Example",
        "cn=svc-b, ou=ops, o=Example",
        "2.5.4.3=svc-b,OU=\\6Fps,organizationName=Example",
        'CN="svc-b",OU=ops,O=Example',
    ],
)
def test_a_dn_rule_compares_structure_not_spelling(text: str) -> None:
    assert holds(f"dn:{text}", caller(subject=subject("svc-b", O="Example", OU="ops")))


@pytest.mark.parametrize(
    "text",
    [
        "CN=svc-b",
        "CN=svc-b,OU=ops",
        "OU=ops,CN=svc-b,O=Example",
        "CN=svc-b,OU=ops,O=example",
        "CN=svc-b,OU=ops,O=Example,C=FR",
        "CN=svc-b\\,OU=ops,O=Example",
        "CN=svc-b+OU=ops,O=Example",
    ],
)
def test_a_dn_rule_does_not_hold_for_less_more_or_another_order(text: str) -> None:
    assert not holds(f"dn:{text}", caller(subject=subject("svc-b", O="Example", OU="ops")))


def test_the_attributes_of_one_relative_name_have_no_order() -> None:
    both = name([(NameOID.COMMON_NAME, "svc-b"), (NameOID.USER_ID, "7")])
    assert holds("dn:CN=svc-b+UID=7", caller(subject=both))
    assert holds("dn:UID=7+CN=svc-b", caller(subject=both))
    assert not holds("dn:UID=7,CN=svc-b", caller(subject=both))


def test_an_issuer_rule_asks_the_verified_path_and_nothing_else() -> None:
    key = hashlib.sha256(spki(issuing().certificate.public_key())).digest()
    by_key, by_name = f"issuer:{key.hex()}", "issuer:CN=Issuing CA\\, Europe,O=Example Org"
    for rule in (by_key, by_name, f"issuer:{base64.b64encode(key).decode()}"):
        assert holds(rule, caller(chained=True))
        assert not holds(rule, caller(chained=False)), "its own issuer field is no proof"
    # An impostor of the same name is not on a path to the trust bundle.
    impostor = pki.authority("Issuing CA, Europe", key_label="impostor")
    assert not holds(by_name, caller(chained=True, issuer=impostor))
    # Only the CA that signed the leaf counts, not those above it.
    assert not holds("issuer:CN=Root,O=Example Org", caller(chained=True))
    assert holds("issuer:CN=Root,O=Example Org", caller(chained=True, issuer=root()))


def test_pins_hold_for_one_certificate_and_one_key() -> None:
    who, other = caller("svc-b"), caller("svc-b")  # one key, two certificates
    colons = ":".join(who.sha256.upper()[i : i + 2] for i in range(0, 64, 2))
    assert holds(f"sha256:{who.sha256}", who)
    assert holds(f"sha256:{colons}", who)
    assert not holds(f"sha256:{who.sha256}", other)
    assert holds(f"spki:{who.spki_sha256}", other)
    assert not holds(f"spki:{who.spki_sha256}", caller("svc-c"))
    assert not holds(f"spki:{who.sha256}", who)


def test_any_holds_for_everybody() -> None:
    assert compile_rule(AllowRule(AllowKind.ANY, "")).holds(caller())


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("dns:*", "first label"),
        ("dns:*.com", "two labels"),
        ("dns:*.com.", "two labels"),
        ("dns:*.*.example.org", "two labels"),
        ("dns:a.*.example.org", "first label"),
        ("dns:b*.example.org", "first label"),
        ("dns:10.0.0.1", "IP address"),
        ("dns:a b", "host name"),
        ("spiffe://example.org", "names a trust domain"),
        ("spiffe://example.org/", "not a SPIFFE ID"),
        ("spiffe://*/svc-b", "not a SPIFFE ID"),
        ("spiffe://example.org/*/b", "not a SPIFFE ID"),
        ("spiffe://example.org/b*", "not a SPIFFE ID"),
        ("spiffe://example.org/a//b", "not a SPIFFE ID"),
        ("spiffe://example.org:80/a", "not a SPIFFE ID"),
        ("spiffe://example.org/**", "not a SPIFFE ID"),
        ("uri:no-scheme", "not a URI"),
        ("email:example.org", "not a mailbox"),
        ("email:@example.org", "not a mailbox"),
        ("email:a@b@example.org", "not a mailbox"),
        ("ip:10.0.0.1/8", "host bits"),
        ("ip:svc-b", "IPv4 or IPv6"),
        ("dn:svc-b", "no '='"),
        ("issuer:Root", "neither"),
        ("issuer:abcd", "neither"),
        ("sha256:abcd", "64 hex digits"),
        ("spki:zz", "64 hex digits"),
    ],
)
def test_a_rule_that_could_hold_for_nobody_is_refused(rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_rule(AllowRule.parse(rule))


def test_only_issuer_rules_need_the_path() -> None:
    rules = compile_rules(AllowRule.parse(text) for text in ("cn:svc-b", "dns:svc-b.internal"))
    assert not needs_chain(rules)
    assert needs_chain([*rules, compile_rule(AllowRule.parse("issuer:CN=Root"))])


NASTY = st.text(st.sampled_from(list(',+"\\<>;#= \nCN=svc-bSVÄü0*\u2028')), min_size=1, max_size=12)


@settings(max_examples=60)
@given(value=NASTY, wanted=NASTY)
def test_cn_and_dn_rules_admit_exactly_the_subject_they_spell(value: str, wanted: str) -> None:
    """A rule on one CN admits a certificate if and only if the CN is that very text."""
    from handclasp.certs.dn import escape_value

    who = caller(subject=name((NameOID.COMMON_NAME, value)))
    for kind, text in ((AllowKind.CN, wanted), (AllowKind.DN, f"CN={escape_value(wanted)}")):
        assert compile_rule(AllowRule(kind, text)).holds(who) is (value == wanted)
    assert compile_rule(AllowRule(AllowKind.CN, value)).holds(who)
    assert compile_rule(AllowRule(AllowKind.DN, f"CN={escape_value(value)}")).holds(who)
