"""`handclasp cert show`, the installed command, over files of every kind."""

from __future__ import annotations

import base64
import json
import os
import pty
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
)

from tests import pki
from tests.cli.test_documents import validate
from tests.integration.running import COMMAND, handclasp
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LEAF = pki.leaf(
    MIDDLE, sans=["dns:svc-b.internal", "uri:spiffe://example.org/b"], ca_issuers="http://pki/m.crt"
)
OTHER = pki.leaf(ROOT, "other")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("show")
    files = {
        "root.pem": ROOT.pem,
        "middle.der": MIDDLE.der,
        "leaf.pem": b"Bag Attributes\r\n" + LEAF.pem.replace(b"\n", b"\r\n"),
        "leaf.key": LEAF.key_pem,
        "locked.key": LEAF.encrypted_key_pem(b"open sesame"),
        "request.csr": pki.request(LEAF),
        "root.crl": pki.crl(ROOT, [OTHER], number=7),
        "chain.p7b": pkcs7.serialize_certificates(
            [ROOT.certificate, MIDDLE.certificate], Encoding.DER
        ),
        "public.pem": openssl("pkey", "-pubout", stdin=LEAF.key_pem),
        "password": b"open sesame\n",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    return folder


def shown(folder: Path, *arguments: str, rc: int = 0) -> dict[str, Any]:
    done = handclasp("cert", "show", *arguments, "--format", "json", cwd=folder)
    assert done.returncode == rc, done.stderr
    document: dict[str, Any] = validate("cert show", done.stdout)
    return document


def test_every_kind_of_object_is_told_from_its_bytes(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir() if path.name != "password")
    document = shown(folder, *names, "--password-file", "password")
    kinds = {(one["file"], one["kind"], one["format"]) for one in document["objects"]}
    assert kinds == {
        ("root.pem", "certificate", "pem"),
        ("middle.der", "certificate", "der"),
        ("leaf.pem", "certificate", "pem"),
        ("leaf.key", "private key", "pem pkcs8"),
        ("locked.key", "private key", "pem pkcs8-encrypted"),
        ("request.csr", "signing request", "pem"),
        ("root.crl", "revocation list", "pem"),
        ("chain.p7b", "certificate", "pkcs7"),
        ("public.pem", "public key", "pem"),
    }


@needs_openssl
def test_the_facts_of_a_certificate_are_those_openssl_prints(folder: Path) -> None:
    (told,) = shown(folder, "leaf.pem")["objects"]
    said = openssl(
        *("x509", "-in", folder / "leaf.pem", "-noout", "-subject", "-issuer", "-serial"),
        *("-fingerprint", "-sha256", "-nameopt", "RFC2253"),
    ).decode()
    values = dict(line.split("=", 1) for line in said.splitlines())
    assert told["subject"] == values["subject"]
    assert told["issuer"] == values["issuer"]
    assert told["serial"] == values["serial"]
    assert told["sha256"] == values["sha256 Fingerprint"].replace(":", "").lower()
    assert told["sans"] == ["dns:svc-b.internal", "uri:spiffe://example.org/b"]
    key = {"type": "EC", "bits": 256, "curve": "secp256r1", "explicit": False}
    assert told["key"] == key
    assert told["usages"] == ["digitalSignature", "clientAuth"]
    assert (told["ca"], told["line"]) == (False, 2)


def test_a_serial_is_written_in_whole_bytes(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_bytes(pki.leaf(ROOT, "x", serial=0x0ABCDE).pem)
    assert shown(tmp_path, "x.pem")["objects"][0]["serial"] == "0ABCDE"


def test_what_holds_one_key_fits_together_across_files(folder: Path) -> None:
    document = shown(folder, "leaf.pem", "leaf.key", "request.csr", "root.pem")
    fits = {one["file"]: sorted(one["fits"]) for one in document["objects"]}
    assert fits == {
        "leaf.pem": ["leaf.key", "request.csr"],
        "leaf.key": ["leaf.pem", "request.csr"],
        "request.csr": ["leaf.key", "leaf.pem"],
        "root.pem": [],
    }


def test_chains_are_drawn_and_a_missing_issuer_is_named_with_its_address(folder: Path) -> None:
    whole = handclasp("cert", "show", "leaf.pem", "middle.der", "root.pem", cwd=folder).stdout
    drawing = whole[whole.index("Chains") :].splitlines()
    assert [line.split(" (")[0] for line in drawing[1:4]] == [
        "  CN=Root,O=Example Org",
        "  └─ CN=Middle,O=Example Org",
        "     └─ CN=svc-b,O=Example Org",
    ]
    (line,) = shown(folder, "leaf.pem", "root.pem")["chains"][:1]
    assert (line["complete"], line["missing"]) == (False, "CN=Middle,O=Example Org")
    assert line["issuer_urls"] == ["http://pki/m.crt"]
    assert "http://pki/m.crt" in handclasp("cert", "show", "leaf.pem", cwd=folder).stdout


def test_a_revocation_list_tells_its_number_and_how_many_it_names(folder: Path) -> None:
    (told,) = shown(folder, "root.crl")["objects"]
    assert (told["number"], told["entries"]) == (7, 1)
    assert told["issuer"] == "CN=Root,O=Example Org"
    assert told["signed_by"] == []
    crl, root = shown(folder, "root.crl", "root.pem")["objects"]
    assert crl["signed_by"] == [root["sha256"]]
    text = handclasp("cert", "show", "root.crl", "root.pem", cwd=folder).stdout
    assert "signed by  CN=Root,O=Example Org in root.pem" in text
    text = handclasp("cert", "show", "root.crl", "middle.der", cwd=folder).stdout
    assert "signed by  none of the given certificates" in text


def test_a_request_tells_whether_its_own_key_signed_it(folder: Path, tmp_path: Path) -> None:
    (told,) = shown(folder, "request.csr")["objects"]
    assert told["signature_valid"] is True
    data = bytearray(pki.der_from_pem(pki.request(LEAF)))
    data[-1] ^= 1
    (tmp_path / "forged").write_bytes(data)
    done = handclasp("cert", "show", "forged", cwd=tmp_path)
    assert "NOT by its own key" in done.stdout


def test_no_private_key_and_no_password_is_ever_printed(folder: Path) -> None:
    number = LEAF.private_key.private_numbers().private_value  # type: ignore[union-attr]
    secret = LEAF.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for form in ("text", "json"):
        done = handclasp(
            *("cert", "show", "leaf.key", "locked.key", "--password-file", "password"),
            *("--format", form),
            cwd=folder,
        )
        said = done.stdout + done.stderr
        assert "open sesame" not in said
        assert f"{number:x}" not in said.lower()
        assert base64.b64encode(secret).decode()[:40] not in said.replace("\n", "")


def test_an_encrypted_key_without_or_with_the_wrong_password_is_a_finding(folder: Path) -> None:
    slugs = [one["slug"] for one in shown(folder, "locked.key", rc=1)["findings"]]
    assert slugs == ["key-encrypted-no-passphrase"]
    done = handclasp(
        *("cert", "show", "locked.key", "--password-env", "PW", "--format", "json"),
        cwd=folder,
        env={"PW": "wrong"},
    )
    assert [one["slug"] for one in json.loads(done.stdout)["findings"]] == ["key-wrong-passphrase"]


def test_one_unreadable_file_is_one_finding_and_the_rest_is_shown(folder: Path) -> None:
    (folder / "noise").write_bytes(bytes(range(256)))
    document = shown(folder, "noise", "leaf.pem", "gone.pem", ".", rc=1)
    assert [one["file"] for one in document["objects"]] == ["leaf.pem"]
    assert [one["slug"] for one in document["findings"]] == [
        "path-is-directory",
        "file-not-found",
        "not-pem",
    ]
    shown(folder, "noise", rc=2)


@pytest.mark.parametrize(
    ("data", "slug", "words"),
    [
        (b"", "pem-empty-or-corrupt", "empty"),
        (LEAF.pem[:200], "pem-empty-or-corrupt", "cut off"),
        (LEAF.pem.decode().encode("utf-16"), "not-pem", "UTF-16"),
        (LEAF.pem.replace(b"CERTIFICATE", b"PRIVATE KEY"), "pem-empty-or-corrupt", "certificate"),
        (b"\xfe\xed\xfe\xed\x00\x00\x00\x02", "not-pem", "JKS"),
        (b"PuTTY-User-Key-File-3: ssh-rsa\n", "key-unreadable", "PuTTY"),
        (
            b"-----BEGIN TSS2 PRIVATE KEY-----\nMAA=\n-----END TSS2 PRIVATE KEY-----\n",
            "key-unreadable",
            "TPM",
        ),
        (
            b"-----BEGIN PKCS#11 PROVIDER URI-----\nMAA=\n-----END PKCS#11 PROVIDER URI-----\n",
            "key-unreadable",
            "PKCS#11",
        ),
        (b"\x30\x82" + LEAF.der[2:300], "certificate-unreadable", "cut off"),
    ],
)
def test_bad_files_are_named_by_what_they_are(
    tmp_path: Path, data: bytes, slug: str, words: str
) -> None:
    (tmp_path / "file").write_bytes(data)
    done = handclasp("cert", "show", "file", "--format", "json", cwd=tmp_path)
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["slug"], words.lower() in finding["seen"].lower()) == (slug, True), finding


def test_a_file_too_large_is_not_read_whole(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(100 << 20)
    done = handclasp("cert", "show", "large", cwd=tmp_path)
    assert done.returncode == 2
    assert "larger than 10 MiB" in done.stdout


def test_standard_input_and_whole_directories_are_read(folder: Path) -> None:
    done = subprocess.run(
        [COMMAND, "cert", "show", "-"], input=LEAF.pem, capture_output=True, timeout=20, check=True
    )
    assert b"standard input:1: certificate, pem" in done.stdout
    nested = folder / "below" / "deeper"
    nested.mkdir(parents=True, exist_ok=True)
    (nested / "x.pem").write_bytes(OTHER.pem)
    document = shown(folder, "-r", "below")
    assert [one["file"] for one in document["objects"]] == ["below/deeper/x.pem"]


def test_many_files_show_progress_on_a_terminal_and_nowhere_else(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"{number}.pem").write_bytes(LEAF.pem)
    command = [str(COMMAND), "cert", "show", "-r", str(tmp_path)]
    quiet = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert quiet.stderr == b""
    assert quiet.stdout.count(b": certificate, pem") == 120
    leader, follower = pty.openpty()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower) as process:
        os.close(follower)
        said = b""
        while b"100%" not in said:
            said += os.read(leader, 4096)
        process.wait(30)
    os.close(leader)
    assert b"reading" in said


def test_what_a_shell_substitutes_for_a_command_is_read(folder: Path) -> None:
    script = """
        set -e
        "$1" cert show <(cat leaf.pem) <(cat root.crl)
        "$1" cert check <(cat leaf.pem middle.pem) <(cat leaf.key) --trust <(cat root.pem) \\
            --crl <(cat root.crl middle.crl) --for client --name svc-b.internal
        "$1" cert convert <(cat leaf.pem) --to der -o out.der
        "$1" cert bundle <(cat leaf.pem middle.pem) --trust <(cat root.pem) -o full.pem
    """
    (folder / "middle.pem").write_bytes(MIDDLE.pem)
    (folder / "middle.crl").write_bytes(pki.crl(MIDDLE))
    done = subprocess.run(
        ["bash", "-c", script, "bash", COMMAND],
        cwd=folder, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == 0, said
    assert "revocation list, pem" in said
    assert "OK as client" in said
    assert (folder / "out.der").read_bytes() == LEAF.der
    assert (folder / "full.pem").read_bytes() == LEAF.pem + MIDDLE.pem


def test_a_revocation_list_in_a_pkcs7_is_shown_with_who_signed_it(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    made = openssl("crl2pkcs7", "-certfile", tmp_path / "root.pem", stdin=pki.crl(ROOT, [OTHER]))
    (tmp_path / "lists.p7b").write_bytes(made)
    certificate, crl = shown(tmp_path, "lists.p7b")["objects"]
    assert (certificate["kind"], crl["kind"]) == ("certificate", "revocation list")
    assert crl["signed_by"] == [certificate["sha256"]]
    text = handclasp("cert", "show", "lists.p7b", cwd=tmp_path).stdout
    assert "revoked    1 certificate\n" in text
    said = handclasp("cert", "convert", "lists.p7b", "--to", "p12", "-o", "x", cwd=tmp_path).stderr
    assert "1 certificate, 1 revocation list" in said


def test_the_way_out_is_told_in_the_options_of_the_command(folder: Path, tmp_path: Path) -> None:
    export = ("pkcs12", "-export", "-in", folder / "leaf.pem", "-inkey", folder / "leaf.key")
    (tmp_path / "in.p12").write_bytes(openssl(*export, "-passout", "pass:x"))
    (tmp_path / "locked.key").write_bytes((folder / "locked.key").read_bytes())
    (tmp_path / "locked.key").chmod(0o600)
    (tmp_path / "a directory").mkdir()
    for name, command, told in (
        ("in.p12", "show", "--password-file FILE"),
        ("in.p12", "convert", "--password-file FILE"),
        ("locked.key", "check", "--password-file FILE"),
        ("a directory", "show", "Give -r"),
        ("a directory", "check", "Name the files in it."),
        ("nothing", "show", "Correct the path."),
    ):
        options = ("--to", "pem") if command == "convert" else ()
        done = handclasp("cert", command, name, *options, cwd=tmp_path)
        assert done.returncode in (1, 2)
        (fix,) = [line for line in (done.stdout + done.stderr).splitlines() if "fix:" in line]
        assert told in fix, (name, command)


def test_a_password_that_a_command_tells_is_read_and_no_mode_of_a_device_is_to_be_changed(
    folder: Path,
) -> None:
    script = '"$1" cert show locked.key --password-file <(cat password)'
    done = subprocess.run(
        ["bash", "-c", script, "bash", COMMAND], cwd=folder, capture_output=True, timeout=20, check=True
    )  # fmt: skip
    assert b"key        EC secp256r1" in done.stdout
    said = handclasp("cert", "show", "locked.key", "--password-file", "/dev/null", cwd=folder)
    assert "chmod" not in said.stdout + said.stderr
