"""What is installed is found, and what is not is not made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from handclasp.hsm.support import find_support

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Where OpenSSL is told to look for providers and engines."""
    providers, engines = tmp_path / "modules", tmp_path / "engines"
    for folder, variable in ((providers, "OPENSSL_MODULES"), (engines, "OPENSSL_ENGINES")):
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    return providers, engines


def test_nothing_is_found_where_nothing_is(folders: tuple[Path, Path]) -> None:
    found = find_support(3)
    assert (found.provider, found.engine) == (None, None)


def test_both_are_found_where_the_variables_of_openssl_point(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        (folder / "pkcs11.so").touch()
    found = find_support(3)
    assert (found.provider, found.engine) == tuple(one / "pkcs11.so" for one in folders)


@pytest.mark.parametrize("reads", [False, True])
def test_a_provider_that_reads_no_files_with_uris_is_told_from_one_that_does(
    folders: tuple[Path, Path], reads: bool
) -> None:
    label = b"\0PKCS#11 PROVIDER URI\0" if reads else b"\0PKCS11 URI Store\0"
    (folders[0] / "pkcs11.so").write_bytes(b"\x7fELF" + label)
    found = find_support(3)
    assert (found.provider is not None, found.uri_files) == (True, reads)


def test_openssl_1_has_no_providers(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        (folder / "pkcs11.so").touch()
    found = find_support(1)
    assert (found.provider, found.engine) == (None, folders[1] / "pkcs11.so")


def test_a_directory_of_that_name_is_no_library(folders: tuple[Path, Path]) -> None:
    (folders[1] / "pkcs11.so").mkdir()
    assert find_support(3).engine is None
