"""`handclasp hsm`, the installed command, with a real SoftHSM."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests import pki
from tests.cli.test_documents import validate
from tests.conftest import absent
from tests.integration.running import COMMAND, handclasp
from tests.integration.softhsm import softhsm
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from tests.hsm.softhsm import SoftToken

pytestmark = pytest.mark.integration


def pinned(token: SoftToken) -> tuple[str, str]:
    return "--pin-file", str(token.pin_file)


def slugs(document: dict[str, Any]) -> list[str]:
    return [finding["slug"] for finding in document["findings"]]


# -- init


def test_init_makes_a_token_whose_files_are_its_owners_alone(token: SoftToken) -> None:
    for path in (token.folder / "softhsm2.conf", token.pin_file, token.folder / "so-pin"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((token.folder / "tokens").stat().st_mode) == 0o700
    assert token.pin.isdecimal()
    assert len(token.pin) == 8


def test_init_prints_the_variables_that_find_the_token(place: Path) -> None:
    softhsm()
    folder = place / "printed"
    done = handclasp("hsm", "init", "--directory", folder, "--label", "a b", cwd=place)
    lines = dict(line.removeprefix("export ").split("=", 1) for line in done.stdout.splitlines())
    listed = handclasp("hsm", "list", "--format", "json", cwd=place, env=lines)
    assert [one["label"] for one in json.loads(listed.stdout)["tokens"]] == ["a b"]


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_init_leaves_a_token_that_is_there_alone(token: SoftToken) -> None:
    before = files_of(token.folder)
    done = handclasp("hsm", "init", "--directory", token.folder, "--label", "dev", cwd=token.folder)
    assert done.returncode == 2
    assert "has a token 'dev' already" in done.stderr
    assert before == files_of(token.folder)


def test_init_adds_a_second_token_and_does_not_touch_the_first(fresh: SoftToken) -> None:
    fresh.keygen("k")
    before = files_of(fresh.folder)
    label = "other one/2"
    done = handclasp("hsm", "init", "--directory", fresh.folder, "--label", label, cwd=fresh.folder)
    assert done.returncode == 0, done.stderr
    after = files_of(fresh.folder)
    assert {path: after[path] for path in before} == before
    second = fresh.folder / "pin-other%20one%2F2"
    assert stat.S_IMODE(second.stat().st_mode) == 0o600
    made = fresh.hsm(
        *("keygen", "--key", "pkcs11:token=other%20one%2F2;object=k", "--pin-file", second)
    )
    assert "token=other%20one%2F2" in made.stdout
    check(fresh, "--key", fresh.uri("k"), *pinned(fresh))
    again = handclasp(
        "hsm", "init", "--directory", fresh.folder, "--label", label, cwd=fresh.folder
    )
    assert again.returncode == 2
    assert "already" in again.stderr


def test_what_init_prints_is_right_for_a_shell_whatever_the_directory(place: Path) -> None:
    softhsm()
    folder = place / "with 'odd $characters;"
    done = handclasp("hsm", "init", "--directory", folder, cwd=place)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(
        ["/bin/sh", "-c", f'{done.stdout}\nprintf %s "$SOFTHSM2_CONF"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == str(folder / "softhsm2.conf")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", "x" * 33), "1 to 32 bytes"),
        (("--pin-file", "short"), "takes 4 to 255"),
        (("--module", "/bin/sh"), "is not SoftHSM's module"),
        (("--module", "/no/module.so"), "there is no PKCS#11 module"),
        (("--directory", "a#b"), "neither `#` nor"),
        (("--module", "/no\n/module.so"), "cannot be printed"),
    ],
)
def test_init_refuses_what_no_token_can_have(
    place: Path, options: tuple[str, str], words: str
) -> None:
    softhsm()
    (place / "short").write_text("12\n")
    (place / "short").chmod(0o600)
    folder = place / f"not-{len(words)}"
    done = handclasp("hsm", "init", "--directory", folder, *options, cwd=place)
    assert done.returncode in (2, 3)
    assert words in done.stderr
    assert not folder.exists()
    assert not (place / "a#b").exists()


# -- keygen and list


def test_keys_are_made_in_the_token_and_cannot_leave_it(token: SoftToken) -> None:
    (listed,) = json.loads(token.hsm("list", *pinned(token), "--format", "json").stdout)["tokens"]
    kinds = {key["label"]: (key["type"], key["exposed"]) for key in listed["keys"]}
    assert kinds["ec"] == ("EC secp256r1", False)
    assert kinds["rsa"] == ("RSA 2048", False)


def test_every_kind_of_key_is_made(fresh: SoftToken) -> None:
    for kind, told in (("p384", "EC secp384r1"), ("rsa3072", "RSA 3072")):
        uri = fresh.keygen(kind, kind)
        assert f"object={kind};id=%" in uri
        listed = fresh.hsm("list", *pinned(fresh)).stdout
        assert told in listed


def test_a_label_that_is_taken_is_refused(token: SoftToken) -> None:
    done = token.hsm("keygen", "--key", token.uri("ec"), *pinned(token), rc=2)
    assert "pkcs11-label-not-unique" in done.stderr


def test_list_without_the_pin_says_that_it_does_not_see_private_keys(token: SoftToken) -> None:
    said = token.hsm("list").stdout
    assert "private ones show with --pin-file only" in said
    document = validate("hsm list", token.hsm("list", "--format", "json").stdout)
    assert document["logged_in"] is False
    assert document["tokens"][0]["keys"] == []


def tries_low(token: SoftToken) -> dict[str, bool]:
    """By label, whether a wrong PIN was tried since the last login."""
    listed = json.loads(token.hsm("list", "--format", "json").stdout)["tokens"]
    return {one["label"]: one["pin_tries_low"] for one in listed}


def test_list_tries_the_pin_on_no_token_but_the_one_it_is_for(fresh: SoftToken) -> None:
    fresh.keygen("k")
    handclasp("hsm", "init", "--directory", fresh.folder, "--label", "two", cwd=fresh.folder)
    said = fresh.hsm("list", *pinned(fresh))
    assert "the PIN was not tried, for there are 2 tokens" in said.stderr
    assert "EC secp256r1" not in said.stdout
    named = fresh.hsm("list", "--token", "dev", *pinned(fresh), "--format", "json")
    document = validate("hsm list", named.stdout)
    logged_in = {one["label"]: one["logged_in"] for one in document["tokens"]}
    assert logged_in == {"dev": True, "two": False}
    assert tries_low(fresh) == {"dev": False, "two": False}
    # The broken twin: said to be for the other one, it is tried there, and counted.
    wrong = fresh.hsm("list", "--token", "two", *pinned(fresh), rc=1)
    assert "token 'two' refuses the PIN" in wrong.stdout
    assert tries_low(fresh) == {"dev": False, "two": True}


def test_list_says_when_the_token_named_is_not_there(token: SoftToken) -> None:
    said = token.hsm("list", "--token", "gone", *pinned(token), rc=3)
    assert "there is no token 'gone'; there is 'dev'" in said.stdout
    assert "Give --pin-file" in token.hsm("list", "--token", "dev", rc=2).stderr


# -- csr


@needs_openssl
@pytest.mark.parametrize("label", ["ec", "rsa"])
def test_a_signing_request_is_signed_by_the_key_of_the_token(token: SoftToken, label: str) -> None:
    path = token.folder / f"{label}.csr"
    names = ("--dns", "b.internal", "--ip", "10.0.0.1", "--uri", "spiffe://example.org/b")
    token.hsm(
        *("csr", "--key", token.uri(label), *pinned(token), "--subject", "CN=b,O=Example"),
        *(*names, "-o", path),
    )
    done = subprocess.run(
        ["openssl", "req", "-in", path, "-noout", "-verify", "-subject", "-nameopt", "RFC2253"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "subject=CN=b,O=Example" in done.stdout.splitlines()
    # Of the signature OpenSSL 3.5 speaks on standard output, older ones on standard error.
    assert "verify OK" in done.stdout + done.stderr
    request = x509.load_pem_x509_csr(path.read_bytes())
    assert request.is_signature_valid
    assert len(request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value) == 3
    again = token.hsm(
        *("csr", "--key", token.uri(label), *pinned(token), "--subject", "CN=b", "-o", path), rc=2
    )
    assert "exists already" in again.stderr


def test_a_request_that_names_nobody_or_nonsense_is_refused(token: SoftToken) -> None:
    asked = ("csr", "--key", token.uri("ec"), *pinned(token))
    assert "name nobody" in token.hsm(*asked, rc=2).stderr
    assert "no distinguished name" in token.hsm(*asked, "--subject", "nonsense", rc=2).stderr
    assert "cannot be used" in token.hsm(*asked, "--ip", "10.0.0", rc=2).stderr


# -- check


def steps(document: dict[str, Any]) -> list[str]:
    return [step["step"] for step in document["steps"]]


def pairs(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["step"], step["seen"]) for step in document["steps"]]


def check(token: SoftToken, *arguments: str | Path, rc: int = 0) -> dict[str, Any]:
    done = token.hsm("check", *arguments, "--format", "json", rc=rc)
    document: dict[str, Any] = validate("hsm check", done.stdout)
    assert document["ok"] is (rc == 0)
    return document


@pytest.mark.parametrize("label", ["ec", "rsa"])
def test_check_proves_each_step_and_a_forked_process_too(
    token: SoftToken, label: str, nginx_builds: dict[str, Path]
) -> None:
    document = check(
        *(token, "--key", token.uri(label), *pinned(token)),
        *("--nginx", nginx_builds["distribution"]),
    )
    assert steps(document)[:6] == ["module", "token", "pin", "key", "signature", "worker"]
    if "engine" in dict(pairs(document))["nginx"]:
        assert "the signature verifies" in dict(pairs(document))["openssl"]


def test_openssl_that_cannot_sign_is_a_finding(
    token: SoftToken, tmp_path: Path, nginx_builds: dict[str, Path]
) -> None:
    """An engine that is there, but is none."""
    (tmp_path / "pkcs11.so").write_text("not a library")
    done = handclasp(
        *("hsm", "check", "--key", token.uri("ec"), *pinned(token), "--format", "json"),
        *("--nginx", nginx_builds["distribution"]),
        cwd=tmp_path,
        env={**token.environment, "OPENSSL_ENGINES": str(tmp_path), "OPENSSL_MODULES": "/none"},
    )
    assert done.returncode == 1, done.stderr
    assert slugs(json.loads(done.stdout)) == ["pkcs11-signing-failed"]


def certificate_for(token: SoftToken, label: str) -> Path:
    """Issued for a key of the token."""
    request, path = token.folder / f"{label}.req", token.folder / f"{label}.pem"
    if not path.exists():
        token.hsm(
            *("csr", "--key", token.uri(label), *pinned(token), "--subject", f"CN={label}"),
            *("-o", request),
        )
        key = x509.load_pem_x509_csr(request.read_bytes()).public_key()
        path.write_bytes(pki.certificate_for(key, label))
    return path


def test_check_tells_whether_the_certificate_is_of_the_key(token: SoftToken) -> None:
    good = certificate_for(token, "ec")
    asked = ("--key", token.uri("ec"), *pinned(token), "--certificate")
    assert "certificate" in steps(check(token, *asked, good))
    other = check(token, *asked, certificate_for(token, "rsa"), rc=1)
    assert slugs(other) == ["key-cert-mismatch"]
    none = check(token, *asked, token.folder / "gone.pem", rc=1)
    assert slugs(none) == ["file-not-found"]


@pytest.mark.parametrize(
    ("uri", "slug", "seen"),
    [
        ("pkcs11:token=other;object=ec", "pkcs11-token-absent", "'dev'"),
        ("pkcs11:token=dev;object=gone", "pkcs11-object-not-found", "'ec'"),
        ("pkcs11:token=dev;serial=0;object=ec", "pkcs11-token-absent", "serial"),
        ("pkcs11:token=dev;id=%00", "pkcs11-object-not-found", "with id 00"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    token: SoftToken, uri: str, slug: str, seen: str
) -> None:
    document = check(token, "--key", uri, *pinned(token), rc=1)
    assert slugs(document) == [slug]
    assert seen in document["findings"][0]["seen"]


def test_a_wrong_pin_is_said_and_no_pin_explains_that_keys_are_hidden(fresh: SoftToken) -> None:
    fresh.keygen("k")
    wrong = fresh.folder / "wrong"
    wrong.write_text("00000000\n")
    wrong.chmod(0o600)
    assert slugs(check(fresh, "--key", fresh.uri("k"), "--pin-file", wrong, rc=1)) == ["pin-wrong"]
    # The token remembers the wrong one until the next right one.
    hidden = check(fresh, "--key", fresh.uri("k"), rc=1)
    assert slugs(hidden) == ["pkcs11-object-not-found", "pin-last-try"]
    assert "no PIN is given" in hidden["findings"][0]["seen"]
    # The right one clears the count: there is nothing to warn of any more.
    assert slugs(check(fresh, "--key", fresh.uri("k"), *pinned(fresh))) == []
    assert tries_low(fresh) == {"dev": False}


def test_two_keys_of_one_label_are_told_apart_by_id_only(fresh: SoftToken) -> None:
    first = fresh.keygen("twin")
    # As another program does it, which does not mind the label.
    subprocess.run(
        [
            *("pkcs11-tool", "--module", str(fresh.module), "--token-label", "dev", "--login"),
            *("--pin", fresh.pin, "--keypairgen", "--key-type", "EC:prime256v1"),
            *("--label", "twin", "--id", "0102"),
        ],
        env={**os.environ, **fresh.environment},
        capture_output=True,
        timeout=30,
        check=True,
    )
    both = check(fresh, "--key", fresh.uri("twin"), *pinned(fresh), rc=1)
    assert slugs(both) == ["pkcs11-label-not-unique"]
    assert "id 0102" in both["findings"][0]["seen"]
    check(fresh, "--key", first, *pinned(fresh))
    check(fresh, "--key", "pkcs11:token=dev;object=twin;id=%01%02", *pinned(fresh))


def test_a_key_that_may_leave_the_token_is_warned_of(fresh: SoftToken) -> None:
    pair = fresh.folder / "loose.der"
    pair.write_bytes(openssl("genpkey", "-algorithm", "RSA", "-outform", "DER"))
    subprocess.run(
        [
            *("pkcs11-tool", "--module", str(fresh.module), "--token-label", "dev", "--login"),
            *("--pin", fresh.pin, "--write-object", str(pair), "--type", "privkey"),
            *("--label", "loose", "--id", "07", "--extractable"),
        ],
        env={**os.environ, **fresh.environment},
        capture_output=True,
        timeout=30,
        check=True,
    )
    document = check(fresh, "--key", fresh.uri("loose"), *pinned(fresh))
    assert "pkcs11-key-exposed" in slugs(document)


def test_the_public_key_is_that_of_the_certificate_where_the_token_has_no_other(
    fresh: SoftToken,
) -> None:
    pem, pair, der = (fresh.folder / name for name in ("k.pem", "k.der", "cert.der"))
    pem.write_bytes(openssl("ecparam", "-genkey", "-noout", "-name", "prime256v1"))
    pair.write_bytes(openssl("ec", "-in", pem, "-outform", "DER"))
    der.write_bytes(openssl("req", "-x509", "-key", pem, "-subj", "/CN=k", "-outform", "DER"))
    for path, kind in ((pair, "privkey"), (der, "cert")):
        if kind == "cert":
            alone = check(fresh, "--key", fresh.uri("k"), *pinned(fresh), rc=1)
            assert slugs(alone) == ["pkcs11-object-not-found"]
        subprocess.run(
            [
                *("pkcs11-tool", "--module", str(fresh.module), "--token-label", "dev", "--login"),
                *("--pin", fresh.pin, "--write-object", str(path), "--type", kind),
                *("--label", "k", "--id", "07"),
            ],
            env={**os.environ, **fresh.environment},
            capture_output=True,
            timeout=30,
            check=True,
        )
    document = check(
        fresh, "--key", fresh.uri("k"), *pinned(fresh), "--certificate", fresh.folder / "cert.der"
    )
    assert "certificate" in steps(document)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root signs under another account")
def test_an_account_that_may_not_use_the_token_is_found_out(fresh: SoftToken) -> None:
    fresh.keygen("k")
    asked = ("--key", fresh.uri("k"), *pinned(fresh), "--user", "nobody")
    assert slugs(check(fresh, *asked, rc=1)) == ["pkcs11-worker-locked-out"]
    fresh.folder.parent.chmod(0o755)
    fresh.give_to(65534, 65534)
    document = check(fresh, *asked)
    assert {"step": "worker", "seen": "a forked process signs as nobody"} in document["steps"]


# -- modules


@pytest.fixture(scope="module")
def compiled(place: Path) -> dict[str, Path]:
    """Libraries that are no PKCS#11 modules, or bad ones."""
    sources = {
        "none": "int nothing(void) { return 0; }",
        "crashes": "void abort(void); long C_GetFunctionList(void **l) { abort(); return 0; }",
        "hangs": "int pause(void); long C_GetFunctionList(void **l) { for (;;) pause(); }",
    }
    if shutil.which("cc") is None:
        absent("a C compiler (apt install gcc)")
    built = {}
    for name, text in sources.items():
        source, library = place / f"{name}.c", place / f"{name}.so"
        source.write_text(text)
        # Without the C library's development files: its functions are there when it is loaded.
        subprocess.run(
            ["cc", "-shared", "-nostdlib", "-fPIC", "-o", library, source],
            capture_output=True,
            check=True,
        )
        built[name] = library
    return built


@pytest.mark.parametrize("name", ["none", "crashes"])
def test_a_bad_module_is_a_finding_and_no_crash(
    token: SoftToken, compiled: dict[str, Path], name: str
) -> None:
    asked = ("--key", token.uri("ec"), *pinned(token), "--module", compiled[name])
    document = check(token, *asked, rc=1)
    assert slugs(document) == ["pkcs11-module-failed"]
    if name == "crashes":
        assert "SIGABRT" in document["findings"][0]["seen"]


def test_a_signing_request_survives_a_module_that_crashes(
    token: SoftToken, compiled: dict[str, Path]
) -> None:
    asked = ("csr", "--key", token.uri("ec"), *pinned(token), "--subject", "CN=b")
    done = token.hsm(*asked, "--module", compiled["crashes"], rc=3)
    assert "SIGABRT" in done.stderr


def test_a_module_that_hangs_is_given_up(token: SoftToken, compiled: dict[str, Path]) -> None:
    from handclasp.hsm.isolated import ask
    from handclasp.spec.pkcs11_uri import parse_pkcs11_uri

    uri = parse_pkcs11_uri(token.uri("ec"))
    answer = ask("prove", module=compiled["hangs"], uri=uri, patience=1.5)
    assert [finding.slug for finding in answer.findings] == ["pkcs11-module-failed"]
    assert "does not answer within 1.5 s" in answer.findings[0].seen
    assert "while loading" in answer.findings[0].seen


def test_a_text_file_is_no_module(token: SoftToken) -> None:
    path = token.folder / "text.so"
    path.write_text("not a library")
    document = check(token, "--key", token.uri("ec"), *pinned(token), "--module", path, rc=1)
    assert slugs(document) == ["pkcs11-module-failed"]


# -- secrets


def test_no_pin_shows_in_arguments_environments_or_output(token: SoftToken) -> None:
    """While the command runs, /proc is read as any user of the machine could."""
    pin = token.pin.encode()
    command = [str(COMMAND), "hsm", "check", "--key", token.uri("ec"), *pinned(token)]
    with subprocess.Popen(
        command,
        env={**os.environ, **token.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        looked = 0
        while process.poll() is None:
            for entry in Path("/proc").iterdir():
                if entry.name.isdecimal() and int(entry.name) >= process.pid:
                    for name in ("cmdline", "environ"):
                        try:
                            data = (entry / name).read_bytes()
                        except OSError:
                            continue
                        assert pin not in data
                        looked += 1
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0, output
    assert looked > 10
    assert pin not in output


def test_a_pin_in_the_uri_is_refused(token: SoftToken) -> None:
    done = token.hsm("check", "--key", f"{token.uri('ec')}?pin-value={token.pin}", rc=2)
    assert "a PIN is not given in the URI" in done.stderr


def test_nothing_is_imported_from_the_working_directory(token: SoftToken, tmp_path: Path) -> None:
    (tmp_path / "pkcs11.py").write_text("raise SystemExit('imported from the directory')")
    (tmp_path / "handclasp.py").write_text("raise SystemExit('imported from the directory')")
    done = handclasp("hsm", "list", *pinned(token), cwd=tmp_path, env=token.environment)
    assert done.returncode == 0, done.stderr
    assert "EC secp256r1" in done.stdout
