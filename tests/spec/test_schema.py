"""The JSON Schema, the reference page and the starter files: all made from the model."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from handclasp.cli.docs import GENERATORS, main, outdated
from handclasp.cli.schema import schema
from handclasp.findings import FindingsError, errors_in
from handclasp.spec.check import check_spec
from handclasp.spec.document import parse_document
from handclasp.spec.load import parse_spec
from handclasp.spec.model import Spec
from handclasp.spec.reference import EXAMPLE, spec_reference
from handclasp.spec.schema import sections, spec_schema
from handclasp.spec.starter import Kind, starter
from tests.spec.cases import cases

jsonschema = pytest.importorskip("jsonschema")

REPOSITORY = Path(__file__).parents[2]
KINDS: tuple[Kind, ...] = ("egress", "ingress", "both")


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(spec_schema())
    return jsonschema.Draft202012Validator(spec_schema())


@pytest.mark.parametrize("text", [EXAMPLE, *(starter(kind) for kind in KINDS)])
def test_the_schema_takes_what_the_project_writes(validator: Any, text: str) -> None:
    validator.validate(parse_document(text, source="s").data)


@pytest.mark.parametrize("case", cases("check"), ids=str)
def test_the_schema_takes_what_the_model_takes(validator: Any, case: Any) -> None:
    validator.validate(parse_document(case.spec, source="s").data)


@pytest.mark.parametrize("case", cases("load"), ids=str)
def test_the_schema_refuses_what_the_model_refuses(validator: Any, case: Any) -> None:
    try:
        document = parse_document(case.spec, source="s")
    except FindingsError:
        return  # no data to judge
    if document.findings:
        return  # YAML that other loaders would read in their own way
    assert not validator.is_valid(document.data)


@pytest.mark.parametrize(
    "change",
    [
        {"upstream": 5},
        {"upstream": []},
        {"upstream": [{"weight": 1}]},
        {"tries": 0},
        {"tries": "3"},
        {"expose": "yes"},
        {"listen": None},
        {"tls": "strong"},
        {"surprise": 1},
        {"timeouts": {"connect": 5}},
        {"limits": {"body": "16 MB"}},
    ],
    ids=str,
)
def test_schema_and_model_refuse_the_same_changes(validator: Any, change: dict[str, Any]) -> None:
    data = yaml.safe_load(EXAMPLE)
    data["egress"][0] |= change
    assert not validator.is_valid(data)
    with pytest.raises(FindingsError):
        parse_spec(json.dumps(data), source="s", base=PurePosixPath("/"))


def test_every_key_has_a_meaning() -> None:
    described = spec_schema()
    for section in sections():
        properties = (described if section is Spec else described["$defs"][section.__name__])[
            "properties"
        ]
        missing = [key for key, value in properties.items() if not value.get("description")]
        assert not missing, section.__name__


def test_no_mapping_of_the_schema_takes_unknown_keys() -> None:
    described = spec_schema()
    for schema_of_section in (described, *described["$defs"].values()):
        assert schema_of_section["additionalProperties"] is False
    assert described["properties"]["identities"]["additionalProperties"] is False


def test_durations_have_readable_defaults() -> None:
    assert spec_schema()["$defs"]["Pool"]["properties"]["idle"]["default"] == "4s"
    assert "PT" not in json.dumps(
        [section["properties"] for section in spec_schema()["$defs"].values()]
    ).replace("HTTP", "").replace("OPT", "")


@pytest.mark.parametrize("text", [EXAMPLE, *(starter(kind) for kind in KINDS)])
def test_what_the_project_writes_loads_without_errors(text: str) -> None:
    loaded = parse_spec(text, source="s", base=PurePosixPath("/"))
    assert not errors_in(check_spec(loaded, insecure_allowed=False))


@pytest.mark.parametrize("kind", KINDS)
def test_commented_alternatives_of_a_starter_file_are_valid_too(kind: Kind) -> None:
    """Taking the `# ` away from an alternative, and its other form out, gives a spec that loads."""
    text = starter(kind)
    for comment in (
        "crl:",
        "password:",
        "listen: unix",
        "group:",
        "verify:",
        "backend:",
        "status:",
    ):
        if f"# {comment}" in text:
            key = comment.partition(":")[0]
            head, _, rest = text.partition(f"# {comment}")
            if comment in ("listen: unix", "backend:"):
                head = "\n".join(
                    line for line in head.split("\n") if not line.strip().startswith(f"{key}:")
                )
            parse_spec(head + comment + rest, source="s", base=PurePosixPath("/"))


def test_the_page_has_every_key_of_every_mapping() -> None:
    page = spec_reference()
    for section in sections():
        assert f"## {'Top level' if section is Spec else section.__name__}\n" in page
        for name, field in section.model_fields.items():
            assert f"| `{field.alias or name}` |" in page
    assert EXAMPLE in page


def test_the_schema_command_prints_the_schema() -> None:
    result = CliRunner().invoke(schema, [])
    assert result.exit_code == 0
    assert json.loads(result.output) == spec_schema()


def test_the_pages_in_docs_are_those_of_the_code() -> None:
    assert outdated(REPOSITORY) == []


def test_an_outdated_page_is_named_and_written_anew(tmp_path: Path) -> None:
    runner = CliRunner()
    missing = runner.invoke(main, ["--check", "--root", str(tmp_path)])
    assert missing.exit_code == 1
    assert "docs/reference/spec.md is out of date" in missing.output
    assert runner.invoke(main, ["--write", "--root", str(tmp_path)]).exit_code == 0
    assert runner.invoke(main, ["--check", "--root", str(tmp_path)]).exit_code == 0
    (tmp_path / "docs/reference/spec.md").write_text("older")
    assert outdated(tmp_path) == ["docs/reference/spec.md"]
    assert set(GENERATORS) >= {"docs/reference/spec.md", "docs/reference/handclasp.schema.json"}
