"""Names of certificates that are asked for, as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.issuers.request import general_names
from handclasp.spec.issuers import CertificateName


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("svc-b.internal", "dns:svc-b.internal"),
        ("*.example.com", "dns:*.example.com"),
        ("SVC-b.internal", "dns:svc-b.internal"),
        ("dns:svc-b", "dns:svc-b"),
        ("10.0.0.7", "ip:10.0.0.7"),
        ("2001:DB8::0:7", "ip:2001:db8::7"),
        ("ip:2001:db8::7", "ip:2001:db8::7"),
        ("spiffe://example.org/svc-b", "uri:spiffe://example.org/svc-b"),
        ("uri:https://example.org/a", "uri:https://example.org/a"),
        ("ops@Example.com", "email:ops@example.com"),
    ],
)
def test_a_name_is_taken_for_what_it_looks_like_or_says(text: str, written: str) -> None:
    assert str(CertificateName.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a_b.internal",
        "ip:svc-b",
        "999.1.1.1",
        "ops@",
        "@example.com",
        "://x",
        "x://",
        "dns:",
        "-a",
    ],
)
def test_what_is_no_name_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        CertificateName.parse(text)


@given(st.text(max_size=60))
def test_whatever_is_taken_is_read_back_the_same(text: str) -> None:
    """A text gives a ValueError, or a name that gives itself when it is written and read again."""
    try:
        name = CertificateName.parse(text)
    except ValueError:
        return
    assert CertificateName.parse(str(name)) == name


_LABEL = st.from_regex(r"\A[a-z0-9](?:[a-z0-9-]{0,20}[a-z0-9])?\Z")


@given(
    st.lists(_LABEL, min_size=1, max_size=4).map(".".join),
    st.ip_addresses().map(str),
    st.lists(st.from_regex(r"\A[A-Za-z0-9_-]{1,10}\Z"), max_size=3).map("/".join),
)
def test_names_of_every_kind_become_names_of_a_certificate(
    host: str, address: str, path: str
) -> None:
    """What the spec takes the certificate can carry, once each."""
    if host.rpartition(".")[2].isdecimal():
        host = f"{host}.internal"
    uri = f"spiffe://example.org/{path}" if path else "spiffe://example.org"
    names = [CertificateName.parse(one) for one in (host, address, uri, f"ops@{host}", address)]
    made = general_names(names)
    assert [type(one).__name__ for one in made] == [
        "DNSName",
        "IPAddress",
        "UniformResourceIdentifier",
        "RFC822Name",
    ]
