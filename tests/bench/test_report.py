"""The Markdown tables and their place in a document."""

# ruff: noqa: RUF001  (the tables are prose)
from __future__ import annotations

import json

import pytest

from bench.model import Cell, CommandCell, IdleCell, Machine, Run, Sample
from bench.report import BEGIN, END, MarkersMissingError, insert, markdown

MACHINE = Machine(
    "2026-01-01 00:00 UTC", "python -m bench", "a processor", 2, "6.1", 0.1, 1.2, {"wrk": "4.1.0"}
)


def one_run() -> Run:
    ours = Sample(1000, 1.0, p99_ms=2.0, cpu_us=10_000, errors=0, memory_kib=2048)
    theirs = Sample(500, 1.0, p99_ms=4.0, cpu_us=10_000, errors=3, memory_kib=1024)
    return Run(
        MACHINE,
        rounds=1,
        seconds=1,
        cells=(
            Cell("egress-keepalive", "handclasp", (ours,)),
            Cell("egress-keepalive", "haproxy", (theirs,)),
            Cell("egress-keepalive", "envoy", skipped="skipped: not installed (pip install x)"),
        ),
        idle=(IdleCell("egress", "floor", 5000, 2048.0),),
        commands=(CommandCell("handclasp --version", (0.1,)),),
        notes={"Source": "a test"},
    )


def row(tables: str, start: str) -> list[str]:
    (line,) = [line for line in tables.splitlines() if line.startswith(f"| {start}")]
    return [field.strip() for field in line.strip("|").split("|")]


def test_a_row_has_medians_and_the_ratio_to_handclasp():
    assert row(markdown(one_run()), "haproxy ")[1:] == [
        "500", "4.0", "20.0", "2.00", "0%", "1", "3",
    ]  # fmt: skip


def test_a_missing_proxy_is_a_row_that_says_how_to_install_it():
    assert row(markdown(one_run()), "envoy ")[1] == "skipped: not installed (pip install x)"


def test_every_row_of_a_table_has_as_many_fields_as_its_header():
    width = 0
    for line in markdown(one_run()).splitlines():
        if line.startswith("|"):
            width = width or line.count("|")
            assert line.count("|") == width
        else:
            width = 0


def test_targets_say_met_not_met_and_not_measured():
    tables = markdown(one_run())
    assert row(tables, "handclasp: CPU per request ≤ 1.05 × haproxy | egress-keepalive")[2:] == [
        "met",
        "0.50",
    ]
    assert row(tables, "handclasp: CPU per request ≤ 0.65")[2:] == ["not measured", "–"]


def test_machine_date_command_and_versions_are_named():
    head = markdown(one_run()).partition("### Targets")[0]
    for words in ("2026-01-01 00:00 UTC", "python -m bench", "a processor", "wrk 4.1.0", "a test"):
        assert words in head


def test_only_what_is_between_the_markers_is_replaced():
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = insert(document, "new")
    assert once == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert insert(once, "new") == once


@pytest.mark.parametrize("document", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_document_without_markers_is_refused(document: str):
    with pytest.raises(MarkersMissingError):
        insert(document, "new")


def test_a_run_survives_json():
    assert json.loads(json.dumps(one_run().as_json()))["cells"][1]["samples"][0]["errors"] == 3
