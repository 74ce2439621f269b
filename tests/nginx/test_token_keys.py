"""Which way a build goes to a token with what is installed, and the reason where there is none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from handclasp.hsm.openssl_conf import Way
from handclasp.nginx.token_keys import leading_for
from tests.nginx.recorded_builds import facts_of

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.nginx.facts import Facts

READS_URI_FILES, OLDER = b"PKCS#11 PROVIDER URI", b"PKCS11 URI Store"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where OpenSSL is told to look for its provider; there is no engine."""
    monkeypatch.setenv("OPENSSL_MODULES", str(tmp_path))
    monkeypatch.setenv("OPENSSL_ENGINES", str(tmp_path / "none"))
    return tmp_path


def old() -> Facts:
    return facts_of("ubuntu-24.04-1.24.0")


def new() -> Facts:
    """One that takes `store:`, linked to the system's OpenSSL."""
    return dataclasses.replace(facts_of("wheel-1.31.3"), static=False)


@pytest.mark.parametrize(
    ("facts", "way"), [(old(), Way.URI_FILE), (new(), Way.STORE)], ids=["1.24", "1.31"]
)
def test_a_provider_that_reads_files_with_uris_will_do_for_every_nginx(
    folder: Path, facts: Facts, way: Way
) -> None:
    (folder / "pkcs11.so").write_bytes(READS_URI_FILES)
    leading, findings = leading_for(facts)
    assert (leading.way if leading else None, findings) == (way, ())


def test_an_older_provider_is_refused_for_an_nginx_without_store(folder: Path) -> None:
    (folder / "pkcs11.so").write_bytes(OLDER)
    leading, (finding,) = leading_for(old())
    assert leading is None
    assert finding.slug == "pkcs11-not-with-this-nginx"
    assert f"{folder}/pkcs11.so is too old to read a file with the URI of a key" in finding.seen
    assert "libengine-pkcs11-openssl" in finding.fix


def test_an_older_provider_will_do_for_an_nginx_with_store(folder: Path) -> None:
    (folder / "pkcs11.so").write_bytes(OLDER)
    leading, findings = leading_for(new())
    assert (leading.way if leading else None, findings) == (Way.STORE, ())


def test_where_nothing_is_installed_the_package_is_named(folder: Path) -> None:
    leading, (finding,) = leading_for(old())
    assert leading is None
    assert "neither a PKCS#11 provider nor an engine" in finding.seen
    assert "libengine-pkcs11-openssl" in finding.fix
