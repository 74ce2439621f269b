"""Each reason why an identity would fail is named; a good identity has none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from handclasp.certs.checks import Role, check_identity
from handclasp.certs.read import read_objects
from handclasp.findings import Severity
from tests import pki
from tests.certs.identities import identity, only, slugs, trust
from tests.openssl import needs_openssl, openssl
from tests.pki import NOW

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from handclasp.findings import Finding

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
CLIENT = pki.leaf(MIDDLE)
NAMES = ["dns:a.example.com", "dns:*.b.example.com", "ip:192.0.2.1"]
SERVER = pki.leaf(MIDDLE, "server", sans=NAMES, usages=(pki.SERVER,))
DAY = timedelta(days=1)


def client(pair: pki.Pair, *, now: datetime = NOW, **more) -> list[Finding]:
    return check_identity(identity(pair), role=Role.CLIENT, now=now, **more)


def server(pair: pki.Pair, *names: str) -> list[Finding]:
    return check_identity(identity(pair), role=Role.SERVER, now=NOW, names=names)


def test_a_good_identity_has_no_findings_in_either_role() -> None:
    assert client(CLIENT, trust=trust(ROOT), depth=1) == []
    assert server(SERVER, "a.example.com", "x.b.example.com", "192.0.2.1") == []


def test_an_expired_leaf_is_named_with_its_date() -> None:
    finding = only(client(pki.leaf(MIDDLE, not_after=NOW - 3 * DAY, not_before=NOW - 9 * DAY)))
    assert finding.slug == "cert-expired"
    assert finding.severity is Severity.ERROR
    assert finding.where.file == "svc-b.pem"
    assert (NOW - 3 * DAY).strftime("%Y-%m-%d %H:%M UTC") in finding.seen
    assert "3 days ago" in finding.seen
    assert "CN=svc-b,O=Example Org" in finding.seen


def test_now_is_an_argument_so_a_later_date_shows_what_will_be_broken_then() -> None:
    later = check_identity(identity(CLIENT), role=Role.CLIENT, now=NOW + 91 * DAY)
    assert slugs(later) == ["cert-expired"]


def test_a_leaf_of_tomorrow_is_not_yet_valid() -> None:
    assert slugs(client(pki.leaf(MIDDLE, not_before=NOW + DAY))) == ["cert-not-yet-valid"]


@pytest.mark.parametrize(("left", "expected"), [(13, ["cert-expires-soon"]), (15, [])])
def test_expiry_within_14_days_is_a_warning(left: int, expected: list[str]) -> None:
    leaf = pki.leaf(MIDDLE, not_before=NOW - 76 * DAY, not_after=NOW + left * DAY)
    findings = client(leaf)
    assert slugs(findings, Severity.WARNING) == slugs(findings) == expected


@pytest.mark.parametrize(("left", "expected"), [(7, ["cert-expires-soon"]), (9, [])])
def test_what_lives_for_a_day_expires_soon_in_its_last_third(
    left: int, expected: list[str]
) -> None:
    end = NOW + timedelta(hours=left)
    assert slugs(client(pki.leaf(MIDDLE, not_before=end - DAY, not_after=end))) == expected


def test_an_expired_intermediate_is_named_as_one() -> None:
    old = pki.authority("Old", issuer=ROOT, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    finding = only(client(pki.leaf(old)))
    assert finding.slug == "cert-expired"
    assert "intermediate 'CN=Old" in finding.seen


def test_a_key_of_another_certificate_is_a_mismatch() -> None:
    other = pki.leaf(MIDDLE, "other")
    findings = check_identity(identity(CLIENT, key=other), role=Role.CLIENT, now=NOW)
    finding = only(findings)
    assert finding.slug == "key-cert-mismatch"
    assert "svc-b.key" in finding.seen
    assert "svc-b.pem" in finding.seen


@pytest.mark.parametrize(
    ("usages", "role", "expected"),
    [
        ((pki.SERVER,), Role.CLIENT, ["wrong-eku-or-purpose"]),
        ((pki.CLIENT,), Role.SERVER, ["wrong-eku-or-purpose"]),
        ((pki.CLIENT, pki.SERVER), Role.CLIENT, []),
        ((pki.CLIENT, pki.SERVER), Role.SERVER, []),
        (None, Role.CLIENT, []),
        ((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), Role.CLIENT, ["wrong-eku-or-purpose"]),
    ],
)
@needs_openssl
def test_the_purpose_is_judged_as_openssl_judges_it(
    usages, role: Role, expected: list[str], tmp_path: Path
) -> None:
    pair = pki.leaf(ROOT, "p", sans=["dns:p"], usages=usages)
    findings = check_identity(identity(pair), role=role, now=NOW)
    assert slugs(findings) == expected
    assert openssl_accepts(pair, tmp_path, role) is (not expected)


def openssl_accepts(pair: pki.Pair, folder: Path, role: Role) -> bool:
    (folder / "ca.pem").write_bytes(pair.issuers[-1].pem)
    (folder / "chain.pem").write_bytes(pair.chain_pem)
    answer = openssl(
        "verify", "-purpose", f"ssl{role}", "-CAfile", folder / "ca.pem",
        "-untrusted", folder / "chain.pem", folder / "chain.pem", ok=False,
    )  # fmt: skip
    return answer.strip().endswith(b": OK")


@needs_openssl
def test_an_eku_on_the_intermediate_restricts_what_is_below_as_in_openssl(tmp_path: Path) -> None:
    web_only = pki.authority("Web only", issuer=ROOT, usages=(pki.SERVER,))
    pair = pki.leaf(web_only)
    finding = only(client(pair))
    assert finding.slug == "wrong-eku-or-purpose"
    assert "intermediate 'CN=Web only" in finding.seen
    assert not openssl_accepts(pair, tmp_path, Role.CLIENT)


def test_a_key_usage_without_signatures_is_refused() -> None:
    usage = pki.key_usage(cert_sign=False, digital_signature=False, content_commitment=True)
    assert slugs(client(pki.leaf(MIDDLE, usage=usage))) == ["wrong-eku-or-purpose"]


def test_a_server_certificate_without_san_is_told_even_where_its_cn_fits() -> None:
    bare = pki.leaf(MIDDLE, "a.example.com", usages=(pki.SERVER,))
    assert slugs(server(bare, "a.example.com")) == ["san-missing"]
    assert slugs(server(bare, "b.example.com")) == ["san-missing", "name-not-covered"]
    assert slugs(client(pki.leaf(MIDDLE, "a.example.com"))) == []


def test_a_server_name_that_is_not_covered_is_told_with_what_is_covered() -> None:
    finding = only(server(SERVER, "a.example.com", "c.example.com"))
    assert finding.slug == "name-not-covered"
    assert "does not cover c.example.com" in finding.seen
    assert "*.b.example.com" in finding.seen


@pytest.mark.parametrize(
    ("sans", "name", "expected"),
    [
        (["dns:a.example.com"], "192.0.2.9", ["ip-san-missing"]),
        (["dns:192.0.2.9"], "192.0.2.9", ["san-ip-as-dns"]),
        (["uri:spiffe://x/y"], "cn.example.com", ["name-not-covered"]),
        (["dns:*.b.example.com", "dns:b.example.com"], ".b.example.com", []),
        (["dns:*.b.example.com"], ".b.example.com", ["name-not-covered"]),
        (["dns:x"], "~^(?<n>.+)$", []),
        (["dns:x"], "_", []),
    ],
)
def test_server_names_of_every_form_are_judged(sans, name: str, expected: list[str]) -> None:
    pair = pki.leaf(MIDDLE, "cn.example.com", sans=sans, usages=(pki.SERVER,))
    assert slugs(server(pair, name)) == expected


def test_a_short_rsa_key_is_too_small_and_2048_bits_are_enough() -> None:
    small = pki.leaf(MIDDLE, key_kind="rsa1024", key_label="small")
    assert slugs(client(small)) == ["key-too-small"]
    assert slugs(client(pki.leaf(MIDDLE, key_kind="rsa2048", key_label="enough"))) == []


@needs_openssl
def test_sha1_signatures_are_too_weak(tmp_path: Path) -> None:
    (tmp_path / "csr").write_bytes(pki.request(CLIENT))
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    (tmp_path / "ca.key").write_bytes(ROOT.key_pem)
    data = openssl(
        "x509", "-req", "-sha1", "-in", tmp_path / "csr", "-CA", tmp_path / "ca.pem",
        "-CAkey", tmp_path / "ca.key", "-set_serial", "7", "-days", "90",
    )  # fmt: skip
    weak = pki.Pair(x509.load_pem_x509_certificate(data), CLIENT.private_key, (ROOT,))
    finding = only(client(weak, now=NOW + DAY))
    assert finding.slug == "digest-too-weak"
    assert "SHA-1" in finding.seen


@pytest.mark.parametrize("serial", ["0", "-5", "0x" + "7f" * 21])
@needs_openssl
def test_forbidden_serials_are_told_and_nothing_warns(serial: str, tmp_path: Path) -> None:
    data = openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
        "90", "-keyout", tmp_path / "k", "-subj", "/CN=x", "-set_serial", serial,
        "-addext", "basicConstraints=critical,CA:FALSE",
    )  # fmt: skip
    contents = read_objects(data + (tmp_path / "k").read_bytes(), source="x")
    key = contents.keys[0].key
    assert key is not None
    pair = pki.Pair(contents.certificates[0], key.reveal(), ())  # type: ignore[arg-type]
    assert slugs(client(pair, now=NOW + DAY)) == ["serial-invalid"]


def test_a_20_byte_serial_is_allowed() -> None:
    assert slugs(client(pki.leaf(MIDDLE, serial=(1 << 159) - 1))) == []


def test_an_issuer_that_is_no_ca_is_named() -> None:
    fake = pki.authority("Fake", issuer=ROOT, is_ca=False, cert_sign=False)
    assert slugs(client(pki.leaf(fake))) == ["ca-not-a-ca"]
    mute = pki.authority("Mute", issuer=ROOT, cert_sign=False)
    assert slugs(client(pki.leaf(mute))) == ["ca-keyusage-missing-certsign"]


def test_a_leaf_with_its_issuers_subject_is_told() -> None:
    twin = pki.leaf(ROOT, subject=pki.dn("Root"))
    assert slugs(client(twin)) == ["leaf-and-ca-same-subject"]


def test_a_ca_certificate_as_client_identity_is_told() -> None:
    findings = client(pki.leaf(MIDDLE, is_ca=True))
    assert slugs(findings, Severity.ERROR) == ["ca-used-as-client-identity"]


def test_a_server_certificate_for_ten_years_is_a_warning() -> None:
    long = pki.leaf(
        MIDDLE, sans=["dns:x"], usages=(pki.SERVER, pki.CLIENT), not_after=NOW + 3650 * DAY
    )
    assert slugs(server(long), Severity.WARNING) == ["lifetime-too-long"]
    assert slugs(client(long)) == []


def test_the_root_in_the_file_is_worth_an_info() -> None:
    whole = identity(CLIENT, chain=[MIDDLE, ROOT])
    findings = check_identity(whole, role=Role.CLIENT, now=NOW)
    assert slugs(findings, Severity.INFO) == slugs(findings) == ["chain-contains-root"]
    assert whole.certificate_pem() == CLIENT.pem + MIDDLE.pem


def test_an_encrypted_key_is_told_to_be_staged_decrypted() -> None:
    findings = check_identity(identity(CLIENT, encrypted=True), role=Role.CLIENT, now=NOW)
    assert slugs(findings, Severity.INFO) == slugs(findings) == ["key-decrypted-at-rest"]


@pytest.mark.parametrize("role", list(Role))
def test_a_gap_in_the_file_shows_without_knowing_the_trust(role: Role) -> None:
    pair = pki.leaf(
        pki.authority("Lower", issuer=MIDDLE),
        sans=["dns:x"],
        usages=(pki.CLIENT, pki.SERVER),
        ca_issuers="http://ca.example/lower.der",
    )
    findings = check_identity(identity(pair, chain=[MIDDLE]), role=role, now=NOW)
    finding = only(findings)
    assert finding.slug == f"{role}-chain-incomplete"
    assert "CN=Lower" in finding.seen
    assert "http://ca.example/lower.der" in finding.fix


def test_a_leaf_alone_is_incomplete_only_if_the_trust_says_so() -> None:
    alone = identity(CLIENT, chain=[])
    assert check_identity(alone, role=Role.CLIENT, now=NOW) == []
    findings = check_identity(alone, role=Role.CLIENT, now=NOW, trust=trust(ROOT))
    finding = only(findings)
    assert finding.slug == "client-chain-incomplete"
    assert "CN=Middle" in finding.seen
    both = trust(ROOT, MIDDLE)
    assert check_identity(alone, role=Role.CLIENT, now=NOW, trust=both, depth=1) == []


def test_trust_in_another_ca_of_the_same_name_is_the_wrong_anchor() -> None:
    namesake = pki.authority("Root", key_label="namesake")
    finding = only(client(CLIENT, trust=trust(namesake)))
    assert finding.slug == "trust-anchor-wrong"
    assert "another key" in finding.seen


def test_a_root_in_the_file_that_is_not_trusted_is_the_wrong_anchor() -> None:
    whole = identity(CLIENT, chain=[MIDDLE, ROOT])
    other = trust(pki.authority("Other"))
    findings = check_identity(whole, role=Role.CLIENT, now=NOW, trust=other)
    assert slugs(findings, Severity.ERROR) == ["trust-anchor-wrong"]


def test_trust_in_the_intermediate_alone_lacks_the_root() -> None:
    assert slugs(client(CLIENT, trust=trust(MIDDLE))) == ["client-ca-root-missing"]


def test_a_chain_longer_than_the_depth_is_told_with_both_numbers() -> None:
    lower = pki.leaf(pki.authority("Lower", issuer=MIDDLE))
    assert client(lower, trust=trust(ROOT), depth=2) == []
    finding = only(client(lower, trust=trust(ROOT), depth=1))
    assert finding.slug == "verify-depth-too-low"
    assert "2 intermediates" in finding.seen
    assert "depth is 1" in finding.seen


def test_a_revoked_leaf_or_intermediate_is_told() -> None:
    leaf_list = pki.crl(MIDDLE, [CLIENT])
    finding = only(client(CLIENT, trust=trust(ROOT, MIDDLE, crls=[leaf_list])))
    assert finding.slug == "cert-revoked"
    assert f"{CLIENT.certificate.serial_number:X}" in finding.seen
    middle_list = pki.crl(ROOT, [MIDDLE])
    assert slugs(client(CLIENT, trust=trust(ROOT, crls=[middle_list]))) == ["cert-revoked"]
    innocent = pki.crl(MIDDLE, [pki.leaf(MIDDLE, "other")])
    assert client(CLIENT, trust=trust(ROOT, MIDDLE, crls=[innocent])) == []
