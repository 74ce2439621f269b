"""What a rotation makes of revocation lists, and which of them nginx is given."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.rereading import reread
from handclasp.identity.denied import denied_by
from tests import pki
from tests.agent.rotating_stage import planned, servers
from tests.integration.running import Material, egress_spec

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.agent.prepare import Prepared

pytestmark = pytest.mark.integration
HOUR = timedelta(hours=1)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path)


def listing(material: Material, *lists: bytes, **trust: Any) -> dict[str, Any]:
    """A spec of one server whose callers' trust has these lists in a file."""
    spec = servers(material, "one")
    spec["trust"]["company"] |= {"crl": ["ca.crl"], **trust}
    put(material, *lists)
    return spec


def put(material: Material, *lists: bytes) -> None:
    (material.folder / "ca.crl").write_bytes(b"".join(lists))


def rotated(prepared: Prepared) -> Prepared:
    seen = reread(prepared, prepared.material, {"trust company"}, pki.NOW)
    assert seen.refused == {}
    assert seen.prepared is not None
    assert seen.prepared.plan is not None
    return seen.prepared


def named(prepared: Prepared) -> set[int]:
    lists = prepared.material.trust["company"].crls
    return {serial for _, serial in denied_by(lists).serials}


def version(prepared: Prepared) -> str:
    assert prepared.plan is not None
    return dict(prepared.plan.trust)["company"]


def test_a_list_from_the_future_is_not_given_to_nginx(
    material: Material, nginx_builds: dict[str, Path]
) -> None:
    spec = listing(material, pki.crl(material.ca, [material.client], number=1))
    prepared = planned(material, spec, nginx_builds["wheel"])
    put(material, pki.crl(material.ca, number=40, last_update=pki.NOW + 5 * HOUR))
    assert version(rotated(prepared)) == version(prepared)


def test_while_a_list_has_yet_to_begin_nginx_has_the_one_before_beside_it(
    material: Material, nginx_builds: dict[str, Path]
) -> None:
    spec = listing(material, pki.crl(material.ca, number=1))
    prepared = planned(material, spec, nginx_builds["wheel"])
    early = pki.NOW + timedelta(minutes=2)
    put(material, pki.crl(material.ca, [material.client], number=2, last_update=early))
    assert len(rotated(prepared).material.trust["company"].crls) == 2


@pytest.mark.parametrize(
    ("kept", "shared", "same"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_a_newer_list_is_another_version_where_nginx_reads_it(
    material: Material, nginx_builds: dict[str, Path], kept: bool, shared: bool, same: bool
) -> None:
    """Not where lists are honoured past their end, unless an upstream is verified with them."""
    more = {"crl_expired": {"keep_last": "2h"}} if kept else {}
    spec = listing(material, pki.crl(material.ca, number=1), **more)
    if shared:
        egress = egress_spec(material, "127.0.0.1:8080", "https://127.0.0.1:1")
        spec["egress"] = egress["egress"]
        spec["identities"] |= egress["identities"]
    before = planned(material, spec, nginx_builds["wheel"])
    put(material, pki.crl(material.ca, [material.client], number=2))
    after = rotated(before)
    assert named(after) == {material.client.certificate.serial_number}
    assert (version(after) == version(before)) == same
