"""What `check` can say of an issuer without asking it."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

from handclasp.issuers.readiness import unready
from handclasp.spec.issuers import Issuer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.spec.issuer import IssuerSection


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place where everything is that the sections below name."""
    for name in ("ca.pem", "agent.pem", "agent.key", "token", "password"):
        (tmp_path / name).write_text("something")
    (tmp_path / "answers").mkdir()
    (tmp_path / "dns").write_text("#!/bin/sh\n")
    (tmp_path / "dns").chmod(0o755)
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("api.sock")  # relative: a path of more than 107 bytes is none for a socket
        yield tmp_path


ACME = {"type": "acme", "directory": "https://acme.example.com/dir", "ca": "ca.pem"}
VAULT = {"type": "vault", "address": "https://vault.example.com", "role": "svc", "ca": "ca.pem"}
CERT = {"certificate": "agent.pem", "key": "agent.key", "password": {"file": "password"}}
APPROLE = {"role_id": "r", "secret_id": {"file": "token"}}

SOUND: dict[str, dict[str, Any]] = {
    "http": {**ACME, "challenges": "answers"},
    "new": {**ACME, "challenges": "answers/new"},
    "dns": {**ACME, "dns": ["./dns", "x"]},
    "token": {**VAULT, "auth": {"token": {"file": "token"}}},
    "approle": {**VAULT, "auth": {"approle": APPROLE}},
    "cert": {**VAULT, "auth": {"cert": CERT}},
    "spiffe": {"type": "spiffe", "socket": "api.sock"},
    "local": {"type": "local", "directory": "nowhere"},
}


def section(keys: dict[str, Any]) -> IssuerSection:
    made: IssuerSection = TypeAdapter(Issuer).validate_python(keys)
    return made


@pytest.mark.parametrize("name", SOUND)
def test_where_everything_is_there_nothing_is_said(folder: Path, name: str) -> None:
    assert unready(section(SOUND[name]), folder) is None


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("http", {"ca": "gone.pem"}, "gone.pem cannot be read: No such file"),
        ("http", {"challenges": "ca.pem"}, "ca.pem is no directory"),
        ("http", {"challenges": "gone/answers"}, "there is no directory gone"),
        ("dns", {"dns": ["./none"]}, "no program ./none"),
        ("dns", {"dns": ["./ca.pem"]}, "no program ./ca.pem"),
        ("token", {"ca": "gone.pem"}, "gone.pem cannot be read"),
        ("token", {"auth": {"token": {"file": "gone"}}}, "gone"),
        ("token", {"auth": {"token": {"env": "NO_SUCH_TOKEN"}}}, "NO_SUCH_TOKEN"),
        ("approle", {"auth": {"approle": {**APPROLE, "secret_id": {"file": "gone"}}}}, "gone"),
        ("cert", {"auth": {"cert": {**CERT, "certificate": "gone.pem"}}}, "gone.pem"),
        ("cert", {"auth": {"cert": {**CERT, "key": "gone.key"}}}, "gone.key"),
        ("cert", {"auth": {"cert": {**CERT, "password": {"file": "gone"}}}}, "gone"),
        ("spiffe", {"socket": "gone.sock"}, "there is no socket gone.sock"),
        ("spiffe", {"socket": "ca.pem"}, "there is no socket ca.pem"),
        ("spiffe", {"socket": None}, "$SPIFFE_ENDPOINT_SOCKET"),
    ],
)
def test_what_is_missing_is_named(
    folder: Path, name: str, change: dict[str, Any], said: str
) -> None:
    assert said in (unready(section({**SOUND[name], **change}), folder) or "")


def test_the_variable_of_the_standard_is_looked_at(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", "unix:api.sock")
    assert unready(section({"type": "spiffe"}), folder) is None
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", "unix:gone.sock")
    assert "gone.sock" in (unready(section({"type": "spiffe"}), folder) or "")


@pytest.mark.parametrize(("name", "package"), [("http", "acme"), ("spiffe", "spiffe")])
def test_a_package_that_is_not_installed_is_named_with_its_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    class Nothing:
        @staticmethod
        def find_spec(*_: object) -> None:
            return None

    for loaded in [one for one in sys.modules if one.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setattr(sys, "meta_path", [Nothing])
    assert f"handclasp[{package}]" in (unready(section(SOUND[name]), folder) or "")
