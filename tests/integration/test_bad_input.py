"""Specs, certificates and keys that are wrong: one clear error, the right exit code, nothing left."""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from tests import pki
from tests.integration.refusing import attempt, checked, nothing_in_effect
from tests.integration.running import SERVER_NAME, Material, ingress_spec, write_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
PASSWORD = "geheim"


@pytest.fixture
def stage(tmp_path: Path, free_port: Callable[[], int]) -> tuple[Material, dict[str, Any]]:
    """Material and a good spec, to be spoilt."""
    material = Material(tmp_path / "hop")
    spec = ingress_spec(material, f"127.0.0.1:{free_port()}", "http://127.0.0.1:9")
    return material, spec


def put(name: str, content: bytes | Callable[[Material], bytes], mode: int = 0o600) -> Any:
    """Spoils by replacing a file."""

    def spoil(material: Material, _: dict[str, Any]) -> None:
        path = material.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content(material))
        path.chmod(mode)

    return spoil


def server(**options: Any) -> Any:
    """Spoils by another server certificate."""

    def spoil(material: Material, _: dict[str, Any]) -> None:
        material.add("server-a", **{"sans": [SERVER_NAME], "usages": [pki.SERVER], **options})

    return spoil


def crl(make: Callable[[Material], bytes]) -> Any:
    """Spoils by a revocation list."""

    def spoil(material: Material, spec: dict[str, Any]) -> None:
        (material.folder / "ca.crl").write_bytes(make(material))
        spec["trust"]["company"]["crl"] = ["ca.crl"]

    return spoil


def password(**source: str) -> Any:
    """An encrypted key, with a password from `source`."""

    def spoil(material: Material, spec: dict[str, Any]) -> None:
        put("server-a.key", material.server.encrypted_key_pem(PASSWORD.encode()))(material, spec)
        (material.folder / "right").write_text(PASSWORD + "\n")
        (material.folder / "wrong").write_text("falsch\n")
        if source:
            spec["identities"]["server-a"]["password"] = source

    return spoil


def keystore(source: str | None) -> Any:
    """Everything in one PKCS#12 file."""

    def spoil(material: Material, spec: dict[str, Any]) -> None:
        pair = material.server
        store = pkcs12.serialize_key_and_certificates(
            b"a",
            pair.private_key,  # type: ignore[arg-type]
            pair.certificate,
            None,
            BestAvailableEncryption(PASSWORD.encode()),
        )
        password(**({"file": source} if source else {}))(material, spec)
        put("server-a.p12", store)(material, spec)
        entry = spec["identities"]["server-a"]
        entry["certificate"] = "server-a.p12"
        del entry["key"]

    return spoil


def gone(name: str) -> Any:
    def spoil(material: Material, _: dict[str, Any]) -> None:
        (material.folder / name).unlink()

    return spoil


def identity(**entry: Any) -> Any:
    def spoil(_: Material, spec: dict[str, Any]) -> None:
        spec["identities"]["server-a"].update(entry)

    return spoil


def huge(material: Material, _: dict[str, Any]) -> None:
    os.truncate(material.folder / "server-a.pem", 100 << 20)


def expired_ca(material: Material, _: dict[str, Any]) -> None:
    old = pki.authority("Test CA", not_before=pki.NOW - 9 * DAY, not_after=pki.NOW - DAY)
    (material.folder / "ca.pem").write_bytes(old.pem)


def _other_key(material: Material) -> bytes:
    return pki.leaf(material.ca, "another").key_pem


REFUSED: dict[str, tuple[Any, str, str, str]] = {
    # what is wrong: how it is made, the finding, the file it names, what the message says
    "a key that does not fit": (
        put("server-a.key", _other_key),
        "key-cert-mismatch",
        "server-a.key",
        "server-a.pem",
    ),
    "certificate and key swapped": (
        identity(certificate="server-a.key", key="server-a.pem"),
        "cert-key-swapped",
        "server-a.key",
        "Swap the two paths",
    ),
    "an encrypted key without password": (
        password(),
        "key-encrypted-no-passphrase",
        "server-a.key",
        "password: {file: PATH}",
    ),
    "a wrong password": (
        password(file="wrong"),
        "key-wrong-passphrase",
        "server-a.key",
        "does not open it",
    ),
    "a password file that is not there": (
        password(file="nowhere"),
        "key-encrypted-no-passphrase",
        "server-a.key",
        "nowhere cannot be read: No such file",
    ),
    "a password variable that is not set": (
        password(env="HANDCLASP_TEST_UNSET"),
        "key-encrypted-no-passphrase",
        "server-a.key",
        "environment variable HANDCLASP_TEST_UNSET (a secret) is not set",
    ),
    "a PKCS#12 file with a wrong password": (
        keystore("wrong"),
        "keystore-wrong-password",
        "server-a.p12",
        "does not open it",
    ),
    "a PKCS#12 file without password": (
        keystore(None),
        "keystore-wrong-password",
        "server-a.p12",
        "no password is given",
    ),
    "an expired certificate": (
        server(not_before=pki.NOW - 9 * DAY, not_after=pki.NOW - 2 * DAY),
        "cert-expired",
        "server-a.pem",
        "2 days ago",
    ),
    "a certificate of tomorrow": (
        server(not_before=pki.NOW + DAY, not_after=pki.NOW + 9 * DAY),
        "cert-not-yet-valid",
        "server-a.pem",
        "it is",
    ),
    "a client certificate for a server": (
        server(usages=[pki.CLIENT]),
        "wrong-eku-or-purpose",
        "server-a.pem",
        "for clientAuth, not for serverAuth",
    ),
    "a name that is not covered": (
        server(sans=["other.example.com"]),
        "name-not-covered",
        "server-a.pem",
        "it covers other.example.com",
    ),
    "a signing request": (
        put("server-a.pem", lambda material: pki.request(material.server)),
        "csr-given-as-cert",
        "server-a.pem",
        "BEGIN CERTIFICATE REQUEST",
    ),
    "an empty certificate": (
        put("server-a.pem", b""),
        "pem-empty-or-corrupt",
        "server-a.pem",
        "the file is empty",
    ),
    "an empty key": (
        put("server-a.key", b""),
        "pem-empty-or-corrupt",
        "server-a.key",
        "the file is empty",
    ),
    "noise": (
        put("server-a.pem", bytes(range(256)) * 9),
        "not-pem",
        "server-a.pem",
        "no certificate",
    ),
    "a file of 100 MB": (huge, "certificate-unreadable", "server-a.pem", "larger than 10 MiB"),
    "UTF-16": (
        put("server-a.pem", lambda material: material.server.pem.decode().encode("utf-16")),
        "not-pem",
        "server-a.pem",
        "UTF-16",
    ),
    "a directory": (identity(certificate="."), "path-is-directory", "", "a directory"),
    "no certificate there": (
        gone("server-a.pem"),
        "file-not-found",
        "server-a.pem",
        "no such file",
    ),
    "no key there": (gone("server-a.key"), "file-not-found", "server-a.key", "no such file"),
    "a file name too long": (
        identity(certificate="a" * 300),
        "file-not-found",
        "a" * 300,
        "no such file",
    ),
    "a key that all may read": (
        put("server-a.key", lambda material: material.server.key_pem, 0o644),
        "key-file-mode-too-wide",
        "server-a.key",
        "chmod 0600 ",
    ),
    "an empty CA bundle": (put("ca.pem", b""), "trust-bundle-empty", "ca.pem", "the file is empty"),
    "a leaf as CA": (
        put("ca.pem", lambda material: material.server.pem),
        "trust-contains-leaf",
        "ca.pem",
        "issued by 'CN=Test CA,O=Example Org'",
    ),
    "a key as CA": (
        put("ca.pem", lambda material: material.ca.key_pem),
        "trust-bundle-empty",
        "ca.pem",
        "holds no certificate",
    ),
    "an expired CA": (expired_ca, "cert-expired", "ca.pem", "the CA 'CN=Test CA,O=Example Org'"),
    "no CA there": (gone("ca.pem"), "file-not-found", "ca.pem", "no such file"),
    "an expired CRL": (
        crl(
            lambda material: pki.crl(
                material.ca, last_update=pki.NOW - 9 * DAY, next_update=pki.NOW - DAY
            )
        ),
        "crl-expired",
        "ca.crl",
        "CN=Test CA",
    ),
    "a damaged CRL": (
        crl(lambda _: b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"),
        "pem-empty-or-corrupt",
        "ca.crl",
        "damaged",
    ),
}


# `run` refuses what `check` does, by the same code: a process of its own for one of each kind.
BY_RUN = {
    "a key that does not fit",
    "a wrong password",
    "a PKCS#12 file without password",
    "a key that all may read",
    "a leaf as CA",
    "an expired CRL",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_will_not_work_is_refused_by_check_and_run_with_one_error(
    what: str, stage: tuple[Material, dict[str, Any]], nginx_builds: dict[str, Path]
) -> None:
    spoil, slug, file, told = REFUSED[what]
    material, spec = stage
    spoil(material, spec)
    path = write_spec(material.folder, "bad", spec)
    state = material.folder / "state"
    refusals = [(checked(path, state, nginx_builds["distribution"]), 1)]
    if what in BY_RUN:
        # A list may be replaced by somebody else: 3 has systemd try again.
        code = 3 if slug == "crl-expired" else 1
        refusals.append((attempt("run", path, state, nginx=nginx_builds["wheel"]), code))
    for refused, code in refusals:
        assert refused.code == code, refused.text
        (error,) = refused.errors
        assert error.endswith(f"[{slug}]")
        assert error.startswith(str(material.folder / file))
        assert told in refused.text
        assert "fix: " in refused.text
    assert not state.exists()


def test_a_crl_of_another_ca_is_refused_with_what_is_missing(
    stage: tuple[Material, dict[str, Any]],
) -> None:
    material, spec = stage
    crl(lambda one: pki.crl(one.other_ca))(material, spec)
    refused = checked(write_spec(material.folder, "bad", spec), material.folder / "state")
    assert refused.code == 1
    slugs = {error.rpartition("[")[2] for error in refused.errors}
    assert slugs == {"crl-for-other-ca]", "crl-missing-for-chain]"}


def der(material: Material, _: dict[str, Any]) -> None:
    (material.folder / "server-a.pem").write_bytes(material.server.der)


def pkcs7(material: Material, spec: dict[str, Any]) -> None:
    subprocess.run(
        ["openssl", "crl2pkcs7", "-nocrl", "-certfile", "server-a.pem", "-out", "server-a.p7b"],
        cwd=material.folder,
        check=True,
    )
    spec["identities"]["server-a"]["certificate"] = "server-a.p7b"


def windows(material: Material, _: dict[str, Any]) -> None:
    text = b"\xef\xbb\xbf" + material.server.pem.replace(b"\n", b"\r\n")
    (material.folder / "server-a.pem").write_bytes(text)


def allowed(material: Material, spec: dict[str, Any]) -> None:
    (material.folder / "server-a.key").chmod(0o644)
    spec["identities"]["server-a"]["allow_wide_key_mode"] = True


ACCEPTED = {
    "as it is": lambda *_: None,
    "DER": der,
    "PKCS#7": pkcs7,
    "CRLF and BOM": windows,
    "a password file with a newline": password(file="right"),
    "a password variable": password(env="HANDCLASP_TEST_SECRET"),
    "PKCS#12": keystore("right"),
    "a key that all may read, allowed": allowed,
}


@pytest.mark.parametrize("what", ACCEPTED)
def test_the_right_form_of_each_is_accepted(
    what: str,
    stage: tuple[Material, dict[str, Any]],
    nginx_builds: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    material, spec = stage
    ACCEPTED[what](material, spec)
    path = write_spec(material.folder, "good", spec)
    monkeypatch.setenv("HANDCLASP_TEST_SECRET", PASSWORD)
    done = checked(path, material.folder / "state", nginx_builds["distribution"])
    assert done.code == 0, done.text
    assert done.errors == []


SPECS = {
    # what it is: text, first error (place and words), exit code
    "a list": (b"- a\n- b\n", "s.yaml:1:1: error: the file holds a list", 2),
    "one word": (b"hello", "s.yaml:1:1: error: the file holds a single value", 2),
    "nothing": (b"", "s.yaml:1:1: error: the file is empty", 2),
    "noise": (b"\xdd\x00\xff", "s.yaml:1:1: error: the byte 0xDD is not UTF-8", 2),
    "UTF-16": ("name: x\n".encode("utf-16"), "UTF-16 or UTF-32", 2),
    "a byte order mark": (b"\xef\xbb\xbfname: x\n", "byte order mark", 2),
    "a tab": (b"egress:\n\t- a\n", "s.yaml:2:1: error: a tab stands", 2),
    "unclosed brackets": (b"a: [1,\nb: {", "s.yaml:3:1: error: the YAML cannot be read", 2),
    "a tag": (b"name: !!python/name:os.system x\n", "s.yaml:1:7: error: tags", 2),
    "a thousand levels": (b"[" * 1000, "nested deeper than 32 levels", 2),
    "a key twice": (b"name: a\nname: b\n", "s.yaml:2:1: error: the key 'name' stands", 2),
    "an unknown key": (
        b"egres: []\n",
        "s.yaml:1:1 (egres): error: unknown key 'egres', did you",
        2,
    ),
    "an upper case name": (b"name: My_Hop\n", "did you mean 'my-hop'?", 2),
    "no link": (b"name: a\n", "the spec has no link", 1),
}


@pytest.mark.parametrize("what", SPECS)
def test_a_spec_that_is_no_spec_is_told_by_line_and_column(what: str, tmp_path: Path) -> None:
    content, told, code = SPECS[what]
    (tmp_path / "s.yaml").write_bytes(content)
    refused = checked(tmp_path / "s.yaml", tmp_path / "state")
    assert refused.code == code
    (error,) = refused.errors
    assert told in error
    assert "fix: " in refused.text
    assert not (tmp_path / "state").exists()


def test_a_spec_that_is_missing_or_a_directory_is_told(tmp_path: Path) -> None:
    for name, told in (("nowhere.yaml", "does not exist"), ("folder", "a directory")):
        (tmp_path / "folder").mkdir(exist_ok=True)
        for command in ("check", "run"):
            refused = attempt(command, tmp_path / name, tmp_path / "state")
            assert refused.code == 2
            (error,) = refused.errors
            assert told in error


def test_names_and_addresses_used_twice_are_told_with_both_lines(
    stage: tuple[Material, dict[str, Any]],
) -> None:
    material, spec = stage
    (link,) = spec["ingress"]
    spec["ingress"] = [link, {**link, "listen": "127.0.0.1:1", "backend": "http://127.0.0.1:8"}]
    path = write_spec(material.folder, "bad", spec)
    refused = attempt("run", path, material.folder / "state")
    assert refused.code == 1
    (error,) = refused.errors
    assert "(ingress[1].name): error: the link name 'api' is used a second time; first in" in error

    spec["ingress"][1].update(name="other", listen=link["listen"].replace("127.0.0.1", "0.0.0.0"))
    spec["ingress"][1]["server_names"] = ["b.example.com"]
    refused = checked(write_spec(material.folder, "bad", spec), material.folder / "state")
    assert refused.code == 1
    assert "overlaps with" in refused.text
    assert nothing_in_effect(material.folder / "state")
