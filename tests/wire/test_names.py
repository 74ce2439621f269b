from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.wire.names import certificate_names
from tests import pki

ROOT = pki.authority("Names")


@pytest.mark.parametrize(
    ("sans", "name", "good"),
    [
        (["a.example"], "a.example", True),
        (["A.Example"], "a.eXample", True),
        (["a.example"], "a.example.", True),
        (["a.example"], "b.example", False),
        (["*.example.org"], "a.example.org", True),
        (["*.example.org"], "example.org", False),
        (["*.example.org"], "a.b.example.org", False),
        (["*.org"], "example.org", False),
        (["a*.example.org"], "ab.example.org", False),
        (["ip:192.0.2.1"], "192.0.2.1", True),
        (["ip:2001:db8::1"], "2001:db8:0::1", True),
        (["ip:192.0.2.1"], "192.0.2.2", False),
        (["192.0.2.1"], "192.0.2.1", False),
        (["uri:spiffe://x/y", "email:cn@example.org"], "cn", True),
        ([], "cn", True),
        (["a.example"], "cn", False),
    ],
)
def test_a_certificate_is_good_for_the_names_openssl_would_say(
    sans: list[str], name: str, good: bool
) -> None:
    assert certificate_names(pki.leaf(ROOT, "cn", sans=sans).der, name) is good


@given(st.binary(max_size=60))
def test_bytes_that_are_no_certificate_name_nobody(noise: bytes) -> None:
    assert not certificate_names(noise, "a.example")
