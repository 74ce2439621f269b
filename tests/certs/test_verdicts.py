"""Our verdict on path, depth and revocation is the one OpenSSL reaches with the same files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from handclasp.certs.checks import Role, check_identity, check_trust
from handclasp.findings import errors_in
from tests import pki
from tests.certs.identities import identity, trust
from tests.openssl import needs_openssl, openssl
from tests.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path

ROOT = pki.authority("Root")
NAMESAKE = pki.authority("Root", key_label="namesake")
OTHER = pki.authority("Other")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LOWER = pki.authority("Lower", issuer=MIDDLE)
CROSSED = pki.authority("Middle", issuer=OTHER)  # same name and key, other issuer
MUTE = pki.authority("Mute", issuer=ROOT, cert_sign=False)
NO_CA = pki.authority("No CA", issuer=ROOT, is_ca=False)
WEB = pki.authority("Web", issuer=ROOT, usages=(pki.SERVER,))
ALONE = pki.leaf(pki.authority("alone", key_label="alone"), "alone", key_label="alone")
DAY = timedelta(days=1)
OLD = pki.authority("Old", issuer=ROOT, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
AT_ROOT, AT_MIDDLE, AT_LOWER = pki.leaf(ROOT), pki.leaf(MIDDLE), pki.leaf(LOWER)
ROOT_CRL, MIDDLE_CRL = pki.crl(ROOT), pki.crl(MIDDLE)
STALE = pki.crl(MIDDLE, last_update=NOW - 9 * DAY, next_update=NOW - DAY)

# Leaf, what is sent with it, trusted, depth, lists, and whether OpenSSL accepts.
CASES = {
    "root-signed": (AT_ROOT, [], [ROOT], 0, [], True),
    "with-intermediate": (AT_MIDDLE, [MIDDLE], [ROOT], 1, [], True),
    "depth-0-with-intermediate": (AT_MIDDLE, [MIDDLE], [ROOT], 0, [], False),
    "two-intermediates": (AT_LOWER, [LOWER, MIDDLE], [ROOT], 2, [], True),
    "two-intermediates-depth-1": (AT_LOWER, [LOWER, MIDDLE], [ROOT], 1, [], False),
    "intermediates-from-the-bundle": (AT_LOWER, [], [ROOT, MIDDLE, LOWER], 2, [], True),
    "bundle-depth-1": (AT_LOWER, [], [ROOT, MIDDLE, LOWER], 1, [], False),
    "missing-intermediate": (AT_MIDDLE, [], [ROOT], 4, [], False),
    "missing-lower-intermediate": (AT_LOWER, [MIDDLE], [ROOT], 4, [], False),
    "intermediate-trusted-alone": (AT_MIDDLE, [], [MIDDLE], 4, [], False),
    "other-root": (AT_ROOT, [], [OTHER], 4, [], False),
    "namesake-root": (AT_ROOT, [], [NAMESAKE], 4, [], False),
    "namesake-beside-the-root": (AT_ROOT, [], [NAMESAKE, ROOT], 4, [], True),
    "cross-signed": (AT_MIDDLE, [CROSSED], [OTHER], 4, [], True),
    "cross-signed-and-original": (AT_MIDDLE, [MIDDLE, CROSSED], [OTHER], 4, [], False),
    "self-signed-pinned": (ALONE, [], [ALONE], 4, [], True),
    "self-signed-unknown": (ALONE, [], [ROOT], 4, [], False),
    "issuer-cannot-sign": (pki.leaf(MUTE), [MUTE], [ROOT], 4, [], False),
    "issuer-no-ca": (pki.leaf(NO_CA), [NO_CA], [ROOT], 4, [], False),
    "issuer-for-servers": (pki.leaf(WEB), [WEB], [ROOT], 4, [], False),
    "issuer-expired": (pki.leaf(OLD), [OLD], [ROOT], 4, [], False),
    "lists-complete": (AT_MIDDLE, [], [ROOT, MIDDLE], 4, [ROOT_CRL, MIDDLE_CRL], True),
    "list-of-root-missing": (AT_MIDDLE, [], [ROOT, MIDDLE], 4, [MIDDLE_CRL], False),
    "list-stale": (AT_MIDDLE, [], [ROOT, MIDDLE], 4, [ROOT_CRL, STALE], False),
    "list-stale-and-new": (AT_MIDDLE, [], [ROOT, MIDDLE], 4, [ROOT_CRL, STALE, MIDDLE_CRL], True),
    "list-of-a-namesake": (AT_ROOT, [], [ROOT], 4, [pki.crl(NAMESAKE)], False),
    "leaf-revoked": (AT_ROOT, [], [ROOT], 4, [pki.crl(ROOT, [AT_ROOT])], False),
    "intermediate-revoked": (
        AT_MIDDLE, [], [ROOT, MIDDLE], 4, [pki.crl(ROOT, [MIDDLE]), MIDDLE_CRL], False,
    ),
}  # fmt: skip


@needs_openssl
@pytest.mark.parametrize("case", CASES)
def test_the_verdict_is_that_of_openssl(case: str, tmp_path: Path) -> None:
    leaf, sent, trusted, depth, lists, accepted = CASES[case]
    material, bundle = identity(leaf, chain=sent), trust(*trusted, crls=lists)
    ours = check_identity(material, role=Role.CLIENT, now=NOW, trust=bundle, depth=depth)
    ours += check_trust(bundle, now=NOW, for_clients=True, depth=depth)
    (tmp_path / "leaf").write_bytes(leaf.pem)
    (tmp_path / "sent").write_bytes(b"".join(pair.pem for pair in sent) or leaf.pem)
    (tmp_path / "trusted").write_bytes(b"".join(pair.pem for pair in trusted))
    (tmp_path / "lists").write_bytes(b"".join(lists))
    answer = openssl(
        "verify", "-purpose", "sslclient", "-auth_level", "2", "-verify_depth", str(depth),
        "-no-CApath", "-no-CAstore", "-CAfile", tmp_path / "trusted",
        "-untrusted", tmp_path / "sent",
        *(["-crl_check_all", "-CRLfile", str(tmp_path / "lists")] if lists else []),
        tmp_path / "leaf", ok=False,
    )  # fmt: skip
    assert answer.strip().endswith(b": OK") is accepted
    assert (errors_in(ours) == ()) is accepted, [finding.slug for finding in ours]
