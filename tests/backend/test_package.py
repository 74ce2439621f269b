"""The package as others meet it: light to import, documented whole, measured."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import backend as measurement
from handclasp.backend import DIALECTS, Reason
from handclasp.backend.compact import decode_handclasp
from tests.backend.callers import WRITERS

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "backend.md"


def _loaded(statement: str) -> set[str]:
    shown = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(shown.stdout.split())


@pytest.mark.parametrize("module", ["handclasp.backend", "handclasp.backend.wsgi"])
def test_importing_it_loads_nothing_heavy(module: str) -> None:
    loaded = _loaded(f"import {module}")
    assert not {"cryptography", "asyncio", "ssl", "starlette", "django", "pydantic"} & loaded


def test_making_a_middleware_loads_cryptography_so_that_no_request_has_to() -> None:
    making = "ClientIdentityMiddleware(None, dialect='rfc9440', trusted_peers=['unix'])"
    loaded = _loaded(f"from handclasp.backend.wsgi import *; {making}")
    assert "cryptography.x509" in loaded


def test_every_dialect_is_read_and_tried() -> None:
    assert set(WRITERS) == set(DIALECTS)


def test_the_how_to_names_every_code_and_every_dialect() -> None:
    text = HOW_TO.read_text("utf-8")
    for name in (*Reason, *DIALECTS):
        assert f"`{name}`" in text


def test_the_how_to_shows_the_compact_header_as_it_is() -> None:
    (example,) = re.findall(r"```json\n(.*)\n```", HOW_TO.read_text("utf-8"))
    example = example.replace("64 lower-case hex digits", "0" * 64)
    read = decode_handclasp(example.replace("base64 of the DER certificate", "AAAA"))
    assert read.sans == ("dns:svc-b.internal", "uri:spiffe://example.org/svc-b")


def test_the_measurement_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert measurement.main(["--rounds", "1"]) in (0, 1)  # how fast it is, is not for a test to say
    assert capsys.readouterr().out.count("| x-client-cert |") == 8
