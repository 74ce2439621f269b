"""Judging a reload, reading logs and naming start failures: values in, values out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from handclasp.nginx.log_tail import LogMark, grave, parsed
from handclasp.nginx.reload import ReloadOutcome, ReloadRequest, judge, refusal
from handclasp.nginx.start_failure import bind_findings, start_findings

MASTER = 100
REQUEST = ReloadRequest(frozenset({1, 2}), LogMark(Path("/nowhere"), 0, 0), 0.0)
REFUSED = '2026/11/24 06:11:12 [emerg] 100#100: unknown directive "x" in /n.conf:1'
BIND = (
    "2026/11/24 06:11:12 [emerg] 100#100: bind() to 0.0.0.0:80 failed (98: Address already in use)"
)
GAVE_UP = "2026/11/24 06:11:12 [emerg] 100#100: still could not bind()"
OF_A_WORKER = "2026/11/24 06:11:12 [emerg] 7#7: io_setup() failed (38: Function not implemented)"


def judged(
    workers: list[tuple[int, bool]],
    *lines: str,
    expected: int | None = None,
    ended: str | None = None,
    last: bool = False,
) -> ReloadOutcome | None:
    return judge(
        REQUEST,
        workers,
        lines,
        master_pid=MASTER,
        expected_workers=expected,
        ended=ended,
        elapsed=0.5,
        last_look=last,
    )


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        ([], None),
        ([(1, False), (2, False)], 2),
        ([(1, False), (3, False)], 2),
        ([(1, False), (2, False), (3, False), (4, False)], 2),
        ([(1, True), (2, True)], None),
        ([(3, False)], 2),
        ([(3, False), (4, False), (5, False)], 2),
    ],
)
def test_reload_is_open_while_old_workers_serve_or_new_ones_are_missing(
    workers: list[tuple[int, bool]], expected: int | None
) -> None:
    assert judged(workers, expected=expected) is None
    late = judged(workers, expected=expected, last=True)
    assert late is not None
    assert not late.ok
    assert "not done in 0.5 s" in late.reason


@pytest.mark.parametrize("old", [[], [(1, True)], [(1, True), (2, True)]])
def test_reload_is_done_when_all_who_serve_are_new(old: list[tuple[int, bool]]) -> None:
    outcome = judged([*old, (3, False), (4, False)], expected=2)
    assert outcome == ReloadOutcome(True, 0.5, (3, 4))


def test_refusal_outweighs_new_workers() -> None:
    outcome = judged([(3, False)], REFUSED)
    assert outcome is not None
    assert not outcome.ok
    assert outcome.lines == ('unknown directive "x" in /n.conf:1',)


def test_bind_that_is_tried_again_is_no_refusal_until_nginx_says_so() -> None:
    assert refusal([BIND, BIND], MASTER) == ()
    assert refusal([BIND, BIND, GAVE_UP], MASTER) == (
        "bind() to 0.0.0.0:80 failed (98: Address already in use)",
        "still could not bind()",
    )


def test_emergency_of_a_worker_is_no_refusal() -> None:
    assert refusal([OF_A_WORKER, "no log line at all"], MASTER) == ()


def test_end_of_the_master_ends_the_reload() -> None:
    outcome = judged([], ended="nginx ended")
    assert outcome is not None
    assert (outcome.ok, outcome.reason) == (False, "nginx ended")


# -- logs


def test_line_on_stderr_and_in_the_log_is_told_once() -> None:
    lines = ["nginx: [emerg] still could not bind()", GAVE_UP, "nginx: [warn] a warning"]
    assert grave(lines) == ("[emerg] still could not bind()",)
    assert [(line.level, line.pid) for line in parsed(lines)] == [
        ("emerg", None),
        ("emerg", 100),
        ("warn", None),
    ]


def test_mark_reads_what_came_after_it(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    before = LogMark.at_end(log)
    log.write_text("one\n")
    mark = LogMark.at_end(log)
    with log.open("a") as file:
        file.write("two\n")
    assert before.lines() == ("one", "two")
    assert mark.lines() == ("two",)


def test_mark_follows_a_rotated_and_a_truncated_log(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    log.write_text("a long line from before\n")
    mark = LogMark.at_end(log)
    log.rename(tmp_path / "error.log.1")
    assert mark.lines() == ()
    log.write_text("new\n")
    assert mark.lines() == ("new",)
    mark = LogMark.at_end(log)
    os.truncate(log, 0)
    assert mark.lines() == ()
    with log.open("a") as file:
        file.write("x\n")
    assert mark.lines() == ("x",)


def test_flood_of_lines_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "error.log"
    mark = LogMark.at_end(log)
    log.write_text("x" * 300_000 + "\nlast \xff\n", encoding="latin-1")
    lines = mark.lines()
    assert lines[-1] == "last \N{REPLACEMENT CHARACTER}"
    assert sum(map(len, lines)) < 300_000


# -- start failures


def test_each_address_is_found_once() -> None:
    lines = [
        "nginx: [emerg] bind() to 127.0.0.1:443 failed (13: Permission denied)",
        BIND,
        BIND,
        "nginx: [emerg] bind() to unix:/run/x.sock failed (98: Address already in use)",
        "nginx: [emerg] bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)",
        GAVE_UP,
    ]
    found = [(finding.slug, finding.seen) for finding in bind_findings(lines)]
    assert found == [
        ("port-privileged", "nginx may not listen on 127.0.0.1:443: permission denied"),
        ("port-in-use", "nginx cannot listen on 0.0.0.0:80: another process has it"),
        ("port-in-use", "nginx cannot listen on unix:/run/x.sock: another process has it"),
        (
            "nginx-config-refused",
            "nginx cannot listen on 192.0.2.1:80: this machine has no such address",
        ),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "nginx: [emerg] bind() to 192.0.2.1:8443 failed (13: Permission denied)",
        "nginx: [emerg] bind() to unix:/no/x.sock failed (13: Permission denied)",
        "error while loading shared libraries: libssl.so.9",
    ],
)
def test_other_failure_is_told_in_nginxs_words(line: str) -> None:
    (finding,) = start_findings([line], "exit code 1")
    assert finding.slug == "nginx-exited-at-once"
    assert line.removeprefix("nginx: ") in finding.seen


def test_silent_failure_says_that_it_was_silent() -> None:
    (finding,) = start_findings([], "killed by SIGSEGV")
    assert finding.seen == "nginx did not come up (killed by SIGSEGV) and logged nothing"
