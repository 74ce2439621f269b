"""Identities and trust from files of every form; what is wrong with them is told, not raised."""

from __future__ import annotations

import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)

from handclasp.certs.checks import Role, check_identity, check_trust
from handclasp.certs.private_keys import spki
from handclasp.findings import Finding, Severity
from handclasp.keys import system_trust
from handclasp.keys.load import load_identity, load_trust
from handclasp.keys.secret import SecretSource
from tests import pki
from tests.certs.identities import only, slugs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from handclasp.certs.material import IdentityMaterial

PASSWORD = b"correct horse"
ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LEAF = pki.leaf(MIDDLE)
OTHER = pki.leaf(MIDDLE, "other")
CRL = pki.crl(ROOT)


class Folder:
    """Files by name, keys 0600 unless told otherwise."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, name: str, data: bytes, mode: int = 0o600) -> Path:
        path = self.path / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def password(self, value: bytes = PASSWORD) -> SecretSource:
        return SecretSource(file=self("password", value + b"\n"))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def der(key: pki.Pair, password: bytes | None = None) -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, protection)


def p12(password: bytes | None) -> bytes:
    protection = BestAvailableEncryption(password) if password else NoEncryption()
    chain = [MIDDLE.certificate, ROOT.certificate]
    assert isinstance(LEAF.private_key, ec.EllipticCurvePrivateKey)
    return pkcs12.serialize_key_and_certificates(
        None, LEAF.private_key, LEAF.certificate, chain, protection
    )


P7 = pkcs7.serialize_certificates([MIDDLE.certificate, LEAF.certificate], Encoding.DER)


@pytest.mark.parametrize(
    ("certificate", "key", "encrypted"),
    [
        (LEAF.chain_pem, LEAF.key_pem, False),
        (LEAF.chain_pem, LEAF.encrypted_key_pem(PASSWORD), True),
        (LEAF.chain_pem, der(LEAF), False),
        (LEAF.chain_pem, der(LEAF, PASSWORD), True),
        (P7, LEAF.key_pem, False),
        (LEAF.chain_pem + LEAF.key_pem, None, False),
        (LEAF.key_pem + LEAF.chain_pem, None, False),
        (p12(PASSWORD), None, True),
        (p12(None), None, False),
        (p12(PASSWORD), LEAF.key_pem, False),
        (LEAF.chain_pem + OTHER.key_pem, LEAF.key_pem, False),
        (LEAF.chain_pem, OTHER.key_pem + LEAF.key_pem, False),
        (LEAF.chain_pem, OTHER.encrypted_key_pem(b"another") + LEAF.key_pem, False),
    ],
    ids=[
        "pem", "encrypted-pem", "der-key", "encrypted-der-key", "p7b", "one-file", "key-first",
        "p12", "p12-plain", "p12-and-key", "stray-key-beside-certificate", "two-keys",
        "unreadable-stray-key",
    ],
)  # fmt: skip
def test_every_form_stages_the_same_certificate_and_key(
    certificate: bytes, key: bytes | None, encrypted: bool, folder: Folder
) -> None:
    # Suffixes are wrong on purpose: only bytes count.
    loaded = load_identity(
        "svc-b",
        certificate=folder("Zertifikat (1).key", certificate),
        key=folder("Schlüssel.crt", key) if key else None,
        password=folder.password(),
    )
    assert loaded.findings == ()
    assert loaded.usable
    assert loaded.certificate_pem() == LEAF.pem + MIDDLE.pem
    assert loaded.key is not None
    assert spki(loaded.key.reveal().public_key()) == spki(LEAF.private_key.public_key())
    assert loaded.encrypted is encrypted
    assert loaded.key_mode == 0o600
    expected = ["key-decrypted-at-rest"] if encrypted else []
    expected += ["chain-contains-root"] if loaded.root else []
    assert slugs(check_identity(loaded, role=Role.CLIENT, now=pki.NOW)) == expected


def load(
    folder: Folder,
    certificate: bytes | None = LEAF.chain_pem,
    key: bytes | None = LEAF.key_pem,
    password: SecretSource | None = None,
) -> IdentityMaterial:
    path = folder.path / "cert"
    if certificate is not None:
        folder("cert", certificate)
    key_path = folder("key", key) if key is not None else None
    return load_identity("x", certificate=path, key=key_path, password=password)


def told(loaded: IdentityMaterial) -> Finding:
    return only(loaded.findings)


@pytest.mark.parametrize(
    ("certificate", "key", "slug", "file"),
    [
        (None, LEAF.key_pem, "file-not-found", "cert"),
        (b"", LEAF.key_pem, "pem-empty-or-corrupt", "cert"),
        (LEAF.pem[:300], LEAF.key_pem, "pem-empty-or-corrupt", "cert"),
        (LEAF.der[:300], LEAF.key_pem, "certificate-unreadable", "cert"),
        (b"noise" * 9, LEAF.key_pem, "not-pem", "cert"),
        (CRL, LEAF.key_pem, "certificate-unreadable", "cert"),
        (OTHER.key_pem, LEAF.key_pem, "certificate-unreadable", "cert"),
        (pki.request(LEAF), LEAF.key_pem, "csr-given-as-cert", "cert"),
        (LEAF.key_pem, LEAF.pem, "cert-key-swapped", "cert"),
        (LEAF.pem, OTHER.pem, "key-not-found-in-file", "key"),
        (LEAF.pem, CRL, "key-not-found-in-file", "key"),
        (LEAF.pem, None, "key-not-found-in-file", "cert"),
        (LEAF.pem, b"", "pem-empty-or-corrupt", "key"),
        (LEAF.pem, LEAF.key_pem[:99], "pem-empty-or-corrupt", "key"),
        (LEAF.pem, LEAF.encrypted_key_pem(PASSWORD), "key-encrypted-no-passphrase", "key"),
        (p12(PASSWORD), None, "keystore-wrong-password", "cert"),
        (LEAF.pem, pki.authority("a").key_pem + OTHER.key_pem, "several-keys-in-file", "key"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_not_what_it_should_be_is_told_once(
    certificate: bytes | None, key: bytes | None, slug: str, file: str, folder: Folder
) -> None:
    loaded = load(folder, certificate, key)
    finding = told(loaded)
    assert (finding.slug, finding.severity) == (slug, Severity.ERROR)
    assert finding.where.file == str(folder.path / file)
    assert not loaded.usable
    assert check_identity(loaded, role=Role.CLIENT, now=pki.NOW)[0] == finding


def test_a_key_that_fits_no_certificate_is_loaded_and_judged_a_mismatch(folder: Folder) -> None:
    loaded = load(folder, LEAF.chain_pem, OTHER.key_pem)
    assert loaded.findings == ()
    findings = check_identity(loaded, role=Role.CLIENT, now=pki.NOW)
    assert slugs(findings) == ["key-cert-mismatch"]


def test_the_wrong_password_is_told_for_keys_and_containers(folder: Folder) -> None:
    wrong = folder.password(b"wrong horse")
    key = LEAF.encrypted_key_pem(PASSWORD)
    assert told(load(folder, key=key, password=wrong)).slug == "key-wrong-passphrase"
    loaded = load(folder, p12(PASSWORD), None, password=wrong)
    assert told(loaded).slug == "keystore-wrong-password"


def test_a_password_that_cannot_be_had_is_told_where_it_is_needed(folder: Folder) -> None:
    gone = SecretSource(file=folder.path / "gone")
    finding = told(load(folder, key=LEAF.encrypted_key_pem(PASSWORD), password=gone))
    assert finding.slug == "key-encrypted-no-passphrase"
    assert f"{folder.path / 'gone'} cannot be read" in finding.seen
    assert load(folder, key=LEAF.key_pem, password=gone).findings == ()


def test_a_wrong_chain_order_is_mended_with_a_warning(folder: Folder) -> None:
    loaded = load(folder, MIDDLE.pem + LEAF.pem)
    finding = told(loaded)
    assert (finding.slug, finding.severity) == ("chain-order-wrong", Severity.WARNING)
    assert "starts with 'CN=Middle" in finding.seen
    assert loaded.certificate_pem() == LEAF.chain_pem
    lower = pki.authority("Lower", issuer=MIDDLE)
    deep = pki.leaf(lower)
    loaded = load(folder, deep.pem + MIDDLE.pem + lower.pem, deep.key_pem)
    assert told(loaded).slug == "chain-order-wrong"
    assert loaded.certificate_pem() == deep.chain_pem


@pytest.mark.parametrize("combined", [True, False])
def test_a_key_others_may_read_is_an_error_unless_allowed(combined: bool, folder: Folder) -> None:
    certificate = folder("c.pem", LEAF.chain_pem + (LEAF.key_pem if combined else b""), 0o644)
    key = None if combined else folder("k.pem", LEAF.key_pem, 0o644)
    loaded = load_identity("x", certificate=certificate, key=key)
    finding = told(loaded)
    assert (finding.slug, finding.severity) == ("key-file-mode-too-wide", Severity.ERROR)
    assert finding.where.file == str(key or certificate)
    assert loaded.key_mode == 0o644
    allowed = load_identity("x", certificate=certificate, key=key, allow_wide_mode=True)
    assert told(allowed).severity is Severity.WARNING


def test_a_certificate_file_everybody_may_read_is_fine(folder: Folder) -> None:
    certificate = folder("c.pem", LEAF.chain_pem, 0o644)
    loaded = load_identity("x", certificate=certificate, key=folder("k.pem", LEAF.key_pem))
    assert loaded.findings == ()


def test_a_directory_in_place_of_a_file_is_told(folder: Folder) -> None:
    loaded = load_identity("x", certificate=folder.path, key=folder("k", LEAF.key_pem))
    assert told(loaded).slug == "path-is-directory"


def test_all_problems_are_told_not_only_the_first(folder: Folder) -> None:
    key = folder("k", LEAF.encrypted_key_pem(PASSWORD), 0o644)
    loaded = load_identity("x", certificate=folder.path / "none", key=key)
    assert slugs(loaded.findings) == [
        "file-not-found",
        "key-encrypted-no-passphrase",
        "key-file-mode-too-wide",
    ]


def failing(material: IdentityMaterial) -> None:
    raise TypeError(f"something failed with {material}")


def test_no_finding_repr_or_traceback_shows_password_or_key(folder: Folder) -> None:
    loads: list[Callable[[], IdentityMaterial]] = [
        lambda: load(folder, key=LEAF.encrypted_key_pem(PASSWORD), password=folder.password()),
        lambda: load(folder, p12(PASSWORD), None, folder.password()),
        lambda: load(folder, key=LEAF.encrypted_key_pem(b"x"), password=folder.password()),
        lambda: load(folder, LEAF.pem + LEAF.key_pem[:150], None),
    ]
    hidden = [PASSWORD, *LEAF.key_pem.splitlines()[1:-1]]
    for one in loads:
        loaded = one()
        shown = repr(loaded) + "".join(f.as_text() + repr(f) for f in loaded.findings)
        with pytest.raises(TypeError, match="failed with") as raised:
            failing(loaded)
        captured = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        shown += repr(captured.stack[-1].locals)
        for secret in hidden:
            assert secret.decode() not in shown


def test_trust_of_several_files_keeps_their_order_and_drops_doubles(folder: Folder) -> None:
    loaded = load_trust(
        "company",
        certificates=[
            folder("a.pem", ROOT.pem),
            folder("b.der", MIDDLE.der),
            folder("c", ROOT.pem),
        ],
        crls=[folder("a.crl", CRL), folder("b.crl", pki.der_from_pem(pki.crl(MIDDLE)))],
    )
    assert loaded.findings == ()
    assert loaded.bundle_pem() == ROOT.pem + MIDDLE.pem
    assert len(loaded.crls) == 2
    assert loaded.file_of(MIDDLE.certificate) == str(folder.path / "b.der")
    assert check_trust(loaded, now=pki.NOW, for_clients=True, depth=4) == []
    later = pki.NOW + timedelta(days=8)
    stale = check_trust(loaded, now=later, for_clients=True, depth=4)
    assert slugs(stale) == ["crl-expired", "crl-expired"]
    assert stale[1].where.file == str(folder.path / "b.crl")


@pytest.mark.parametrize(
    ("data", "slug"),
    [
        (b"", "trust-bundle-empty"),
        (b"# no certificate yet\n", "not-pem"),
        (LEAF.key_pem, "trust-bundle-empty"),
        (LEAF.encrypted_key_pem(PASSWORD), "trust-bundle-empty"),
        (pki.request(LEAF), "trust-bundle-empty"),
        (ROOT.pem[:200], "pem-empty-or-corrupt"),
    ],
)
def test_a_trust_file_without_certificates_is_told_once(
    data: bytes, slug: str, folder: Folder
) -> None:
    loaded = load_trust("company", certificates=[folder("ca.pem", data)])
    assert slugs(check_trust(loaded, now=pki.NOW, for_clients=True, depth=4)) == [slug]
    assert not loaded.usable


def test_a_crl_file_without_a_list_is_told_even_beside_other_problems(folder: Folder) -> None:
    loaded = load_trust(
        "company", certificates=[folder.path / "none"], crls=[folder("ca.crl", ROOT.pem)]
    )
    assert slugs(loaded.findings) == ["file-not-found", "certificate-unreadable"]
    assert "no revocation list" in loaded.findings[1].seen


def test_the_system_bundle_is_staged_as_it_is_without_parsing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = folder("ca-certificates.crt", ROOT.pem + MIDDLE.pem, 0o644)
    places = (folder.path / "none", folder("hollow", b""), bundle)
    monkeypatch.setattr(system_trust, "SYSTEM_BUNDLES", places)
    loaded = load_trust("web", public="system")
    assert (loaded.public, loaded.anchors, loaded.files) == (True, (), (bundle,))
    assert loaded.bundle_pem() == ROOT.pem + MIDDLE.pem
    assert len(loaded.all_anchors()) == 2
    assert check_trust(loaded, now=pki.NOW, for_clients=False, depth=4) == []


def test_without_a_system_bundle_certifi_serves_and_without_both_it_is_told(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = folder("cacert.pem", ROOT.pem)
    monkeypatch.setattr(system_trust, "SYSTEM_BUNDLES", ())
    monkeypatch.setattr(system_trust, "_certifi", lambda: (bundle,))
    assert load_trust("web", public="system").files == (bundle,)
    monkeypatch.setattr(system_trust, "_certifi", lambda: ())
    loaded = load_trust("web", public="system")
    finding = only(check_trust(loaded, now=pki.NOW, for_clients=False, depth=4))
    assert finding.slug == "trust-bundle-empty"
    assert "ca-certificates" in finding.fix
