"""What only some verifiers refuse; where Python's strict verification has a say, it is asked."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.certs.certificate_checks import Role
from handclasp.certs.strictness import check_letter, check_public
from handclasp.findings import Where
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = Where()
ROOT = pki.authority("Root")


def altered(
    pair: pki.Pair, issuer: pki.Pair, *, without: type[x509.ExtensionType], critical: bool | None
) -> pki.Pair:
    """The certificate without an extension, or with it marked otherwise."""
    old = pair.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        if isinstance(extension.value, without):
            if critical is None:
                continue
            builder = builder.add_extension(extension.value, critical=critical)
        else:
            builder = builder.add_extension(extension.value, critical=extension.critical)
    signed = builder.sign(issuer.private_key, hashes.SHA256())
    return pki.Pair(signed, pair.private_key, pair.issuers)


MIDDLE = pki.authority("Middle", issuer=ROOT)
CASES: dict[str, tuple[type[x509.ExtensionType], bool | None, str]] = {
    "AKI": (x509.AuthorityKeyIdentifier, None, "authority key identifier"),
    "SKI": (x509.SubjectKeyIdentifier, None, "subject key identifier"),
    "critical": (x509.BasicConstraints, False, "not marked critical"),
    "usage": (x509.KeyUsage, None, "without key usage"),
}


@needs_openssl
@pytest.mark.parametrize("case", CASES)
def test_what_the_letter_wants_is_what_openssl_wants_when_strict(tmp_path: Path, case: str) -> None:
    kind, critical, words = CASES[case]
    odd = altered(MIDDLE, ROOT, without=kind, critical=critical)
    leaf = pki.leaf(odd)
    (finding,) = check_letter((leaf.certificate, odd.certificate), where=NOWHERE)
    assert finding.slug == "x509-strict-violation"
    assert words in finding.seen
    assert check_letter((pki.leaf(MIDDLE).certificate, MIDDLE.certificate), where=NOWHERE) == []
    for name, data in (("root", ROOT.pem), ("odd", odd.pem), ("leaf", leaf.pem)):
        (tmp_path / name).write_bytes(data)
    command = ["openssl", "verify", "-CAfile", "root", "-untrusted", "odd"]
    for flags, accepted in (((), True), (("-x509_strict",), False)):
        done = subprocess.run(
            [*command, *flags, "leaf"], cwd=tmp_path, capture_output=True, timeout=20, check=False
        )
        assert (done.returncode == 0) is accepted, done.stderr


@needs_openssl
def test_version_1_is_reported_once_though_openssl_takes_it_even_when_strict(
    tmp_path: Path,
) -> None:
    old = pki.version_1(pki.leaf(MIDDLE), MIDDLE)
    (finding,) = check_letter((old.certificate, MIDDLE.certificate), where=NOWHERE)
    assert "is of version 1, which has no extensions" in finding.seen
    for name, data in (("root", ROOT.pem), ("middle", MIDDLE.pem), ("leaf", old.pem)):
        (tmp_path / name).write_bytes(data)
    chain = ("-CAfile", tmp_path / "root", "-untrusted", tmp_path / "middle")
    openssl("verify", "-x509_strict", *chain, tmp_path / "leaf")


def test_an_empty_subject_needs_a_critical_name() -> None:
    leaf = pki.leaf(ROOT, subject=x509.Name([]), sans=["dns:a"])
    (finding,) = check_letter((leaf.certificate,), where=NOWHERE)
    assert "neither a subject nor a critical subjectAltName" in finding.seen


@pytest.mark.parametrize(
    ("begin", "days", "slugs"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 398, []),
        (datetime(2026, 1, 1, tzinfo=UTC), 399, ["lifetime-too-long"]),
        (datetime(2026, 4, 1, tzinfo=UTC), 200, []),
        (datetime(2026, 4, 1, tzinfo=UTC), 201, ["lifetime-too-long"]),
        (datetime(2027, 4, 1, tzinfo=UTC), 101, ["lifetime-too-long"]),
        (datetime(2029, 4, 1, tzinfo=UTC), 48, ["lifetime-too-long"]),
        (datetime(2019, 1, 1, tzinfo=UTC), 800, []),
    ],
)
def test_the_lifetimes_of_public_certificates_go_by_the_day_they_begin(
    begin: datetime, days: int, slugs: list[str]
) -> None:
    end = begin + timedelta(days=days, seconds=-1)
    leaf = pki.leaf(ROOT, usages=[pki.SERVER], not_before=begin, not_after=end).certificate
    for public, expected in ((ROOT, slugs), (pki.authority("Private"), [])):
        findings = check_public(
            leaf, role=Role.SERVER, public=[public.certificate], links=[leaf], where=NOWHERE
        )
        assert [one.slug for one in findings] == expected


def test_a_public_certificate_without_client_auth_will_not_get_it_back() -> None:
    for usages, slugs in (([pki.SERVER], ["client-auth-eku-public-ca"]), ([pki.CLIENT], [])):
        leaf = pki.leaf(ROOT, usages=usages).certificate
        findings = check_public(
            leaf, role=Role.CLIENT, public=[ROOT.certificate], links=[leaf], where=NOWHERE
        )
        assert [one.slug for one in findings] == slugs
