"""`handclasp cert convert`, `split` and `bundle`, the installed commands, judged by the openssl command."""

from __future__ import annotations

import os
import pty
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from handclasp.certs.private_keys import spki
from handclasp.certs.read import read_objects
from tests import pki
from tests.conftest import lacks
from tests.integration.running import COMMAND, handclasp
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_openssl

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LEAF = pki.leaf(MIDDLE, "svc-b", sans=["dns:b.internal"])
RSA = pki.leaf(MIDDLE, "rsa", key_kind="rsa2048")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "leaf.pem").write_bytes(LEAF.pem)
    (tmp_path / "leaf.key").write_bytes(LEAF.key_pem)
    (tmp_path / "cas.pem").write_bytes(ROOT.pem + MIDDLE.pem)  # the wrong way round
    (tmp_path / "rsa.pem").write_bytes(RSA.pem)
    (tmp_path / "rsa.key").write_bytes(RSA.key_pem)
    (tmp_path / "old").write_text("old secret\n")
    (tmp_path / "new").write_text("new secret\n")
    for name in ("leaf.key", "rsa.key", "old", "new"):
        (tmp_path / name).chmod(0o600)
    return tmp_path


def cert(folder: Path, *arguments: str, rc: int = 0) -> str:
    done = handclasp("cert", *arguments, cwd=folder)
    assert done.returncode == rc, done.stdout + done.stderr
    return done.stderr if rc else done.stdout


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def same_key(pem: bytes, pair: pki.Pair, password: bytes | None = None) -> bool:
    read = load_pem_private_key(pem, password)
    return spki(read.public_key()) == spki(pair.private_key.public_key())


@pytest.mark.parametrize(("stem", "pair"), [("leaf", LEAF), ("rsa", RSA)])
def test_a_pair_goes_through_pkcs12_and_comes_back_the_same(
    folder: Path, stem: str, pair: pki.Pair
) -> None:
    cert(
        *(folder, "convert", f"{stem}.pem", f"{stem}.key", "cas.pem", "--to", "p12"),
        *("--new-password-file", "new", "-o", "out.p12", "--name", "the one"),
    )
    assert mode(folder / "out.p12") == 0o600
    said = openssl(*("pkcs12", "-in", folder / "out.p12", "-passin", "pass:new secret", "-nodes"))
    in_it = [one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(said)]
    assert in_it == [pair.der, MIDDLE.der, ROOT.der]
    assert b"friendlyName: the one" in said
    cert(
        *(folder, "convert", "out.p12", "--password-file", "new", "--to", "pem", "--no-password"),
        *("-o", "back.pem"),
    )
    back = read_objects((folder / "back.pem").read_bytes(), source="back")
    assert [one.public_bytes(Encoding.DER) for one in back.certificates] == [
        pair.der,
        MIDDLE.der,
        ROOT.der,
    ]
    assert same_key((folder / "back.pem").read_bytes(), pair)
    assert mode(folder / "back.pem") == 0o600


def test_an_old_pkcs12_is_wrapped_anew(folder: Path) -> None:
    made = ("pkcs12", "-export", "-in", folder / "leaf.pem", "-inkey", folder / "leaf.key")
    openssl(
        *(*made, "-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1"),
        *("-out", folder / "old.p12", "-passout", "pass:old secret"),
    )
    assert "--to p12" in handclasp("cert", "show", "old.p12", cwd=folder).stdout
    cert(
        *(folder, "convert", "old.p12", "--password-file", "old", "--to", "p12"),
        *("--new-password-file", "new", "-o", "new.p12"),
    )
    details = ("-info", "-noout")
    info = subprocess.run(
        ["openssl", "pkcs12", "-in", folder / "new.p12", "-passin", "pass:new secret", *details],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stderr
    assert "AES-256-CBC" in info
    assert "3DES" not in info
    assert "sha256" in info
    cert(
        *(folder, "convert", "new.p12", "--password-file", "new", "--to", "p12", "--legacy"),
        *("--new-password-file", "new", "-o", "older.p12"),
    )
    assert (
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03" in (folder / "older.p12").read_bytes()
    )  # 3DES


@pytest.mark.skipif(lacks(shutil.which("keytool")), reason="no Java runtime on this machine")
def test_java_reads_our_pkcs12(folder: Path) -> None:
    cert(
        *(folder, "convert", "leaf.pem", "leaf.key", "cas.pem", "--to", "p12", "--name", "mine"),
        *("--new-password-file", "new", "-o", "out.p12"),
    )
    said = subprocess.run(
        ["keytool", "-list", "-v", "-keystore", folder / "out.p12", "-storepass", "new secret"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Alias name: mine" in said.stdout
    assert "PrivateKeyEntry" in said.stdout
    assert "Certificate chain length: 3" in said.stdout


@pytest.mark.skipif(lacks(shutil.which("keytool")), reason="no Java runtime on this machine")
@pytest.mark.parametrize(
    ("options", "aliases"), [((), ["1", "2"]), (("--name", "Ours"), ["ours", "ours-2"])]
)
def test_java_takes_certificates_without_a_key_for_trust(
    folder: Path, options: tuple[str, ...], aliases: list[str]
) -> None:
    made = ("convert", "cas.pem", "--to", "p12", *options)
    cert(folder, *made, "--new-password-file", "new", "-o", "trust.p12")
    said = subprocess.run(
        ["keytool", "-list", "-keystore", folder / "trust.p12", "-storepass", "new secret"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout
    assert "contains 2 entries" in said
    assert said.count("trustedCertEntry") == 2
    entries = [line.partition(",")[0] for line in said.splitlines() if "trustedCertEntry" in line]
    assert sorted(entries) == aliases
    opened = openssl(
        *("pkcs12", "-in", folder / "trust.p12", "-passin", "pass:new secret", "-nokeys")
    )
    assert opened.count(b"BEGIN CERTIFICATE") == 2


def test_revocation_lists_go_into_pkcs7_as_openssl_puts_them(folder: Path) -> None:
    (folder / "root.crl").write_bytes(pki.crl(ROOT, [LEAF]))
    (folder / "middle.crl").write_bytes(pki.crl(MIDDLE))
    cert(folder, "convert", "root.crl", "cas.pem", "middle.crl", "--to", "p7b", "-o", "both.p7b")
    cert(folder, "convert", "root.crl", "--to", "p7b", "-o", "lists.p7b")
    for name, certificates, lists in (("both", 2, 2), ("lists", 0, 1)):
        (data := folder / f"{name}.p7b").read_bytes()
        said = openssl("pkcs7", "-in", data, "-print_certs")
        assert said.count(b"BEGIN CERTIFICATE") == certificates
        assert said.count(b"BEGIN X509 CRL") == lists
        contents = read_objects(data.read_bytes(), source=name)
        assert (len(contents.certificates), len(contents.crls)) == (certificates, lists)
    theirs = openssl(*("crl2pkcs7", "-in", folder / "root.crl", "-certfile", folder / "leaf.pem"))
    cert(folder, "convert", "root.crl", "leaf.pem", "--to", "p7b", "-o", "ours.p7b")
    assert (folder / "ours.p7b").read_bytes() == theirs


def test_the_alias_of_a_pkcs12_is_kept(folder: Path) -> None:
    made = ("convert", "leaf.pem", "leaf.key", "--to", "p12", "--new-password-file", "new")
    cert(folder, *made, "--name", "mine", "-o", "a.p12")
    again = (
        "convert",
        "a.p12",
        "--password-file",
        "new",
        "--to",
        "p12",
        "--new-password-file",
        "new",
    )
    cert(folder, *again, "-o", "b.p12")
    said = openssl("pkcs12", "-in", folder / "b.p12", "-passin", "pass:new secret", "-nokeys")
    assert b"friendlyName: mine" in said


def test_devices_and_pipes_are_not_replaced(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    said = cert(folder, "convert", "leaf.pem", "--to", "pem", "-o", "pipe", "--force", rc=2)
    assert "is no regular file" in said
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)


def test_pkcs7_and_der_hold_what_openssl_reads(folder: Path) -> None:
    cert(folder, "convert", "leaf.pem", "cas.pem", "--to", "p7b", "-o", "out.p7b")
    assert mode(folder / "out.p7b") == 0o644
    said = openssl("pkcs7", "-in", folder / "out.p7b", "-print_certs", "-noout").decode()
    assert said.count("subject=") == 3
    cert(folder, "convert", "leaf.pem", "--to", "der", "-o", "out.der")
    assert (folder / "out.der").read_bytes() == LEAF.der
    cert(folder, "convert", "leaf.key", "--to", "der", "-o", "key.der")
    pem = openssl("pkey", "-inform", "DER", "-in", folder / "key.der")
    assert same_key(pem, LEAF)
    assert mode(folder / "key.der") == 0o600


def test_a_key_is_encrypted_and_decrypted_as_pkcs8(folder: Path) -> None:
    cert(
        *(folder, "convert", "leaf.key", "--to", "pkcs8", "--new-password-file", "new"),
        *("-o", "locked.key"),
    )
    locked = (folder / "locked.key").read_bytes()
    assert locked.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    openssl("pkey", "-in", folder / "locked.key", "-passin", "pass:new secret", "-noout")
    assert same_key(locked, LEAF, b"new secret")
    refused = cert(
        folder, "convert", "locked.key", "--password-file", "new", "--to", "pkcs8", "-o", "x", rc=2
    )
    assert "--no-password" in refused
    assert not (folder / "x").exists()
    cert(
        *(folder, "convert", "locked.key", "--password-file", "new", "--to", "pkcs8"),
        *("--no-password", "-o", "open.key"),
    )
    assert (folder / "open.key").read_bytes() == LEAF.key_pem


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("leaf.pem", "leaf.key", "--to", "der"), "holds one object"),
        (("leaf.pem", "leaf.key", "--to", "p7b"), "PKCS#7 holds certificates and revocation lists"),
        (("leaf.pem", "leaf.key", "--to", "pkcs8"), "holds one private key"),
        (("leaf.pem", "rsa.key", "--to", "p12", "--new-password-file", "new"), "is not that of"),
        (("leaf.pem", "leaf.key", "--to", "p12"), "a PKCS#12 file has a password"),
        (("leaf.pem", "--to", "pem", "--key-only"), "nothing is left"),
        (("leaf.pem", "gone.pem", "--to", "pem"), "no such file"),
        (("leaf.pem", "noise", "--to", "pem"), "no certificate, key or other known object"),
        (("leaf.pem", "--to", "pem", "--legacy"), "for --to p12"),
    ],
)
def test_what_would_be_lost_or_wrong_is_refused_and_nothing_is_written(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    (folder / "noise").write_bytes(b"\x00" * 40)
    assert words in cert(folder, "convert", *arguments, "-o", "out", rc=2)
    assert not (folder / "out").exists()


def test_a_file_that_exists_is_replaced_by_force_only(folder: Path) -> None:
    (folder / "out").write_text("precious")
    assert "exists already" in cert(folder, "convert", "leaf.pem", "--to", "pem", "-o", "out", rc=2)
    assert (folder / "out").read_text() == "precious"
    cert(folder, "convert", "leaf.pem", "--to", "pem", "-o", "out", "--force")
    assert (folder / "out").read_bytes() == LEAF.pem
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_force_keeps_an_existing_key_file_private(folder: Path) -> None:
    (folder / "out").write_text("old")
    (folder / "out").chmod(0o644)
    cert(folder, "convert", "leaf.key", "--to", "pkcs8", "-o", "out", "--force")
    assert mode(folder / "out") == 0o600


def test_a_place_that_cannot_be_written_is_an_error_of_the_environment(folder: Path) -> None:
    said = cert(folder, "convert", "leaf.pem", "--to", "pem", "-o", "no/such/place", rc=3)
    assert "no/such/place cannot be written" in said
    assert "is a directory" in cert(folder, "convert", "leaf.pem", "--to", "pem", "-o", ".", rc=2)


def test_keys_are_private_under_any_umask(folder: Path) -> None:
    previous = os.umask(0)
    try:
        cert(folder, "convert", "leaf.key", "--to", "pkcs8", "-o", "out")
    finally:
        os.umask(previous)
    assert mode(folder / "out") == 0o600


def test_a_private_key_never_reaches_a_terminal(folder: Path) -> None:
    assert "not printed" in cert(folder, "convert", "leaf.key", "--to", "pkcs8", rc=2)
    leader, follower = pty.openpty()
    arguments = ("convert", "leaf.key", "--to", "pkcs8", "-o", "-")
    done = subprocess.run(
        [str(COMMAND), "cert", *arguments],
        cwd=folder,
        stdout=follower,
        stderr=subprocess.PIPE,
        timeout=20,
        check=False,
    )
    os.close(follower)
    assert done.returncode == 2
    assert b"not printed" in done.stderr
    os.close(leader)
    assert cert(folder, *arguments).encode() == LEAF.key_pem  # a pipe is no terminal


def test_certificates_alone_go_to_standard_output(folder: Path) -> None:
    said = cert(folder, "convert", "leaf.pem", "leaf.key", "--to", "pem", "--certificates-only")
    assert said.encode() == LEAF.pem


# -- split


def test_split_names_files_after_subjects_and_keys_after_their_certificates(folder: Path) -> None:
    said = cert(folder, "split", "leaf.key", "leaf.pem", "cas.pem", "leaf.pem", "-o", "parts")
    names = sorted(path.name for path in (folder / "parts").iterdir())
    assert names == ["Middle.pem", "Root.pem", "svc-b.key", "svc-b.pem"]
    assert len(said.splitlines()) == 4
    assert mode(folder / "parts" / "svc-b.key") == 0o600
    assert (folder / "parts" / "svc-b.pem").read_bytes() == LEAF.pem


def test_split_writes_all_or_nothing(folder: Path) -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "Middle.pem").write_text("precious")
    cert(folder, "split", "leaf.pem", "cas.pem", "-o", "parts", rc=2)
    assert [path.name for path in (folder / "parts").iterdir()] == ["Middle.pem"]
    assert (folder / "parts" / "Middle.pem").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "etc-passwd.pem"),
        ("*.example.com", "wildcard.example.com.pem"),
        (".bashrc", "bashrc.pem"),
        ("a\x00b\nc/d", "a-b-c-d.pem"),
        ("ü" * 32, "certificate.pem"),
    ],
)
def test_no_subject_leads_a_file_astray(folder: Path, name: str, file: str) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    (folder / "odd.pem").write_bytes(pki.leaf(ROOT, "odd", subject=subject).pem)
    cert(folder, "split", "odd.pem", "-o", "parts")
    assert [path.name for path in (folder / "parts").iterdir()] == [file]


def test_split_keeps_two_of_one_name_apart(folder: Path) -> None:
    (folder / "twin.pem").write_bytes(pki.leaf(MIDDLE, "svc-b", key_label="twin").pem)
    cert(folder, "split", "leaf.pem", "twin.pem", "-o", "parts")
    assert sorted(p.name for p in (folder / "parts").iterdir()) == ["svc-b-2.pem", "svc-b.pem"]


# -- bundle


def test_bundle_orders_the_chain_and_leaves_the_root_out(folder: Path) -> None:
    (folder / "stranger.pem").write_bytes(pki.leaf(ROOT, "stranger").pem)
    done = handclasp(
        *("cert", "bundle", "cas.pem", "stranger.pem", "leaf.pem", "leaf.key"), cwd=folder
    )
    assert done.stdout.encode() == LEAF.pem + MIDDLE.pem
    assert "left out: 'CN=Root,O=Example Org', the root" in done.stderr
    assert "left out: 'CN=stranger,O=Example Org', not part of the chain" in done.stderr
    with_root = cert(folder, "bundle", "cas.pem", "leaf.pem", "leaf.key", "--with-root")
    assert with_root.encode() == LEAF.pem + MIDDLE.pem + ROOT.pem


def test_what_bundle_writes_is_a_chain_that_openssl_verifies(folder: Path) -> None:
    cert(folder, "bundle", "cas.pem", "leaf.pem", "-o", "full.pem")
    (folder / "root.pem").write_bytes(ROOT.pem)
    openssl(
        *("verify", "-CAfile", folder / "root.pem", "-untrusted", folder / "full.pem"),
        folder / "full.pem",
    )


def test_a_gap_in_the_chain_is_refused_with_the_place_of_the_missing_part(folder: Path) -> None:
    lower = pki.authority("Lower", issuer=MIDDLE)
    leaf = pki.leaf(lower, "deep", ca_issuers="http://pki/lower.crt")
    (folder / "deep.pem").write_bytes(leaf.pem)
    said = cert(folder, "bundle", "deep.pem", "cas.pem", "-o", "out", rc=2)
    assert "'CN=Lower,O=Example Org', which issued 'CN=deep,O=Example Org', is missing" in said
    assert "http://pki/lower.crt" in said
    assert not (folder / "out").exists()
    assert cert(folder, "bundle", "deep.pem", "cas.pem", "--incomplete").encode() == leaf.pem


def test_with_trust_the_chain_has_to_end_there(folder: Path) -> None:
    (folder / "root.pem").write_bytes(ROOT.pem)
    (folder / "other.pem").write_bytes(pki.authority("Other").pem)
    files = ("leaf.pem", "cas.pem")
    whole = cert(folder, "bundle", *files, "--trust", "root.pem")
    assert whole.encode() == LEAF.pem + MIDDLE.pem
    assert "gap" in cert(folder, "bundle", "leaf.pem", "--trust", "root.pem", rc=2)
    assert "gap" in cert(folder, "bundle", *files, "--trust", "other.pem", rc=2)
