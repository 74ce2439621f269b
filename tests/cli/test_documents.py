"""What commands print as JSON fits the schemas that are shipped."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from handclasp.cli.documents import DOCUMENTS
from tests.integration.running import Material, Running, handclasp, ingress_spec, write_spec

ROOT = Path(__file__).parents[2]


def validate(command: str, text: str) -> Any:
    name = f"{command.replace(' ', '-')}.schema.json"
    schema = json.loads((ROOT / "docs/reference/json" / name).read_text())
    document = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(document)
    return document


def test_every_command_with_a_json_form_has_a_schema_that_refuses_nonsense() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()
    commands = re.split(r"^## handclasp ", page, flags=re.MULTILINE)[1:]
    with_json = {part.split("\n")[0] for part in commands if "[text|json]" in part} - {
        "run",
        "demo",
    }
    assert with_json == set(DOCUMENTS)
    for command in DOCUMENTS:
        with pytest.raises(jsonschema.ValidationError):
            validate(command, "{}")


def test_check_prints_its_document_for_good_and_bad_specs(place: Path, nginx_build: Path) -> None:
    material = Material(place / "documents")
    spec = ingress_spec(material, "127.0.0.1:1", "http://127.0.0.1:1")
    path = write_spec(material.folder, "good", spec)
    common = ("--nginx", nginx_build, "--format", "json")
    good = handclasp("check", "-c", path, *common, cwd=place)
    assert (good.returncode, validate("check", good.stdout)["ok"]) == (0, True), good.stderr
    spec["identities"]["server-a"]["key"] = "svc-b.key"
    bad = handclasp("check", "-c", write_spec(material.folder, "bad", spec), *common, cwd=place)
    document = validate("check", bad.stdout)
    assert (bad.returncode, document["ok"]) == (1, False)
    assert "key-cert-mismatch" in {finding["slug"] for finding in document["findings"]}
    path.write_text("name: x\nname: y\n")
    unread = handclasp("check", "-c", path, *common, cwd=place)
    document = validate("check", unread.stdout)
    assert unread.returncode == 2
    assert document["findings"][0]["where"]["line"] == 2


def test_explain_prints_its_document(place: Path) -> None:
    done = handclasp("explain", "--slug", "cert-expired", "--format", "json", cwd=place)
    assert validate("explain", done.stdout)["slug"] == "cert-expired"


def test_status_prints_its_document(place: Path, nginx_build: Path, free_port: Any) -> None:
    material = Material(place / f"status-{nginx_build.parent.name}")
    spec = ingress_spec(material, f"127.0.0.1:{free_port()}", "http://127.0.0.1:1")
    path = write_spec(material.folder, "status", spec)
    with Running(path, nginx_build) as agent:
        done = handclasp(
            *("status", "-c", path, "--state-dir", agent.state, "--format", "json"), cwd=place
        )
        assert validate("status", done.stdout)["ready"]
