"""New pairs on disk: keys private from the first moment, all files or none."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from handclasp.ca.development import ROOT_LIFETIME, Issued, Validity, make_root
from handclasp.ca.files import write_new_pairs
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.keys.output import remove
from tests.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def pair() -> Issued:
    return make_root("Test CA", Validity.starting(NOW, ROOT_LIFETIME))


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_keys_are_private_whatever_the_umask(tmp_path: Path, pair: Issued, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_new_pairs(tmp_path / "certs", {"one": pair})
    finally:
        os.umask(before)
    folder = tmp_path / "certs"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"one.key": 0o600, "one.pem": 0o644}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_certificate_and_key_belong_together(tmp_path: Path, pair: Issued) -> None:
    write_new_pairs(tmp_path, {"one": pair})
    certificate = x509.load_pem_x509_certificate((tmp_path / "one.pem").read_bytes())
    key = load_pem_private_key((tmp_path / "one.key").read_bytes(), None)
    assert certificate.public_key() == key.public_key()


def test_a_key_that_shall_sign_no_more_is_not_written(tmp_path: Path, pair: Issued) -> None:
    write_new_pairs(tmp_path, {"ca": pair, "one": pair}, without_key=frozenset({"ca"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ca.pem", "one.key", "one.pem"]


def test_nothing_is_written_over_and_nothing_stays_half_written(
    tmp_path: Path, pair: Issued
) -> None:
    (tmp_path / "two.key").write_text("mine")
    with pytest.raises(UsageError, match=r"two\.key exists already"):
        write_new_pairs(tmp_path, {"one": pair, "two": pair})
    assert [path.name for path in tmp_path.iterdir()] == ["two.key"]
    assert (tmp_path / "two.key").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_the_environment_s_fault(
    tmp_path: Path, pair: Issued
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        write_new_pairs(tmp_path / "file" / "certs", {"one": pair})


def test_what_was_written_can_be_taken_back(tmp_path: Path, pair: Issued) -> None:
    written = write_new_pairs(tmp_path, {"one": pair})
    remove(written)
    remove(written)  # again is no error
    assert not list(tmp_path.iterdir())
