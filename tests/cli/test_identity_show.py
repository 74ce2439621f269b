"""`handclasp identity show`: exit codes, text and the JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import jsonschema
import pytest
from click.testing import CliRunner
from pydantic import TypeAdapter

from handclasp.cli.documents.identity import IdentityShowDocument
from handclasp.cli.identity import identity
from handclasp.cli.identity.show import show
from handclasp.errors import UsageError
from handclasp.identity.encoders import encode
from tests.identity import golden_cases

if TYPE_CHECKING:
    from pathlib import Path

WHO = golden_cases.load("twenty-sans")
LINES = "".join(f"{name}: {value}\n" for name, value in encode("x-client-cert", WHO))
SCHEMA = TypeAdapter(IdentityShowDocument).json_schema()


def run(text: str, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(show, list(arguments), input=text, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return int(result.return_value), result.stdout


def test_an_identity_is_shown_and_exits_0() -> None:
    status, text = run(LINES)
    assert status == 0
    for part in ("x-client-cert:", WHO.subject, WHO.sha256, "dns:host-1.example.org", "SUCCESS"):
        assert part in text


def test_the_group_finds_its_command() -> None:
    result = CliRunner().invoke(identity, ["show", "--help"])
    assert result.exit_code == 0
    assert "--dialect" in result.output


def test_a_refusal_exits_1_and_says_why() -> None:
    status, text = run(LINES.replace("SUCCESS", "FAILED:certificate has expired"))
    assert status == 1
    assert "[not-verified]" in text
    assert "not to be believed" in text


def test_what_is_not_understood_exits_2() -> None:
    status, text = run("hello")
    assert status == 2
    assert "recognised" in text


def test_a_file_is_read_like_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "request.txt"
    file.write_text(LINES)
    assert run("", str(file)) == run(LINES)
    with pytest.raises(UsageError, match="cannot read"):
        run("", str(tmp_path / "absent"))


def test_more_than_a_mebibyte_is_refused() -> None:
    with pytest.raises(UsageError, match="1 MiB"):
        run("x" * (1024 * 1024 + 1))


def test_dates_are_judged_as_of_a_given_day() -> None:
    assert "[expired]" not in run(LINES, "--at", "2050-01-01")[1]
    assert "[expired]" in run(LINES, "--at", "2060-01-01")[1]


@pytest.mark.parametrize(
    "text",
    [LINES, LINES.replace("SUCCESS", "NONE"), "hello", "X-Client-Verify: NONE", "Hash=1;Hash=2"],
)
def test_the_json_fits_its_document(text: str) -> None:
    _, printed = run(text, "--format", "json")
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(printed))


def test_the_json_says_what_the_text_says() -> None:
    document = json.loads(run(LINES, "--format", "json")[1])
    (reading,) = document["readings"]
    assert (reading["dialect"], reading["verdict"]) == ("x-client-cert", "identity")
    assert reading["identity"]["sha256"] == WHO.sha256
    assert len(reading["identity"]["sans"]) == 20
    nobody = json.loads(run("X-Client-Verify: NONE", "--format", "json")[1])
    assert nobody["readings"][0]["verdict"] == "nobody"


def test_nothing_that_a_certificate_holds_reaches_the_terminal_raw() -> None:
    status, text = run('Subject="CN=a\\1B[31m";URI=x:\x1b[31m')
    assert "\x1b" not in text
    assert status in (1, 2)
