"""A CA whose keys are in a token: SoftHSM's, through the installed command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.conftest import absent
from tests.integration.running import handclasp
from tests.openssl import needs_openssl, openssl

pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")

PIN = "135791"
MODULES = (Path("/usr/lib/softhsm/libsofthsm2.so"), Path("/usr/lib64/pkcs11/libsofthsm2.so"))
GENERATE = """
import sys, pkcs11
from pkcs11.util.ec import encode_named_curve_parameters
token = pkcs11.lib(sys.argv[1]).get_token(token_label="ca")
private = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
with token.open(user_pin=sys.argv[2], rw=True) as session:
    parameters = session.create_domain_parameters(
        pkcs11.KeyType.EC,
        {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
        local=True,
    )
    parameters.generate_keypair(store=True, label="issuing", id=b"1", private_template=private)
    session.generate_keypair(
        pkcs11.KeyType.RSA, 2048, store=True, label="root", id=b"2", private_template=private
    )
"""


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the PIN's file, and the environment in which SoftHSM finds the token."""
    module = next((path for path in MODULES if path.exists()), None)
    if module is None or shutil.which("softhsm2-util") is None:
        absent("SoftHSM (apt install softhsm2)")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {folder / 'tokens'}\nobjectstore.backend = file\n"
    )
    (folder / "pin").write_text(PIN)
    (folder / "pin").chmod(0o600)
    (folder / "wrong-pin").write_text("97531")
    (folder / "two-lines").write_text(f"{PIN}\nsecond\n")
    environment = {"SOFTHSM2_CONF": str(configuration), "PKCS11_MODULE_PATH": str(module)}
    make = ("--init-token", "--free", "--label", "ca", "--pin", PIN, "--so-pin", "12345678")
    for command in (
        ["softhsm2-util", *make],
        [sys.executable, "-c", GENERATE, str(module), PIN],
    ):
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
    return folder, environment


@needs_openssl
def test_keys_in_a_token_sign_certificates_and_lists(
    token: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, environment = token
    pin = ("--pin-file", folder / "pin")

    def run(*arguments: str | Path) -> str:
        done = handclasp("ca", *arguments, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        assert PIN not in done.stdout + done.stderr
        return done.stderr

    keys = (
        "--root-key",
        "pkcs11:token=ca;object=root",
        "--issuer-key",
        "pkcs11:token=ca;object=issuing",
    )
    run("init", "--name", "Example Org", *keys, *pin)
    run("issue", "a.example", "--use", "server", *pin)
    run("renew", "a.example.pem", "--force", *pin)
    run("crl", *pin)
    made = tmp_path / "ca"
    assert not list(made.glob("*.key"))
    assert PIN.encode() not in b"".join(path.read_bytes() for path in made.iterdir())
    root = x509.load_pem_x509_certificate((made / "root.pem").read_bytes())
    issuing = x509.load_pem_x509_certificate((made / "issuing.pem").read_bytes())
    assert isinstance(root.public_key(), rsa.RSAPublicKey)
    assert isinstance(issuing.public_key(), ec.EllipticCurvePublicKey)
    verify = ("verify", "-x509_strict", "-crl_check_all", "-CRLfile", made / "crl.pem", "-CAfile")
    leaf = tmp_path / "a.example.pem"
    assert b": OK" in openssl(*verify, made / "root.pem", "-untrusted", leaf, leaf)


def test_a_key_that_is_not_there_and_a_wrong_pin_are_told(
    token: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, environment = token
    pin = ("--pin-file", folder / "pin")
    init = ("ca", "init", "--name", "X", "--no-password", "--issuer-key")
    for key, code, said in (
        ("pkcs11:token=ca;object=nobody", 3, "pkcs11-object-not-found"),
        ("pkcs11:nonsense", 2, "no PKCS#11 URI"),
    ):
        done = handclasp(*init, key, *pin, cwd=tmp_path, env=environment)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
        assert not (tmp_path / "ca").exists()
    key = "pkcs11:token=ca;object=issuing"
    assert handclasp(*init, key, *pin, cwd=tmp_path, env=environment).returncode == 0
    wrong = ("--pin-file", folder / "wrong-pin")
    done = handclasp("ca", "issue", "a.example", *wrong, cwd=tmp_path, env=environment)
    assert "[pin-wrong]" in done.stderr
    assert "97531" not in done.stderr
    assert not list(tmp_path.glob("a.example*"))
    lines = ("--pin-file", folder / "two-lines")
    done = handclasp("ca", "issue", "a.example", *lines, cwd=tmp_path, env=environment)
    assert (done.returncode, "more than one line: it was not tried" in done.stderr) == (2, True)


def test_an_unplugged_roots_list_serves_on_and_a_wrong_pin_is_no_absence(
    token: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, environment = token
    key = ("--root-key", "pkcs11:token=ca;object=root")
    pw = tmp_path / "pw"
    pw.write_text("secret\n")
    pw.chmod(0o600)

    def run(*arguments: str | Path, **changed: str) -> tuple[int, str]:
        whole = ("ca", *arguments, "--password-file", pw)
        done = handclasp(*whole, cwd=tmp_path, env={**environment, **changed})
        return done.returncode, done.stderr

    pin, wrong = folder / "pin", folder / "wrong-pin"
    assert run("init", "--name", "X", *key, "--pin-file", pin)[0] == 0
    code, said = run("crl", "--pin-file", wrong, "--root-pin-file", pin)
    assert code == 0, said
    (tmp_path / "none").mkdir()
    empty = tmp_path / "none.conf"
    empty.write_text(f"directories.tokendir = {tmp_path / 'none'}\nobjectstore.backend = file\n")
    code, said = run("crl", "--root-pin-file", pin, SOFTHSM2_CONF=str(empty))
    assert (code, "serves until" in said) == (0, True), said
    code, said = run("crl", "--root-pin-file", wrong)
    assert "[pin-wrong]" in said
    code, said = run("crl", "--root-pin-file", pin, "--root-next-update", "9d")
    assert code == 0, said
    crl = x509.load_der_x509_crl((tmp_path / "ca/issuing.crl").read_bytes())
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    assert number == 3, "the wrong PIN took a number"
