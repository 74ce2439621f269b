"""Each reason why a trust bundle would not do its job is named; a good bundle has none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handclasp.certs.checks import check_trust
from handclasp.findings import Severity
from tests import pki
from tests.certs.identities import only, slugs, trust, version_1
from tests.pki import NOW

if TYPE_CHECKING:
    from handclasp.certs.material import TrustMaterial
    from handclasp.findings import Finding

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
OTHER = pki.authority("Other")
DAY = timedelta(days=1)


def check(bundle: TrustMaterial, *, for_clients: bool = True, depth: int = 4) -> list[Finding]:
    return check_trust(bundle, now=NOW, for_clients=for_clients, depth=depth)


def test_good_bundles_have_no_findings() -> None:
    assert check(trust(ROOT)) == []
    assert check(trust(ROOT, MIDDLE, OTHER)) == []
    lists = [pki.crl(ROOT), pki.crl(MIDDLE)]
    assert check(trust(ROOT, MIDDLE, crls=lists)) == []


def test_an_empty_bundle_is_an_error() -> None:
    assert slugs(check(trust()), Severity.ERROR) == ["trust-bundle-empty"]


def test_a_leaf_in_the_bundle_is_told_with_its_issuer_and_file() -> None:
    finding = only(check(trust(ROOT, pki.leaf(ROOT))))
    assert finding.slug == "trust-contains-leaf"
    assert "issued by 'CN=Root,O=Example Org'" in finding.seen
    assert finding.where.file == "1.pem"


def test_a_self_signed_root_without_ca_true_is_not_a_ca() -> None:
    assert slugs(check(trust(pki.authority("No", is_ca=False)))) == ["ca-not-a-ca"]
    mute = pki.authority("Mute", cert_sign=False)
    assert slugs(check(trust(mute))) == ["ca-keyusage-missing-certsign"]


def test_a_pinned_self_signed_leaf_is_a_warning() -> None:
    pinned = pki.authority("pinned", is_ca=False, usages=(pki.SERVER,))
    findings = check(trust(pinned), for_clients=False)
    assert slugs(findings, Severity.WARNING) == slugs(findings) == ["trust-contains-leaf"]


def test_an_expired_ca_is_an_error_alone_and_a_warning_among_good_ones() -> None:
    old = pki.authority("Old", not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    assert slugs(check(trust(old)), Severity.ERROR) == ["cert-expired"]
    assert slugs(check(trust(old, ROOT)), Severity.WARNING) == ["cert-expired"]


@pytest.mark.parametrize(
    ("for_clients", "slug"), [(True, "client-ca-root-missing"), (False, "trust-anchor-wrong")]
)
def test_an_intermediate_without_its_root_is_an_error(for_clients: bool, slug: str) -> None:
    finding = only(check(trust(MIDDLE), for_clients=for_clients))
    assert finding.slug == slug
    assert finding.severity is Severity.ERROR
    assert "CN=Root" in finding.fix


def test_an_intermediate_of_somebody_else_beside_a_good_root_is_a_warning() -> None:
    assert slugs(check(trust(OTHER, MIDDLE)), Severity.WARNING) == ["client-ca-root-missing"]


def test_a_depth_too_small_for_the_bundles_own_chain_is_told() -> None:
    lower = pki.authority("Lower", issuer=MIDDLE)
    assert check(trust(ROOT, MIDDLE, lower), depth=2) == []
    finding = only(check(trust(ROOT, MIDDLE, lower), depth=1))
    assert finding.slug == "verify-depth-too-low"
    assert "2 intermediates" in finding.seen


def test_an_expired_crl_is_an_error_with_the_date_and_a_newer_one_heals_it() -> None:
    stale = pki.crl(ROOT, last_update=NOW - 9 * DAY, next_update=NOW - DAY)
    finding = only(check(trust(ROOT, crls=[stale])))
    assert (finding.slug, finding.severity) == ("crl-expired", Severity.ERROR)
    assert (NOW - DAY).strftime("%Y-%m-%d") in finding.seen
    assert finding.where.file == "0.crl"
    assert check(trust(ROOT, crls=[stale, pki.crl(ROOT)])) == []


def test_a_crl_of_tomorrow_does_not_count() -> None:
    early = pki.crl(ROOT, last_update=NOW + DAY, next_update=NOW + 2 * DAY)
    finding = only(check(trust(ROOT, crls=[early])))
    assert finding.slug == "crl-expired"
    assert "valid from" in finding.seen


def test_a_crl_for_another_ca_is_told_and_leaves_ours_without_one() -> None:
    findings = check(trust(ROOT, crls=[pki.crl(OTHER)]))
    assert slugs(findings) == ["crl-for-other-ca", "crl-missing-for-chain"]


def test_a_crl_signed_by_a_namesake_is_told() -> None:
    namesake = pki.authority("Root", key_label="namesake")
    findings = check(trust(ROOT, crls=[pki.crl(namesake)]))
    assert slugs(findings) == ["crl-signature-invalid", "crl-missing-for-chain"]


def test_every_ca_of_the_bundle_needs_a_crl_once_one_has() -> None:
    finding = only(check(trust(ROOT, MIDDLE, crls=[pki.crl(MIDDLE)])))
    assert finding.slug == "crl-missing-for-chain"
    assert "CN=Root" in finding.seen


@pytest.mark.parametrize("self_signed", [True, False])
def test_a_version_1_root_is_a_ca_and_a_version_1_leaf_is_none(self_signed: bool) -> None:
    old = version_1(OTHER if self_signed else pki.leaf(ROOT))
    assert old.certificate.version is x509.Version.v1
    old.certificate.verify_directly_issued_by((old.issuers or (old,))[0].certificate)
    findings = check_trust(trust(old, ROOT), now=NOW + DAY, for_clients=True, depth=4)
    assert slugs(findings) == ([] if self_signed else ["trust-contains-leaf"])
