"""What `handclasp hsm` refuses or tidies before and after a token is asked: PINs, names, labels."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import pki
from tests.hsm.test_commands import pinned, slugs, tries_low
from tests.integration.running import COMMAND, handclasp
from tests.integration.softhsm import softhsm

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hsm.softhsm import SoftToken

pytestmark = pytest.mark.integration


# -- what is refused before the token sees it


@pytest.mark.parametrize(
    "command",
    [
        ("list", "--token", "dev"),
        ("check", "--key", "pkcs11:token=dev;object=k"),
        ("csr", "--key", "pkcs11:token=dev;object=k", "--subject", "CN=k"),
        ("keygen", "--key", "pkcs11:token=dev;object=new"),
    ],
    ids=["list", "check", "csr", "keygen"],
)
def test_what_is_no_pin_is_refused_and_the_token_counts_nothing(
    fresh: SoftToken, command: tuple[str, ...]
) -> None:
    fresh.keygen("k")
    for name, pin in (("empty", ""), ("lines", f"{fresh.pin}\nsecond\n"), ("long", "1" * 256)):
        path = fresh.folder / name
        path.write_text(pin)
        path.chmod(0o600)
        said = fresh.hsm(*command, "--pin-file", path, rc=2).stderr
        assert f"the PIN of file {path} " in said
        assert "it was not tried" in said
    assert tries_low(fresh) == {"dev": False}
    # The broken twin: a PIN that may be right is tried, and counted.
    path.write_text("12345678")
    fresh.hsm(*command, "--pin-file", path, rc=3 if command[0] in ("csr", "keygen") else 1)
    assert tries_low(fresh) == {"dev": True}


def test_a_pin_the_engine_would_cut_is_not_tried_where_the_engine_is_installed(
    fresh: SoftToken, tmp_path: Path
) -> None:
    (tmp_path / "pkcs11.so").write_text("")
    (tmp_path / "none").mkdir()
    path = fresh.folder / "long"
    path.write_text("1" * 40)
    path.chmod(0o600)
    asked = ("hsm", "list", "--token", "dev", "--pin-file", path)
    for engines, code, words in (
        (tmp_path, 2, "cuts it to 31: it was not tried"),
        (tmp_path / "none", 1, "refuses the PIN"),
    ):
        environment = {**fresh.environment, "OPENSSL_ENGINES": str(engines)}
        done = handclasp(*asked, cwd=fresh.folder, env=environment)
        assert done.returncode == code
        assert words in done.stdout + done.stderr
        assert tries_low(fresh) == {"dev": code == 1}


def test_init_says_that_a_pin_is_too_long_for_the_engine(place: Path, tmp_path: Path) -> None:
    softhsm()
    (tmp_path / "pkcs11.so").write_text("")
    for length, noted in ((31, False), (32, True)):
        path = tmp_path / f"pin-{length}"
        path.write_text("1" * length)
        path.chmod(0o600)
        made = ("hsm", "init", "--directory", place / f"length-{length}", "--pin-file", path)
        done = handclasp(*made, cwd=place, env={"OPENSSL_ENGINES": str(tmp_path)})
        assert done.returncode == 0, done.stderr
        assert ("longer than the 31 bytes" in done.stderr) is noted


def test_init_takes_no_pin_of_two_lines(place: Path, tmp_path: Path) -> None:
    softhsm()
    path = tmp_path / "pin"
    path.write_text("12345678\nsecond\n")
    path.chmod(0o600)
    for option in ("--pin-file", "--so-pin-file"):
        done = handclasp("hsm", "init", "--directory", place / "lines", option, path, cwd=place)
        assert (done.returncode, "more than one line" in done.stderr) == (2, True)
        assert not (place / "lines").exists()


def test_a_login_clears_the_count_and_nothing_is_said_of_it(fresh: SoftToken) -> None:
    wrong = fresh.folder / "wrong"
    wrong.write_text("00000000")
    wrong.chmod(0o600)
    fresh.hsm("list", "--pin-file", wrong, rc=1)
    assert "a wrong PIN was tried" in fresh.hsm("list").stdout
    document = json.loads(fresh.hsm("list", *pinned(fresh), "--format", "json").stdout)
    assert slugs(document) == []
    assert [one["pin_tries_low"] for one in document["tokens"]] == [False]
    fresh.hsm("list", "--pin-file", wrong, rc=1)
    made = fresh.hsm("keygen", "--key", fresh.uri("k"), *pinned(fresh))
    assert "pin-last-try" not in made.stderr


def test_a_label_that_would_steer_a_terminal_is_no_label(place: Path) -> None:
    softhsm()
    for label in ("two\nlines", "red\x1b[31m"):
        folder = place / "steering"
        done = handclasp("hsm", "init", "--directory", folder, "--label", label, cwd=place)
        assert done.returncode == 2
        assert "characters that can be printed" in done.stderr
        assert "\x1b" not in done.stderr
        assert not folder.exists()


def test_a_token_s_own_words_make_no_lines_and_steer_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from handclasp.cli.hsm.list import _print

    key = {"label": "k\nx\x1b", "id": "01", "type": "EC", "exposed": False}
    names = {"label": "a\nb\x1b[1m", "serial": "1\n", "manufacturer": "m", "model": "n"}
    _print({**names, "pin_locked": False, "pin_tries_low": False, "keys": [key]})
    said = capsys.readouterr().out
    assert "'a\\nb\\x1b[1m', serial 1\\n" in said
    assert "k\\nx\\x1b" in said
    assert len(said.splitlines()) == 3


def test_tokens_come_in_one_order(fresh: SoftToken) -> None:
    for label in ("b", "a", "zz", "c"):
        made = ("hsm", "init", "--directory", fresh.folder, "--label", label)
        assert handclasp(*made, cwd=fresh.folder).returncode == 0
    listed = json.loads(fresh.hsm("list", "--format", "json").stdout)["tokens"]
    assert [one["label"] for one in listed] == ["a", "b", "c", "dev", "zz"]


def test_a_module_that_cannot_be_loaded_is_the_machine_s_fault_in_a_list_too(
    token: SoftToken,
) -> None:
    path = token.folder / "no-library.so"
    path.write_text("not a library")
    assert "pkcs11-module-failed" in token.hsm("list", "--module", path, rc=3).stdout


@pytest.mark.parametrize(
    "names",
    [
        ("--dns", "bad name"),
        ("--dns", "under_score.internal"),
        ("--uri", "no uri"),
        ("--email", "nobody"),
        ("--ip", "10.0.0"),
    ],
)
def test_a_request_has_no_names_that_no_ca_would_issue(
    token: SoftToken, names: tuple[str, str]
) -> None:
    asked = ("csr", "--key", token.uri("ec"), *pinned(token), "--subject", "CN=b")
    done = token.hsm(*asked, *names, rc=2)
    assert "a name cannot be used" in done.stderr
    assert done.stdout == ""


def test_a_subject_that_is_none_is_told_with_how_one_is_written(token: SoftToken) -> None:
    asked = ("csr", "--key", token.uri("ec"), *pinned(token))
    said = token.hsm(*asked, "--subject", "nonsense", rc=2).stderr
    assert "is no distinguished name\n" in said
    assert "CN=svc-b" in said


def test_check_reads_pipes_and_names_none_to_nginx(
    token: SoftToken, nginx_builds: dict[str, Path]
) -> None:
    own_ca = pki.authority()
    other = pki.leaf(own_ca)
    other.write(token.folder, "piped")
    asked = f"{COMMAND} hsm check --key '{token.uri('ec')}' --nginx {nginx_builds['distribution']}"
    done = subprocess.run(
        ["bash", "-c", f"{asked} --pin-file <(cat pin) --certificate <(cat piped.pem)"],
        cwd=token.folder,
        env={**os.environ, **token.environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "key-cert-mismatch" in done.stdout, "the certificate was read"
    assert "ok  signature" in done.stdout, "and so was the PIN"
    assert "pin-source=file:/dev" not in done.stdout
    if "pin-source" in done.stdout:
        assert "pin-source=file:/PATH/TO/PIN" in done.stdout


def test_list_asks_for_the_pin_of_the_token_named_where_somebody_can_answer(
    token: SoftToken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from handclasp.certs.secret import Secret
    from handclasp.cli.main import _run

    asked = []

    def answer(prompt: str, **_: object) -> Secret[bytes]:
        asked.append(prompt)
        return Secret(token.pin.encode())

    monkeypatch.setattr("handclasp.cli.hsm.options.asked_secret", answer)
    for name, value in token.environment.items():
        monkeypatch.setenv(name, value)
    assert _run(["hsm", "list", "--token", "dev"]) == 0
    assert asked == ["PIN of token 'dev'"]
    assert "EC secp256r1" in capsys.readouterr().out
    assert _run(["hsm", "list"]) == 0
    assert len(asked) == 1, "a list without a login needs no PIN"
