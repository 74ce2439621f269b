"""Names as people write them, and what makes them no names."""

from __future__ import annotations

import ipaddress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from handclasp.ca.issuing import files_of, stem
from handclasp.ca.lifetimes import parse_lifetime
from handclasp.ca.names import (
    constraint,
    constraints_of,
    dns_name,
    email,
    guessed_name,
    leaf_names,
    shown_name,
    uri,
)
from handclasp.ca.status import serial_of
from handclasp.ca.uris import check_list_url


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("svc-b.internal", "dns:svc-b.internal"),
        ("SVC.Internal.", "dns:svc.internal"),
        ("*.example.com", "dns:*.example.com"),
        ("xn--bcher-kva.example", "dns:xn--bcher-kva.example"),
        ("192.0.2.1", "ip:192.0.2.1"),
        ("[2001:db8::1]", "ip:2001:db8::1"),
        ("spiffe://example.org/ns/a", "uri:spiffe://example.org/ns/a"),
        ("https://example.org/", "uri:https://example.org/"),
        ("Ops@Example.org", "email:Ops@example.org"),
    ],
)
def test_the_kind_of_a_name_is_seen_from_its_form(text: str, name: str) -> None:
    assert shown_name(guessed_name(text)) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "a b", "a_b", "-a", "a..b", "*", "*.com", "a.*.b", "a:443", "bücher.example"),
        *("300.1.1.1", "fe80::1%eth0", "x" * 64, "://", "http://", "ht tp://a", "https://a/b c"),
        *(
            "spiffe://",
            "spiffe:///a",
            "spiffe://A/b",
            "SPIFFE://a/b",
            "spiffe://a/b/",
            "spiffe://a//b",
        ),
        *("spiffe://a/..", "spiffe://a/b?c", "spiffe://a/b#c", "spiffe://a:1/b", "spiffe://u@a/b"),
        *("spiffe://a/" + "b" * 2048, "@a", "a@", "a@b@c d", "a@192.0.2.1", "a\x00.example"),
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        guessed_name(text)


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """A name that is accepted can be encoded, and reads back as the same name."""
    try:
        name = guessed_name(text)
    except ValueError:
        return
    assert x509.SubjectAlternativeName([name]).public_bytes()
    assert guessed_name(str(name.value)) == name


@given(st.text(max_size=60), st.sampled_from(["dns", "ip", "uri", "email", "x"]))
def test_any_text_is_a_constraint_or_refused(text: str, kind: str) -> None:
    try:
        base = constraint(kind, text)
    except ValueError:
        return
    limits = constraints_of([base], [base])
    assert limits is not None
    assert limits.public_bytes()


@given(st.text(max_size=60))
def test_any_text_is_a_lifetime_or_refused(text: str) -> None:
    try:
        lifetime = parse_lifetime(text)
    except ValueError:
        return
    assert lifetime.total_seconds() >= 60


@given(st.text(min_size=1, max_size=300))
def test_a_files_name_is_harmless_whatever_the_certificate_is_called(text: str) -> None:
    name = stem(text)
    assert 0 < len(name) <= 80
    assert not set(name) & set("/\\ \x00*:")
    assert name[0] not in "-."


def test_files_are_named_after_the_certificate() -> None:
    from pathlib import Path

    names = [path.name for path in files_of(Path("x"), "spiffe://example.org/ns/a")]
    assert names == ["example.org-ns-a.pem", "example.org-ns-a.key"]
    assert files_of(Path("x"), "*.a.b")[0].name == "wildcard.a.b.pem"


@pytest.mark.parametrize(
    ("name", "others", "names"),
    [
        ("svc-b", [], ["dns:svc-b"]),
        ("svc-b", ["spiffe://a/b"], ["uri:spiffe://a/b"]),
        ("svc-b.internal", ["spiffe://a/b"], ["dns:svc-b.internal", "uri:spiffe://a/b"]),
        ("svc-b.internal", ["svc-b.internal"], ["dns:svc-b.internal"]),
        ("Service B", ["b.internal"], ["dns:b.internal"]),
        ("spiffe://a/b", [], ["uri:spiffe://a/b"]),
    ],
)
def test_a_name_is_a_name_of_the_certificate_unless_it_is_a_label(
    name: str, others: list[str], names: list[str]
) -> None:
    made = leaf_names(name, [guessed_name(other) for other in others])
    assert [shown_name(one) for one in made] == names


def test_a_certificate_needs_a_name_and_a_spiffe_id_is_its_only_uri() -> None:
    with pytest.raises(ValueError, match="look nowhere else"):
        leaf_names("Service B", [])
    with pytest.raises(ValueError, match="no other URI"):
        leaf_names("a.b", [uri("spiffe://a/b"), uri("https://a/b")])
    assert len(leaf_names("a.b", [uri("https://a/c"), uri("https://a/b")])) == 3


def test_constraints_are_told_by_kind() -> None:
    assert constraint("dns", ".Example.org").value == "example.org"
    assert constraint("ip", "192.0.2.0/24").value == ipaddress.ip_network("192.0.2.0/24")
    assert constraint("uri", ".example.org").value == ".example.org"
    assert constraint("email", "a@example.org").value == "a@example.org"
    assert constraints_of([], []) is None


@pytest.mark.parametrize(
    ("text", "serial"),
    [("0xAb", 171), ("ab:CD", 43981), ("0", 0), ("", None), ("svc-b", None), ("f" * 41, None)],
)
def test_a_serial_is_hexadecimal_with_or_without_colons(text: str, serial: int | None) -> None:
    assert serial_of(text) == serial


@pytest.mark.parametrize("make", [dns_name, email])
def test_a_name_of_the_wrong_kind_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r".+"):
        make("192.0.2.1")


@pytest.mark.parametrize(
    "text",
    [
        *("https://h/%zz", "https://h/%a", "https://a..b/x", "https://h:abc/x", "https://h:99999/"),
        *(
            "spiffe://a..b/x",
            "spiffe://.a/x",
            "spiffe://a./x",
            "https://a.example./x",
            "https://h:1:2/",
        ),
        *("https://[::1/x", "https://[zz]/x", "https://::1/x", "https://u@h/x", "https://-a/x"),
        *(
            "https://a.1/x",
            "https://a_b/x",
            "https://h/\xe9",
            "https://h\\x",
            "https:h",
            "file:///a",
        ),
        *(f"https://h/{bad}" for bad in '"<>{}|^`\\[] '),
        *(f"https://h/?{bad}" for bad in '"<>{}|^`\\[] #'[:-1]),
    ],
)
def test_a_uri_that_some_verifier_cannot_read_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^'https?:|^'spiffe:|^'file:"):
        uri(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://h",
            "https://h/",
            "https://h?a=b/c?d",
            "https://h#f",
            "https://H.example:443/a:b@c",
        ),
        *(
            "https://[2001:db8::1]:8443/x",
            "https://192.0.2.1/",
            "urn://a.b/%C3%a9;x=(y)",
            "spiffe://a_b",
        ),
    ],
)
def test_a_uri_by_the_rules_is_taken_as_it_is(text: str) -> None:
    assert uri(text).value == text


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        *(("http://crl.example.org/a", True), ("https://h", True), ("ftp://h/a", False)),
        *(
            ("https://h/a?b", False),
            ("https://h/a#b", False),
            ("https://h:x/", False),
            ("h", False),
        ),
    ],
)
def test_lists_are_had_by_http_below_a_plain_url(text: str, fit: bool) -> None:
    if fit:
        check_list_url(text)
        return
    with pytest.raises(ValueError, match=r".+"):
        check_list_url(text)


def test_a_certificate_has_at_most_a_hundred_names() -> None:
    names = [dns_name(f"h{number}.example") for number in range(101)]
    assert len(leaf_names("svc", names[:100])) == 100
    with pytest.raises(ValueError, match="at most 100 names, and these are 101"):
        leaf_names("svc", names)


@pytest.mark.parametrize("kind", ["dns", "uri", "email"])
@pytest.mark.parametrize("text", ["a_b.example", ".a_b.example"])
def test_an_underscore_in_a_constraint_is_refused_for_java_cannot_read_it(
    kind: str, text: str
) -> None:
    with pytest.raises(ValueError, match="underscore"):
        constraint(kind, text)
