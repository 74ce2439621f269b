"""`handclasp ca revoke` and its kin: which certificate of a file is meant, and that a CA is never meant by
mistake."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handclasp.cli.main import _run
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable

Said = tuple[int, str, str]
REASON = ("--reason", "superseded")


@pytest.fixture
def ca(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """`handclasp ca …` with a CA, and the leaves a.internal and b.internal."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Said:
        code = _run(["ca", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    assert call("init", "--name", "Example Org", "--no-password")[0] == 0
    for name in ("a.internal", "b.internal"):
        assert call("issue", name)[0] == 0
    return call


def _revoked(ca: Callable[..., Said]) -> list[str]:
    listed = json.loads(ca("list", "--revoked", "--format", "json")[1])
    return [one["name"] for one in listed["certificates"]]


def _join(path: str, *parts: str) -> str:
    Path(path).write_bytes(b"".join(Path(one).read_bytes() for one in parts))
    return path


def _leaf_alone(path: str, name: str) -> str:
    whole = Path(f"{name}.pem").read_text()
    end = whole.index("-----END CERTIFICATE-----\n") + len("-----END CERTIFICATE-----\n")
    Path(path).write_text(whole[:end])
    return path


def _pipe(content: str) -> str:
    """A pipe with the file's bytes, as the shell's <(cat FILE) is one."""
    name = f"pipe-{len(list(Path().glob('pipe-*')))}"
    os.mkfifo(name)
    data = Path(content).read_bytes()
    threading.Thread(target=lambda: Path(name).write_bytes(data), daemon=True).start()
    return name


@pytest.mark.parametrize(
    "parts",
    [
        ("ca/issuing.pem", "leaf"),
        ("ca/root.pem", "ca/issuing.pem", "leaf"),
        ("leaf", "ca/issuing.pem", "ca/root.pem", "leaf"),
    ],
    ids=["intermediate first", "root first", "twice"],
)
def test_of_a_chain_in_any_order_the_leaf_is_revoked(
    ca: Callable[..., Said], parts: tuple[str, ...]
) -> None:
    _leaf_alone("leaf", "a.internal")
    code, _, err = ca("revoke", _join("chain.pem", *parts), *REASON)
    assert (code, "(a.internal)" in err) == (0, True), err
    assert _revoked(ca) == ["a.internal"]


def test_a_file_with_several_leaves_or_none_revokes_nothing(ca: Callable[..., Said]) -> None:
    code, _, err = ca("revoke", _join("two.pem", "a.internal.pem", "b.internal.pem"), *REASON)
    assert (code, "holds 2 certificates that ca issued" in err) == (2, True)
    code, _, err = ca("revoke", _join("cas.pem", "ca/issuing.pem", "ca/root.pem"), *REASON)
    assert (code, "none is a leaf that ca issued" in err) == (2, True)
    assert ca("revoke", "cas.pem", *REASON, "--issuing-ca")[0] == 2
    pki.leaf(pki.authority()).write(Path(), "stranger")
    code, _, err = ca("revoke", _join("odd.pem", "ca/issuing.pem", "stranger.pem"), *REASON)
    assert (code, "none is a leaf that ca issued" in err) == (2, True)
    assert _revoked(ca) == []


@pytest.mark.parametrize("how", ["file", "role", "serial"])
def test_the_issuing_ca_is_revoked_by_an_explicit_word_only(
    ca: Callable[..., Said], how: str
) -> None:
    serial = x509.load_pem_x509_certificate(Path("ca/issuing.pem").read_bytes()).serial_number
    which = {"file": "ca/issuing.pem", "role": "issuing", "serial": f"{serial:x}"}[how]
    code, out, err = ca("revoke", which, *REASON)
    assert (code, out) == (2, "")
    assert "is the issuing CA: everything it issued" in err
    assert "--issuing-ca" in err
    assert _revoked(ca) == []
    code, _, err = ca("revoke", which, *REASON, "--issuing-ca")
    assert (code, "(the issuing CA)" in err) == (0, True)
    assert _revoked(ca) == ["issuing"]


def test_the_word_for_the_issuing_ca_revokes_no_leaf(ca: Callable[..., Said]) -> None:
    code, _, err = ca("revoke", "a.internal", *REASON, "--issuing-ca")
    assert (code, "is a leaf" in err) == (2, True)
    assert ca("revoke", "root", *REASON, "--issuing-ca")[0] == 2
    assert _revoked(ca) == []


def test_a_chain_in_any_order_is_renewed_in_its_place(ca: Callable[..., Said]) -> None:
    _leaf_alone("leaf", "a.internal")
    _join("chain.pem", "ca/issuing.pem", "leaf")
    code, out, err = ca("renew", "chain.pem", "--force")
    assert (code, out) == (0, "chain.pem\n"), err
    first, second = x509.load_pem_x509_certificates(Path("chain.pem").read_bytes())
    assert (first.issuer, "a.internal" in str(first.subject)) == (second.subject, True)


# -- pipes


def test_pipes_are_read_where_a_file_is_named(ca: Callable[..., Said]) -> None:
    code, _, err = ca("revoke", _pipe("a.internal.pem"), *REASON)
    assert (code, "(a.internal)" in err) == (0, True), err
    code, out, err = ca("renew", _pipe("b.internal.pem"), "-o", "new")
    assert (code, out) == (0, "new/b.internal.pem\n"), err


@pytest.mark.parametrize("option", ["--force", "--new-key"])
def test_a_pipe_is_no_place_for_a_renewed_certificate(ca: Callable[..., Said], option: str) -> None:
    before = sorted(Path().iterdir())
    pipe = _pipe("a.internal.pem")
    code, _, err = ca("renew", pipe, option)
    assert (code, "not said where the certificate goes" in err) == (2, True), err
    assert Path(pipe).is_fifo()
    assert sorted(Path().iterdir()) == sorted([*before, Path(pipe)])


def test_nobody_waits_for_the_ledger_while_a_pipe_is_read(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from handclasp.keys import files

    def slowly(path: Path, **how: bool) -> files.FileRead:
        other_process = sqlite3.connect("ca/ledger.sqlite", timeout=0)
        other_process.execute("BEGIN IMMEDIATE")
        other_process.close()
        return read_file(path, **how)

    read_file: Callable[..., files.FileRead] = files.read_file
    monkeypatch.setattr(files, "read_file", slowly)
    assert ca("revoke", "a.internal.pem", *REASON)[0] == 0


# -- requests


@needs_openssl
def test_a_request_comes_by_a_pipe_too(ca: Callable[..., Said]) -> None:
    new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(*new, "-keyout", "k", "-subj", "/CN=c.internal", "-out", "r.csr")
    code, out, err = ca("issue", "c.internal", "--csr", _pipe("r.csr"))
    assert (code, out) == (0, "c.internal.pem\n"), err


@needs_openssl
def test_a_name_that_is_issued_is_not_said_to_be_dropped(ca: Callable[..., Said]) -> None:
    new = ("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    names = "subjectAltName=DNS:c.internal,DNS:d.internal,DNS:e.internal"
    openssl(*new, "-keyout", "k", "-subj", "/CN=c", "-addext", names, "-out", "r.csr")
    code, _, err = ca("issue", "c.internal", "--csr", "r.csr", "--dns", "d.internal")
    assert code == 0, err
    assert "dropped dns:e.internal\n" in err
    assert "for dns:c.internal, dns:d.internal," in err


# -- serials


@needs_openssl
def test_serials_are_written_as_openssl_writes_them(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(x509, "random_serial_number", lambda: 0x0ABC)
    code, _, err = ca("issue", "c.internal")
    assert (code, "issued 0ABC for" in err) == (0, True), err
    assert openssl("x509", "-in", "c.internal.pem", "-noout", "-serial") == b"serial=0ABC\n"
    listed = json.loads(ca("list", "--format", "json")[1])
    assert listed["certificates"][-1]["serial"] == "0ABC"
    assert "\n0ABC " in ca("list")[1]
    code, out, err = ca("revoke", "abc", *REASON)
    assert (code, out, "revoked 0ABC" in err) == (0, "0ABC\n", True)
    for written in ("0abc", "0x0ABC", "0A:BC"):
        assert ca("revoke", written, *REASON)[0] == 0, written
