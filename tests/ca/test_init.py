"""`handclasp init --dev-ca`: a spec whose certificates exist."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.running import handclasp

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("egress", {"ca", "client"}),
        ("ingress", {"ca", "server"}),
        ("both", {"ca", "client", "server"}),
    ],
)
def test_check_accepts_the_spec_and_its_certificates(
    tmp_path: Path, kind: str, names: set[str]
) -> None:
    done = handclasp("init", kind, "--dev-ca", "my certs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "my certs").iterdir()}
    assert made == {f"{name}.{kind}" for name in names for kind in ("pem", "key")}
    checked = handclasp("check", "--no-nginx-test", "--format", "json", cwd=tmp_path)
    errors = [one for one in json.loads(checked.stdout)["findings"] if one["severity"] == "error"]
    assert (checked.returncode, errors) == (0, [])


def test_without_it_check_misses_the_certificates(tmp_path: Path) -> None:
    assert handclasp("init", "egress", cwd=tmp_path).returncode == 0
    checked = handclasp("check", "--no-nginx-test", "--format", "json", cwd=tmp_path)
    assert checked.returncode == 1
    assert "file-not-found" in {one["slug"] for one in json.loads(checked.stdout)["findings"]}


def test_an_existing_spec_or_key_stops_it_before_anything_is_made(tmp_path: Path) -> None:
    assert handclasp("init", "egress", "--dev-ca", "certs", cwd=tmp_path).returncode == 0
    key = (tmp_path / "certs" / "ca.key").read_bytes()
    spec_exists = handclasp("init", "egress", "--dev-ca", "new", cwd=tmp_path)
    assert spec_exists.returncode == 2
    assert not (tmp_path / "new").exists()
    key_exists = handclasp("init", "egress", "--dev-ca", "certs", "-o", "b.yaml", cwd=tmp_path)
    assert key_exists.returncode == 2
    assert not (tmp_path / "b.yaml").exists()
    assert (tmp_path / "certs" / "ca.key").read_bytes() == key


def test_a_spec_that_cannot_be_written_takes_its_certificates_with_it(tmp_path: Path) -> None:
    done = handclasp("init", "egress", "--dev-ca", "certs", "-o", "no/where.yaml", cwd=tmp_path)
    assert done.returncode == 3
    assert not list((tmp_path / "certs").iterdir())


@pytest.mark.parametrize(
    ("folder", "output", "written"),
    [
        ("certs", "handclasp.yaml", "certs/ca.pem"),
        ("certs", "-", "certs/ca.pem"),
        ("etc/certs", "etc/handclasp.yaml", "certs/ca.pem"),
        ("certs", "etc/handclasp.yaml", "{here}/certs/ca.pem"),
    ],
)
def test_paths_are_as_the_spec_reads_them(
    tmp_path: Path, folder: str, output: str, written: str
) -> None:
    (tmp_path / "etc").mkdir()
    done = handclasp("init", "egress", "--dev-ca", folder, "-o", output, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = done.stdout if output == "-" else (tmp_path / output).read_text()
    assert f"certificates: [{written.format(here=tmp_path)}]" in text
