"""Loading: golden texts, and what the fields of a LoadedSpec are."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import PurePosixPath

import pytest
from pydantic import ValidationError

from handclasp.errors import ExitCode
from handclasp.findings import FindingsError, errors_in
from handclasp.spec.check import check_spec
from handclasp.spec.load import LoadedSpec, parse_spec
from handclasp.spec.model import Spec
from handclasp.spec.schema import spec_schema
from handclasp.spec.types import RULE_PATTERN
from handclasp.spec.wording import PATTERNS
from tests.spec.cases import Case, cases, said_on_load

LINK = """\
egress:
  - name: orders
    listen: 127.0.0.1:8080
    upstream: https://a.example.com
    identity: svc
    trust: company
"""


def load(text: str, *, source: str = "spec.yaml") -> LoadedSpec:
    return parse_spec(text, source=source, base=PurePosixPath("/etc/hop"))


@pytest.mark.parametrize("case", cases("load"), ids=str)
def test_a_bad_file_is_answered_with_all_its_errors(case: Case) -> None:
    assert said_on_load(case.spec) == case.expected


def test_there_are_golden_cases() -> None:
    assert len(cases("load")) >= 40
    assert all(case.expected for case in cases("load"))


@pytest.mark.parametrize("case", cases("load"), ids=str)
def test_every_error_has_file_line_and_column_and_exit_code_2(case: Case) -> None:
    with pytest.raises(FindingsError) as raised:
        load(case.spec)
    assert raised.value.exit_code is ExitCode.USAGE
    for finding in raised.value.findings:
        assert finding.where.file == "spec.yaml"
        assert finding.where.line
        assert finding.where.column
        assert finding.fix


@pytest.mark.parametrize("case", cases("load"), ids=str)
def test_no_error_shows_pydantic_or_a_secret(case: Case) -> None:
    said = said_on_load(case.spec)
    for word in (
        "Input should",
        "pydantic",
        "valid dictionary",
        "hunter2",
        "1234567",
        "dict",
        "NoneType",
    ):
        assert word not in said


def patterns_in(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {pattern for part in schema for pattern in patterns_in(part)}
    if not isinstance(schema, dict):
        return set()
    own = {value for key, value in schema.items() if key == "pattern" and isinstance(value, str)}
    own |= set(schema.get("patternProperties", {}))
    return own | {pattern for part in schema.values() for pattern in patterns_in(part)}


def test_every_pattern_of_the_model_has_words() -> None:
    # Addresses, URLs, durations, sizes and rules have parsers with words of their own.
    parsed = {RULE_PATTERN, "^([0-9]+(ms|s|m|h|d))+$", "^[0-9]+[kKmMgG]?$"}
    parsed |= {"^(none|([0-9]+(ms|s|m|h|d))+)$"}
    parsed |= {"^(https|grpcs)://", "^(http|https|grpc|grpcs)://", "^https://", "^https?://"}
    assert patterns_in(spec_schema()) - parsed == PATTERNS


@pytest.mark.parametrize("links", [50])
def test_fifty_links_are_loaded_and_checked_in_a_fraction_of_a_second(links: int) -> None:
    text = "identities: {svc: {certificate: a.pem}}\ntrust: {company: {certificates: [ca.pem]}}\n"
    text += LINK.partition("\n")[0] + "\n"
    for number in range(links):
        link = LINK.partition("\n")[2].replace("orders", f"orders-{number}")
        text += link.replace("8080", str(8000 + number))
        text += "    routes:\n      - {path: /a, verify: {name: b.example.com}}\n"
    load(LINK)  # builds the validator, which takes 30 ms once
    times = []
    for _ in range(3):
        started = time.monotonic()
        loaded = load(text)
        assert not errors_in(check_spec(loaded, insecure_allowed=False))
        times.append(time.monotonic() - started)
    assert min(times) < 0.3
    assert len(loaded.spec.egress) == links


def test_paths_are_relative_to_the_file_and_absolute_ones_stay() -> None:
    spec = load(
        "state: state\nidentities: {a: {certificate: a.pem, key: /abs/a.key}}\n"
        "trust: {t: {certificates: [../ca.pem]}}\n"
        + LINK.replace("127.0.0.1:8080", "unix:run/o.sock").replace("a.example.com", "unix:up.sock")
    ).spec
    assert spec.state == PurePosixPath("/etc/hop/state")
    assert spec.identities["a"].certificate == PurePosixPath("/etc/hop/a.pem")
    assert spec.identities["a"].key == PurePosixPath("/abs/a.key")
    assert spec.trust["t"].certificates == [PurePosixPath("/etc/hop/../ca.pem")]
    assert spec.egress[0].listen.path == "/etc/hop/run/o.sock"
    assert spec.egress[0].upstream[0].url.path == "/etc/hop/up.sock"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("handclasp.yaml", "handclasp"),
        ("/etc/Order Service.yaml", "order-service"),
        ("grüße.yml", "grusse"),
        ("日本.yaml", "handclasp"),
        ("<stdin>", "stdin"),
        ("x" * 80 + ".yaml", "x" * 63),
    ],
)
def test_an_instance_is_named_after_its_file(source: str, name: str) -> None:
    assert load(LINK, source=source).name == name


def test_the_name_in_the_spec_wins() -> None:
    assert load("name: svc-b\n" + LINK).name == "svc-b"


def test_short_and_long_forms_load_to_the_same() -> None:
    short = LINK + "    tls: modern\n"
    long = (
        LINK.replace("https://a.example.com", "[{url: https://a.example.com}]")
        + "    tls: {profile: modern}\n"
    )
    assert load(short).spec == load(long).spec


def test_all_short_forms_of_ingress_are_understood() -> None:
    text = """\
ingress:
  - name: api
    listen: "*:443"
    server_names: [API.example.com.]
    identity: svc
    clients: {trust: company, allow: "cn:a"}
    backend: http://127.0.0.1:8000
    forward: [x-client-cert]
"""
    link = load(text).spec.ingress[0]
    assert [str(address) for address in link.listen] == ["0.0.0.0:443"]
    assert link.server_names == ["api.example.com"]
    assert [str(rule) for rule in link.clients.allow] == ["cn:a"]
    assert [forward.dialect for forward in link.forward] == ["x-client-cert"]
    assert link.connection_age == timedelta(minutes=10)


def test_an_upstream_may_be_one_mapping() -> None:
    loaded = load(LINK.replace("https://a.example.com", "{url: https://a.example.com, weight: 3}"))
    assert loaded.spec.egress[0].upstream[0].weight == 3
    assert str(loaded.where("egress", 0, "upstream", 0, "weight")) == (
        "spec.yaml:4:52 (egress[0].upstream.weight)"
    )


def test_values_not_written_have_the_place_of_their_nearest_ancestor() -> None:
    loaded = load(LINK)
    assert (
        str(loaded.where("egress", 0, "upstream", 0, "url"))
        == "spec.yaml:4:15 (egress[0].upstream)"
    )
    assert str(loaded.where("egress", 0, "pool", "size")) == "spec.yaml:2:5 (egress[0])"
    assert str(loaded.where("nginx", "mode")) == "spec.yaml:1:1"
    assert str(loaded.key("egress", 0, "identity")) == "spec.yaml:5:5 (egress[0].identity)"
    assert str(loaded.where("egress", 0, "identity")) == "spec.yaml:5:15 (egress[0].identity)"


def test_a_spec_cannot_be_changed_afterwards() -> None:
    spec = load(LINK).spec
    with pytest.raises(ValidationError, match="frozen"):
        spec.name = "other"  # type: ignore[misc]


def test_defaults_are_those_of_the_model() -> None:
    assert load("{}").spec == Spec()
