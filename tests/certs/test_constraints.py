"""Name constraints, kind by kind, and path lengths (RFC 5280, 4.2.1.9 and 4.2.1.10)."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.constraints import check_constraints, refused_by_some, violations
from handclasp.findings import Where
from tests import pki

DNS, URI, MAIL = x509.DNSName, x509.UniformResourceIdentifier, x509.RFC822Name


def ip(text: str) -> x509.IPAddress:
    return x509.IPAddress(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))


ORG = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Org")]))


def organisation(text: str, kind: _ASN1Type = _ASN1Type.UTF8String) -> x509.DirectoryName:
    attribute = x509.NameAttribute(NameOID.ORGANIZATION_NAME, text, kind)
    return x509.DirectoryName(x509.Name([attribute]))


def common_name(text: str) -> x509.DirectoryName:
    return x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]))


def multi(*values: tuple[x509.ObjectIdentifier, str]) -> x509.DirectoryName:
    attributes = [x509.NameAttribute(oid, value) for oid, value in values]
    return x509.DirectoryName(x509.Name([x509.RelativeDistinguishedName(attributes)]))


MULTI = multi((NameOID.ORGANIZATION_NAME, "a"), (NameOID.COMMON_NAME, "b"))
MULTI_TURNED = multi((NameOID.COMMON_NAME, "B"), (NameOID.ORGANIZATION_NAME, "A"))
CASES: list[tuple[x509.GeneralName, x509.GeneralName, bool]] = [  # base, name, covered
    (DNS("example.org"), DNS("example.org"), True),
    (DNS("example.org"), DNS("a.b.EXAMPLE.org"), True),
    (DNS("example.org"), DNS("*.example.org"), True),
    (DNS("example.org"), DNS("badexample.org"), False),
    (DNS("a.example.org"), DNS("example.org"), False),
    (DNS("a.example.org"), DNS("*.example.org"), False),
    (ip("10.0.0.0/8"), ip("10.9.8.7"), True),
    (ip("10.0.0.0/8"), ip("11.0.0.1"), False),
    (ip("fd00::/8"), ip("fd12::1"), True),
    (ip("fd00::/8"), ip("10.0.0.1"), False),
    (URI("example.org"), URI("spiffe://example.org/b"), True),
    (URI("example.org"), URI("spiffe://a.example.org/b"), False),
    (URI(".example.org"), URI("spiffe://a.example.org/b"), True),
    (URI(".example.org"), URI("spiffe://example.org/b"), False),
    (MAIL("example.org"), MAIL("a@example.org"), True),
    (MAIL("example.org"), MAIL("a@b.example.org"), False),
    (MAIL(".example.org"), MAIL("a@b.example.org"), True),
    (MAIL("a@example.org"), MAIL("b@example.org"), False),
    (MAIL("a@example.org"), MAIL("a@example.org"), True),
    (DNS(".example.org"), DNS("a.example.org"), True),
    (DNS(".example.org"), DNS("example.org"), False),
    (DNS("example.org"), DNS("example.org."), False),
    (URI("example.org"), URI("https://example.org:80/b"), True),
    (URI("example.org"), URI("https://user@example.org/b"), False),
    (URI("example.org"), URI("https://example.org?b"), False),
    (URI("example.org"), URI("https://example.org./b"), False),
    (URI("example.org"), URI("https://example.org/b:c"), False),
    (MAIL("BOB@example.org"), MAIL("BOB@EXAMPLE.org"), True),
    (MAIL("BOB@example.org"), MAIL("bob@example.org"), False),
    (MAIL("@example.org"), MAIL("bob@example.org"), True),
    (ORG, x509.DirectoryName(pki.dn("svc")), True),
    (ORG, x509.DirectoryName(pki.dn("svc", "Other Org")), False),
    # Case and white space do not count, nor the string type; anything else does (RFC 5280, 7.1).
    (ORG, x509.DirectoryName(pki.dn("svc", "  EXAMPLE \t  org ")), True),
    (ORG, x509.DirectoryName(pki.dn("svc", "ExampleOrg")), False),
    (organisation("Example Org", _ASN1Type.PrintableString), x509.DirectoryName(pki.dn("a")), True),
    (organisation("Example Org", _ASN1Type.BMPString), x509.DirectoryName(pki.dn("a")), True),
    (organisation("Zoë"), organisation("ZOë"), True),
    (organisation("Zoë"), organisation("ZOË"), False),
    (ORG, common_name("example org"), False),
    (MULTI, MULTI_TURNED, True),
    (MULTI, ORG, False),
]


@pytest.mark.parametrize(("base", "name", "covered"), CASES)
def test_permitted_and_excluded_are_each_others_mirror(
    base: x509.GeneralName, name: x509.GeneralName, covered: bool
) -> None:
    permitted = x509.NameConstraints([base], None)
    excluded = x509.NameConstraints(None, [base])
    assert bool(violations(permitted, [name])) is not covered
    assert bool(violations(excluded, [name])) is covered


def test_a_kind_that_is_not_mentioned_is_free() -> None:
    constraints = x509.NameConstraints([DNS("example.org")], None)
    assert violations(constraints, [URI("spiffe://other/b"), ip("10.0.0.1")]) == []


labels = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.lists(labels, min_size=1, max_size=4), st.lists(labels, min_size=1, max_size=3))
def test_whatever_is_below_a_name_is_covered_and_nothing_glued_to_it(
    above: list[str], base: list[str]
) -> None:
    domain = ".".join(base)
    constraints = x509.NameConstraints([DNS(domain)], None)
    assert violations(constraints, [DNS(".".join([*above, domain]))]) == []
    assert violations(constraints, [DNS(f"{''.join(above)}x{domain}")])


def test_self_issued_certificates_do_not_count_towards_the_path_length() -> None:
    root = pki.authority("Root")
    short = pki.authority("Short", issuer=root, path_length=0)
    again = pki.authority("Short", issuer=short, key_label="new key of Short")
    leaf = pki.leaf(again)
    links = [leaf.certificate, *(one.certificate for one in leaf.issuers)]
    assert check_constraints(links, where=Where()) == []
    other = pki.leaf(pki.authority("Other", issuer=short))
    links = [other.certificate, *(one.certificate for one in other.issuers)]
    assert [one.slug for one in check_constraints(links, where=Where())] == ["path-length-exceeded"]


def test_intermediates_keep_to_the_constraints_as_well() -> None:
    root = pki.authority("Root")
    narrow = x509.NameConstraints([ORG], None)
    constrained = pki.with_extension(pki.authority("Narrow", issuer=root), root, narrow)
    for organisation, slugs in (("Example Org", []), ("Other", ["name-constraint-violated"])):
        below = pki.authority("Below", issuer=constrained, organisation=organisation)
        leaf = pki.leaf(below)
        links = [one.certificate for one in (leaf, below, constrained, root)]
        assert [one.slug for one in check_constraints(links, where=Where())] == slugs


def test_self_issued_authorities_are_free_of_the_constraints() -> None:
    """A CA that changes its key keeps its name, whatever its constraints say (RFC 5280, 4.2.1.10)."""
    root = pki.authority("Root")
    other = x509.NameConstraints(None, [x509.DirectoryName(pki.dn("Narrow"))])
    constrained = pki.with_extension(pki.authority("Narrow", issuer=root), root, other)
    again = pki.authority("Narrow", issuer=constrained, key_label="new key of Narrow")
    leaf = pki.leaf(again)
    links = [one.certificate for one in (leaf, again, constrained, root)]
    assert check_constraints(links, where=Where()) == []


@pytest.mark.parametrize(
    ("base", "name"),
    [
        (URI("example.org"), URI("example.org")),
        (URI("a.b"), URI("urn:x")),
        (MAIL("a.b"), MAIL("c")),
    ],
)
def test_what_cannot_be_read_is_refused_by_permission_and_exclusion(
    base: x509.GeneralName, name: x509.GeneralName
) -> None:
    assert violations(x509.NameConstraints([base], None), [name])
    assert violations(x509.NameConstraints(None, [base]), [name])
    assert not violations(x509.NameConstraints([DNS("a")], None), [name])


DOUBTFUL: list[tuple[x509.GeneralName, x509.GeneralName, bool]] = [  # excluded, name, refused
    (DNS("bad.example.internal"), DNS("*.example.internal"), True),
    (DNS("bad.example.internal"), DNS("*.Example.internal"), True),
    (DNS("a.bad.example.internal"), DNS("*.example.internal"), False),
    (DNS("bad.example.internal"), DNS("good.example.internal"), False),
    (MAIL("BOB@a.b"), MAIL("bob@a.b"), True),
    (MAIL("BOB@a.b"), MAIL("rob@a.b"), False),
    (URI("bad.internal"), URI("https://BAD.internal./"), True),
    (URI("bad.internal"), URI("https://good.internal\\@bad.internal/"), True),
    (URI("bad.internal"), URI("https://u@bad.internal/"), True),
    (URI("bad.internal"), URI("https://bad.internal/a:b"), True),
    (URI("bad.internal"), URI("https://10.0.0.1/"), True),
    (URI("bad.internal"), URI("https://[::1]/"), True),
    (URI("bad.internal"), URI("https://good.internal:80/a"), False),
    (ip("10.0.0.0/8"), ip("::ffff:10.1.1.1"), True),
    (ip("10.0.0.0/8"), ip("::ffff:11.1.1.1"), False),
]


@pytest.mark.parametrize(("base", "name", "refused"), DOUBTFUL)
def test_what_one_verifier_or_another_refuses_is_seen(
    base: x509.GeneralName, name: x509.GeneralName, refused: bool
) -> None:
    assert bool(refused_by_some(x509.NameConstraints(None, [base]), [name])) is refused
    assert not refused_by_some(x509.NameConstraints(None, [x509.DNSName("z")]), [name])


def test_a_uri_with_an_address_is_refused_where_hosts_are_permitted() -> None:
    limits = x509.NameConstraints([URI("10.0.0.1")], None)
    assert refused_by_some(limits, [URI("https://10.0.0.1/")])


def test_names_are_told_as_people_write_them() -> None:
    directory = x509.DirectoryName(pki.dn("svc-b"))
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a")
    registered = x509.RegisteredID(x509.ObjectIdentifier("1.2.3.5"))
    forbidden = x509.NameConstraints(
        None,
        [
            *(x509.DirectoryName(pki.dn("svc-b")), x509.DNSName("a.example.com")),
            x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")),
        ],
    )
    names = [
        directory,
        x509.DNSName("a.example.com"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
    ]
    told = ["'CN=svc-b,O=Example Org'", "a.example.com", "192.0.2.1"]
    assert violations(forbidden, names) == told
    only_those = x509.NameConstraints([other, registered], None)
    strange = [
        x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01b"),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3.6")),
    ]
    assert violations(only_those, strange) == ["other:1.2.3.4", "rid:1.2.3.6"]
