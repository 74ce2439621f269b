"""Programs that the spec names are run as it says, and whatever they do the agent goes on."""

from __future__ import annotations

import asyncio
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from handclasp.agent import journal
from handclasp.agent.counts import Counts
from handclasp.agent.hooks import AT_ONCE, MOST_WAITING, Hooks
from handclasp.monitor.events import Event
from handclasp.spec.load import parse_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
EVENT = Event("expiry-warning", 'it "ends"\nsoon', NOW, {"name": "svc-b"})


def hooks_of(folder: Path, on_event: Any, at_most_seconds: float = 10) -> Hooks:
    """As the agent has them of a spec in this folder."""
    text = yaml.safe_dump({"name": "svc-b", "on_event": on_event})
    loaded = parse_spec(text, source=str(folder / "spec.yaml"), base=PurePosixPath(folder))
    hooks = Hooks(Counts(), at_most_seconds)
    hooks.follow(loaded)
    return hooks


def told(hooks: Hooks, *events: Event) -> None:
    """Tells and waits for all of them."""

    async def run() -> None:
        for event in events:
            hooks.tell(event)
        await asyncio.gather(*hooks.under_way)

    asyncio.run(run())


def shell(script: str, *events: str) -> dict[str, Any]:
    hook: dict[str, Any] = {"command": ["/bin/sh", "-c", script]}
    return {**hook, "events": list(events)} if events else hook


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the agent's log was told as warnings."""
    lines: list[dict[str, object]] = []

    def warning(event: str, **fields: object) -> None:
        lines.append({"event": event, **fields})

    monkeypatch.setattr(journal, "warning", warning)
    return lines


def test_the_event_comes_as_json_on_standard_input_and_by_name(
    tmp_path: Path, log: list[dict[str, object]]
) -> None:
    told(hooks_of(tmp_path, shell('cat > told; echo "$HANDCLASP_EVENT" > name')), EVENT)
    assert json.loads((tmp_path / "told").read_text()) == {
        "event": "expiry-warning",
        "time": "2026-11-24T12:00:00+00:00",
        "instance": "svc-b",
        "sentence": 'it "ends"\nsoon',
        "details": {"name": "svc-b"},
    }
    assert (tmp_path / "name").read_text() == "expiry-warning\n"
    assert log == []


def test_nothing_of_the_agents_environment_is_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDCLASP_SECRET", "open sesame")
    told(hooks_of(tmp_path, {"command": ["/bin/sh", "-c", "env > seen"]}), EVENT)
    names = {line.partition("=")[0] for line in (tmp_path / "seen").read_text().splitlines()}
    assert {"PATH", "LANG", "HANDCLASP_EVENT"} <= names
    assert names <= {"PATH", "LANG", "HANDCLASP_EVENT", "PWD", "OLDPWD", "SHLVL", "_"}


def test_open_files_of_the_agent_are_not_handed_on(tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        told(hooks_of(tmp_path, shell("ls -l /proc/self/fd > seen")), EVENT)
    assert "secret" not in (tmp_path / "seen").read_text()


def test_arguments_are_no_shell_text(tmp_path: Path) -> None:
    (tmp_path / "print").write_text('#!/bin/sh\nprintf "%s" "$1" > "$(dirname "$0")/seen"\n')
    (tmp_path / "print").chmod(0o755)
    # A path with a slash is relative to the spec's directory.
    told(hooks_of(tmp_path, {"command": ["./print", "$(touch x); `y` *"]}), EVENT)
    assert (tmp_path / "seen").read_text() == "$(touch x); `y` *"
    assert not (tmp_path / "x").exists()


def test_a_hook_is_run_for_its_events_and_others_for_theirs(tmp_path: Path) -> None:
    hooks = hooks_of(
        tmp_path,
        [
            shell("echo all >> seen"),
            shell("echo expiry >> seen", "expiry-warning", "expiry-critical"),
            shell("echo nginx >> seen", "nginx-ended"),
        ],
    )
    told(hooks, EVENT)
    assert sorted((tmp_path / "seen").read_text().split()) == ["all", "expiry"]


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (
            shell("cat >/dev/null; echo first >&2; echo no pager >&2; exit 3"),
            "exit code 3: no pager",
        ),
        (shell("exit 1"), "exit code 1"),
        (shell("kill -9 $$"), "ended by signal 9"),
        ({"command": ["/does/not/exist"]}, "No such file or directory"),
        ({"command": ["/etc/passwd"]}, "Permission denied"),
    ],
)
def test_one_that_fails_costs_one_line(
    tmp_path: Path, log: list[dict[str, object]], hook: dict[str, Any], why: str
) -> None:
    hooks = hooks_of(tmp_path, hook)
    told(hooks, EVENT)
    assert [line["why"] for line in log] == [why]
    assert hooks._counts.hook_failures == 1


def test_one_that_hangs_is_ended_with_its_children(
    tmp_path: Path, log: list[dict[str, object]]
) -> None:
    hooks = hooks_of(tmp_path, shell("sleep 60 & echo $! > child; wait"), at_most_seconds=0.5)
    begun = time.monotonic()
    told(hooks, EVENT)
    assert time.monotonic() - begun < 8
    assert "longer than 0.5 s" in str(log[0]["why"])
    child = int((tmp_path / "child").read_text())
    assert gone(child)


def test_what_one_leaves_running_is_ended_with_it(tmp_path: Path) -> None:
    told(hooks_of(tmp_path, shell("sleep 60 & echo $! > child")), EVENT)
    assert gone(int((tmp_path / "child").read_text()))


def test_one_that_floods_its_error_output_is_read_to_the_last_line(
    tmp_path: Path, log: list[dict[str, object]]
) -> None:
    flood = "i=0; while [ $i -lt 20000 ]; do echo line $i >&2; i=$((i+1)); done; exit 1"
    told(hooks_of(tmp_path, shell(flood)), EVENT)
    assert [line["why"] for line in log] == ["exit code 1: line 19999"]


def test_one_that_does_not_read_does_no_harm(tmp_path: Path, log: list[dict[str, object]]) -> None:
    large = Event("nginx-ended", "x" * 500_000, NOW)
    told(hooks_of(tmp_path, shell("exec <&-; exit 0")), large)
    assert log == []


def test_telling_returns_at_once_and_few_run_at_a_time(tmp_path: Path) -> None:
    script = "mkdir running.$$; ls -d running.* | wc -l >> seen; sleep 0.2; rmdir running.$$"
    hooks = hooks_of(tmp_path, shell(script))
    begun = time.monotonic()

    async def run() -> None:
        for _ in range(3 * AT_ONCE):
            hooks.tell(EVENT)
        assert time.monotonic() - begun < 0.2
        await asyncio.gather(*hooks.under_way)

    asyncio.run(run())
    at_once = [int(count) for count in (tmp_path / "seen").read_text().split()]
    assert len(at_once) == 3 * AT_ONCE
    assert max(at_once) <= AT_ONCE


def test_one_that_hangs_keeps_no_other_from_being_told(tmp_path: Path) -> None:
    hooks = hooks_of(tmp_path, [shell("sleep 60"), shell("echo told >> told")], at_most_seconds=30)

    def said() -> int:
        path = tmp_path / "told"
        return len(path.read_text().splitlines()) if path.exists() else 0

    async def run() -> None:
        for _ in range(AT_ONCE + 2):
            hooks.tell(EVENT)
        await until(lambda: said() == AT_ONCE + 2)
        await hooks.stop()

    asyncio.run(run())


def test_a_storm_of_events_is_bounded_and_said_once(
    tmp_path: Path, log: list[dict[str, object]]
) -> None:
    hooks = hooks_of(tmp_path, shell("echo >> seen"))
    most = AT_ONCE + MOST_WAITING
    told(hooks, *[EVENT] * (most + 50))
    assert len((tmp_path / "seen").read_text().splitlines()) == most
    assert len(log) == 1
    assert hooks._counts.hook_failures == 50


def test_one_that_is_nearly_done_when_the_agent_ends_is_let_finish(tmp_path: Path) -> None:
    hooks = hooks_of(tmp_path, shell("touch begun; sleep 0.2; touch done"))

    async def run() -> None:
        hooks.tell(EVENT)
        await until((tmp_path / "begun").exists)
        await hooks.stop()

    asyncio.run(run())
    assert (tmp_path / "done").exists()


def test_when_the_agent_ends_so_do_they(tmp_path: Path) -> None:
    hooks = hooks_of(tmp_path, shell("echo $$ > child; sleep 60"))

    async def run() -> None:
        hooks.tell(EVENT)
        await until((tmp_path / "child").exists)
        begun = time.monotonic()
        await hooks.stop()
        assert time.monotonic() - begun < 5

    asyncio.run(run())
    assert gone(int((tmp_path / "child").read_text()))


async def until(holds: Callable[[], bool], within: float = 10) -> None:
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def gone(pid: int, within: float = 5) -> bool:
    """Whether the process has ended (a zombie that nobody reaps has), now or soon."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def refused(on_event: object) -> Sequence[str]:
    from handclasp.findings import FindingsError

    with pytest.raises(FindingsError) as caught:
        parse_spec(
            yaml.safe_dump({"name": "x", "on_event": on_event}),
            source="spec.yaml",
            base=PurePosixPath("/"),
        )
    return [finding.seen for finding in caught.value.findings]


def test_a_spec_that_asks_for_what_there_is_not_is_refused() -> None:
    assert "expiry-warning" in refused({"command": ["x"], "events": ["expiry-warnin"]})[0]
    assert refused({"command": []})
    assert refused({"command": "page me"})
    assert refused({"command": ["x"], "events": []})
    assert refused({"events": ["nginx-ended"]})
