"""Bundles of SPIFFE trust domains: what is taken, what stays, and what `check` sees before there is one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

from handclasp.agent.bundle_watch import BundleWatch
from handclasp.agent.clock import SystemClock
from handclasp.agent.listed_trust import fetched_later, load_listed_trust
from handclasp.agent.spiffe_bundles import MOST_AUTHORITIES, Source, accept, is_kept, sources
from handclasp.certs.checks import check_trust
from handclasp.certs.material import Material, TrustMaterial
from handclasp.findings import Severity
from handclasp.issuers.protocol import IssuerError
from handclasp.monitor.expiring import expiring
from handclasp.spec.load import parse_spec
from tests import pki
from tests.agent.issuing_stage import in_loop, until
from tests.issuers import workload_api

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from handclasp.spec.load import LoadedSpec

SPEC = """\
issuers:
  spire: {{type: spiffe, socket: api.sock}}
identities:
  server: {{issuer: spire, names: [spiffe://{domain}/server]}}
trust:
  own: {{spiffe: {{issuer: spire}}}}
"""
ROOT, NEXT = pki.authority("example.org root"), pki.authority("example.org next root")
HOUR = timedelta(hours=1)
GIVEN = {"example.org": (ROOT.certificate,)}


def loaded(folder: Path, domain: str = "example.org") -> LoadedSpec:
    text = SPEC.format(domain=domain)
    return parse_spec(text, source="spec.yaml", base=PurePosixPath(folder))


def source(folder: Path, domain: str = "example.org") -> Source:
    (one,) = sources(loaded(folder, domain).spec, folder)
    return one


def refused(one: Source, given: Any) -> str:
    with pytest.raises(IssuerError) as caught:
        accept(one, given, pki.NOW)
    return caught.value.message


def test_the_trust_domain_of_our_own_ids_is_the_default(tmp_path: Path) -> None:
    assert source(tmp_path).domain == "example.org"
    assert source(tmp_path, "prod.example").domain == "prod.example"


def test_the_same_bundle_again_writes_nothing_and_another_is_taken(tmp_path: Path) -> None:
    one = source(tmp_path)
    accept(one, GIVEN, pki.NOW)
    before = one.file.stat()
    assert before.st_mode & 0o777 == 0o600
    accept(one, GIVEN, pki.NOW)
    assert one.file.stat() == before
    accept(one, {"example.org": (ROOT.certificate, NEXT.certificate)}, pki.NOW)
    loaded_trust = load_listed_trust("own", loaded(tmp_path).spec.trust["own"], tmp_path)
    assert set(loaded_trust.anchors) == {ROOT.certificate, NEXT.certificate}
    assert not loaded_trust.findings


def test_a_bundle_of_another_trust_domain_is_not_taken_for_it(tmp_path: Path) -> None:
    one, other = source(tmp_path), source(tmp_path, "prod.example")
    accept(one, GIVEN, pki.NOW)
    assert not is_kept(other)
    assert (
        other.file != one.file
    )  # a change of the spec that is refused leaves the one in effect alone
    assert refused(other, GIVEN).endswith("no bundle of prod.example; it gives example.org")


def test_what_cannot_be_used_leaves_what_was_there(tmp_path: Path) -> None:
    one = source(tmp_path)
    accept(one, GIVEN, pki.NOW)
    before = one.file.read_bytes()
    leaf = pki.leaf(ROOT, "svc").certificate
    old = pki.authority("Old", not_before=pki.NOW - 2 * HOUR, not_after=pki.NOW - HOUR)
    many = [
        pki.authority(f"CA {number}", key_label="many").certificate
        for number in range(MOST_AUTHORITIES + 1)
    ]
    for anchors in ((leaf,), (old.certificate,), many):
        assert "the bundle of example.org cannot be used" in refused(one, {"example.org": anchors})
        assert one.file.read_bytes() == before


def test_what_the_api_gives_no_more_is_believed_no_more_until_it_gives_it_again(
    tmp_path: Path,
) -> None:
    one, spec = source(tmp_path), loaded(tmp_path).spec
    accept(one, GIVEN, pki.NOW)
    accept(one, {"partner.example": (NEXT.certificate,)}, pki.NOW)
    nobody = load_listed_trust("own", spec.trust["own"], tmp_path)
    assert ROOT.certificate not in nobody.anchors
    assert [finding.slug for finding in nobody.findings] == ["spiffe-bundle-withdrawn"]
    before = one.file.read_bytes()
    accept(one, {}, pki.NOW)
    assert one.file.read_bytes() == before
    accept(one, GIVEN, pki.NOW)
    assert load_listed_trust("own", spec.trust["own"], tmp_path).anchors == (ROOT.certificate,)


def test_before_the_first_one_nobody_is_believed_and_check_goes_on(tmp_path: Path) -> None:
    trust = load_listed_trust("own", loaded(tmp_path).spec.trust["own"], tmp_path)
    assert not trust.usable
    (finding,) = trust.findings
    assert (finding.slug, finding.severity) == ("spiffe-bundle-not-received", Severity.ERROR)
    material = fetched_later(Material(trust={"own": trust}), tmp_path, today=pki.NOW)
    later = material.trust["own"]
    assert later.usable
    assert [one.severity for one in later.findings] == [Severity.WARNING]


def test_a_ca_that_ends_is_no_news_while_another_of_the_bundle_is_valid(tmp_path: Path) -> None:
    """SPIRE's live for a day by default, and the old ones stay until they have ended."""
    one, spec = source(tmp_path), loaded(tmp_path).spec
    ending = pki.authority("Ending", not_after=pki.NOW + HOUR)
    lasting = pki.authority("Lasting", not_after=pki.NOW + 24 * HOUR)
    accept(one, {"example.org": (ending.certificate, lasting.certificate)}, pki.NOW)
    trust = load_listed_trust("own", spec.trust["own"], tmp_path)

    def told(trust: TrustMaterial, after: timedelta) -> list[str]:
        now = pki.NOW + after
        return [one.slug for one in check_trust(trust, now=now, for_clients=True, depth=1)]

    assert told(trust, 2 * HOUR) == []
    assert told(trust, 25 * HOUR) == ["cert-expired", "cert-expired"]
    (end,) = expiring(Material(trust={"own": trust}), (), ["own"])
    assert (end.not_after, end.renewed) == (lasting.certificate.not_valid_after_utc, True)
    later = fetched_later(Material(trust={"own": trust}), tmp_path, today=pki.NOW).trust["own"]
    assert told(later, 25 * HOUR) == []


@in_loop
async def test_an_api_that_goes_away_and_comes_back_is_heard_again(tmp_path: Path) -> None:
    file = loaded(tmp_path)
    one = source(tmp_path)
    prepared: Any = type(
        "Prepared", (), {"spec": file.spec, "layout": type("L", (), {"root": tmp_path})}
    )
    watch = BundleWatch(SystemClock(), again_seconds=0.1)
    task = asyncio.ensure_future(watch.watch(lambda: prepared))
    try:
        await until(lambda: "cannot be reached" in watch.problems.get("own", ""))
        for root in (ROOT, NEXT):
            with workload_api.serving(tmp_path / "api.sock") as api:
                identifier = "spiffe://example.org/server"
                pair = pki.leaf(ROOT, "server", sans=(f"uri:{identifier}",))
                api.push([workload_api.svid(pair, identifier, [root])])
                await until(lambda: is_kept(one) and root.pem in one.file.read_bytes())  # noqa: B023
                await until(lambda: not watch.problems)
            await until(lambda: bool(watch.problems))
            assert root.pem in one.file.read_bytes()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
