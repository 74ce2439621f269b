"""What nginx accepts from an upstream: DNS names, the CN without DNS SANs, never an address."""

from __future__ import annotations

import pytest

from handclasp.certs.checks import check_peer_name
from handclasp.findings import Severity, Where
from tests import pki
from tests.certs.identities import slugs

ROOT = pki.authority("Root")


@pytest.mark.parametrize(
    ("sans", "name", "expected"),
    [
        (["dns:up.example"], "up.example", []),
        (["dns:up.example", "ip:192.0.2.1"], "192.0.2.1", ["ip-san-missing"]),
        (["ip:192.0.2.1"], "192.0.2.1", ["ip-sans-only-upstream"]),
        (["ip:192.0.2.1"], "up.example", ["ip-sans-only-upstream"]),
        (["dns:other.example"], "up.example", ["hostname-not-in-san"]),
        ([], "up.example", ["hostname-not-in-san"]),
    ],
)
def test_an_upstreams_name_is_judged_as_nginx_does(sans, name: str, expected: list[str]) -> None:
    leaf = pki.leaf(ROOT, "cn.example", sans=sans).certificate
    assert slugs(check_peer_name(leaf, name, where=Where())) == expected


def test_a_name_in_the_cn_alone_passes_with_a_warning() -> None:
    leaf = pki.leaf(ROOT, "up.example").certificate
    findings = check_peer_name(leaf, "up.example", where=Where())
    assert slugs(findings, Severity.WARNING) == slugs(findings) == ["san-missing"]
