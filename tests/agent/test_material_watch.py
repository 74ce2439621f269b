"""Files that change are told once they are whole, however they change and with or without notices of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent import material_stamps
from handclasp.agent.clock import SystemClock
from handclasp.agent.material_notices import by_inotify
from handclasp.agent.material_stamps import mark
from handclasp.agent.material_watch import MaterialWatch, Pace
from handclasp.errors import UsageError
from handclasp.rotate.gather import Rules, Settled, Unit, Unsettled
from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable

    from handclasp.rotate.gather import Told

QUIET = Rules(quiet_seconds=0.15, at_most_seconds=0.8, patience_seconds=1.2)
NEVER = Pace(usual_seconds=600, unnoticed_seconds=600, noise_seconds=600)
"""Only notices of the kernel make it look."""
DEAF = Pace(
    usual_seconds=600,
    unnoticed_seconds=0.1,
    noise_seconds=600,
    retry_seconds=600,
    longest_retry_seconds=600,
)
"""Only looks where no notices come, and inotify is not tried again."""
SOON = 8.0
"""Seconds within which a change is told on a busy machine: 0.4 where nothing else runs."""


async def nothing(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
    """A kernel that gives no notice, and does not say so."""
    await stop.wait()
    return
    yield


async def exhausted(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
    """A kernel that cannot give notice."""
    raise OSError(28, "OS file watch limit reached")
    yield


class Watching:
    """A watch at work, and what it told."""

    def __init__(self, watch: MaterialWatch, task: asyncio.Task[None], told: list[Told]) -> None:
        self.watch, self.task, self.told = watch, task, told

    async def news(self, count: int, within: float = SOON) -> list[Told]:
        """What was told, once it is so much."""
        async with asyncio.timeout(within):
            while len(self.told) < count:
                assert not self.task.done(), self.task.exception()
                await asyncio.sleep(0.01)
        return self.told

    async def stays(self, count: int, seconds: float = 0.6) -> None:
        """No more is told than this."""
        await asyncio.sleep(seconds)
        assert len(self.told) == count
        assert not self.task.done()


@asynccontextmanager
async def watching(*units: Unit, settle: float = 0.25, **how: Any) -> AsyncIterator[Watching]:
    """Watches units whose files have been read; goes on when the watching has begun."""
    told: list[Told] = []
    watch = MaterialWatch(SystemClock(), **{"rules": QUIET, "pace": NEVER, **how})
    watch.follow(units, since=mark(file for unit in units for file in unit.files))
    task = asyncio.ensure_future(watch.watch(told.append))
    try:
        await asyncio.sleep(settle)
        yield Watching(watch, task, told)
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


def digests(told: Told) -> list[str | None]:
    return [stamp.digest for stamp in told.stamps]


def sha256(*contents: str) -> list[str]:
    return [hashlib.sha256(content.encode()).hexdigest() for content in contents]


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def linked(link: Path, target: str) -> None:
    """Makes the link, or moves it there in one step."""
    new = link.with_name(f".{link.name}.new")
    new.symlink_to(target)
    new.rename(link)


def kubernetes(mount: Path, version: str, content: str) -> None:
    """As kubelet does it: files in a directory of their own, `..data` moved to it, the old one removed."""
    before = mount / "..data"
    old = before.readlink() if before.is_symlink() else None
    written(mount / version / "tls.crt", content)
    linked(mount / "..data", version)
    if not (mount / "tls.crt").is_symlink():
        (mount / "tls.crt").symlink_to("..data/tls.crt")
    if old is not None:
        shutil.rmtree(mount / old)


def in_place(file: Path, content: str) -> None:
    file.write_text(content)


def in_place_with_its_old_date(file: Path, content: str) -> None:
    status = file.stat()
    file.write_text(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def by_rename(file: Path, content: str) -> None:
    written(file.with_name("tls.crt.tmp"), content).rename(file)


def by_another_link(file: Path, content: str) -> None:
    version = f"../v-{content}/tls.crt"
    written(file.parent / version, content)
    linked(file, version)


def by_another_directory_link(file: Path, content: str) -> None:
    """`live` is a link to the directory of a version."""
    where = file.parent.parent
    written(where / f"live-{content}" / file.name, content)
    if file.parent.is_symlink():
        linked(file.parent, f"live-{content}")
    else:
        shutil.rmtree(file.parent)
        linked(file.parent, f"live-{content}")


def by_kubernetes(file: Path, content: str) -> None:
    if not file.is_symlink():
        file.unlink()
    kubernetes(file.parent, f"..{content}", content)


def by_removal(file: Path, content: str) -> None:
    file.unlink()
    file.write_text(content)


def by_another_directory(file: Path, content: str) -> None:
    new = written(file.parent.with_name(f"new-{content}") / file.name, content).parent
    file.parent.rename(file.parent.with_name(f"old-{content}"))
    new.rename(file.parent)


def by_removal_of_the_directory(file: Path, content: str) -> None:
    shutil.rmtree(file.parent)
    written(file, content)


def by_removal_of_the_directories(file: Path, content: str) -> None:
    shutil.rmtree(file.parent.parent)
    written(file, content)


CHANGES = [
    in_place,
    in_place_with_its_old_date,
    by_rename,
    by_another_link,
    by_another_directory_link,
    by_kubernetes,
    by_removal,
    by_another_directory,
    by_removal_of_the_directory,
    by_removal_of_the_directories,
]
WAYS: list[dict[str, Any]] = [{}, {"source": exhausted, "pace": DEAF}]


@pytest.mark.parametrize("way", WAYS, ids=["noticed", "polled"])
def test_a_change_of_any_kind_is_told_once_and_so_is_the_next(
    tmp_path: Path, way: dict[str, Any]
) -> None:
    """The content is as long as before, and of the same moment as far as the change can have it so."""
    files = {change: tmp_path / change.__name__ / "where" / "tls.crt" for change in CHANGES}
    for change, file in files.items():
        change(written(file, "old"), "one")

    async def scenario() -> None:
        units = [Unit(change.__name__, (file,)) for change, file in files.items()]
        async with watching(*units, **way) as seen:
            await seen.stays(0, 0.1)
            for content in ("two", "six"):
                seen.told.clear()
                for change, file in files.items():
                    change(file, content)
                told = await seen.news(len(units))
                assert {one.unit for one in told} == {unit.name for unit in units}
                assert all(isinstance(one, Settled) for one in told)
                assert {one.unit for one in told if digests(one) != sha256(content)} == set()
                await seen.stays(len(units), 0.4)
            assert seen.watch.problems == {}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "change",
    [by_removal_of_the_directory, by_removal_of_the_directories, by_another_directory],
    ids=lambda change: change.__name__,
)
def test_another_directory_of_the_same_name_is_listened_to(
    tmp_path: Path, change: Callable[[Path, str], None]
) -> None:
    """Also when it got the inode of the one before, as on ext4."""
    file = written(tmp_path / "some" / "where" / "tls.crt", "one")

    async def scenario() -> None:
        async with watching(Unit("api", (file,))) as seen:
            change(file, "two")
            await seen.news(1)
            await seen.stays(1, 0.3)
            in_place(file, "six")
            assert digests((await seen.news(2))[1]) == sha256("six")

    asyncio.run(scenario())


def test_what_changes_before_the_first_notice_can_come_is_seen(tmp_path: Path) -> None:
    file = written(tmp_path / "tls.crt", "one")

    async def source(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
        file.write_text("two")
        await stop.wait()
        return
        yield

    async def scenario() -> None:
        async with watching(Unit("api", (file,)), source=source) as seen:
            assert digests((await seen.news(1))[0]) == sha256("two")

    asyncio.run(scenario())


def test_without_looks_and_notices_nothing_would_be_seen(tmp_path: Path) -> None:
    """So what the tests above saw, they saw by notices, or by polling."""
    file = written(tmp_path / "tls.crt", "one")

    async def scenario() -> None:
        async with watching(Unit("api", (file,)), source=nothing) as seen:
            file.write_text("two")
            await seen.stays(0)

    asyncio.run(scenario())


def test_the_usual_look_sees_what_no_notice_was_given_of(tmp_path: Path) -> None:
    file = written(tmp_path / "tls.crt", "one")

    async def scenario() -> None:
        pace = Pace(usual_seconds=0.2)
        async with watching(Unit("api", (file,)), source=nothing, pace=pace) as seen:
            in_place_with_its_old_date(file, "two")
            assert digests((await seen.news(1))[0]) == sha256("two")
            assert seen.watch.unnoticed is None

    asyncio.run(scenario())


def test_notices_of_others_are_a_reason_to_look_too(tmp_path: Path) -> None:
    """The kernel's queue overflows, and the notice of ours is among those that are lost."""
    file = written(tmp_path / "tls.crt", "one")

    async def others(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
        while not stop.is_set():
            await asyncio.sleep(0.01)
            yield {f"{tmp_path}/other"}

    async def scenario() -> None:
        pace = Pace(usual_seconds=600, noise_seconds=0.3)
        async with watching(Unit("api", (file,)), source=others, pace=pace) as seen:
            file.write_text("two")
            await seen.news(1)

    asyncio.run(scenario())


def test_two_files_two_seconds_apart_are_told_together(tmp_path: Path) -> None:
    certificate, key = written(tmp_path / "tls.crt", "1"), written(tmp_path / "tls.key", "1")

    def why_not_whole(unit: Unit) -> str | None:
        one, other = (file.read_text() for file in unit.files)
        return None if one == other else f"{one} and {other}"

    async def scenario() -> None:
        rules = Rules(quiet_seconds=0.2, at_most_seconds=1.0, patience_seconds=30.0)
        unit = Unit("api", (certificate, key))
        async with watching(unit, rules=rules, why_not_whole=why_not_whole) as seen:
            certificate.write_text("2")
            await seen.stays(0, 2.0)
            key.write_text("2")
            assert (await seen.news(1))[0] == Settled("api", seen.told[0].stamps)
            assert digests(seen.told[0]) == sha256("2", "2")
            await seen.stays(1, 0.3)

    asyncio.run(scenario())


def test_a_pair_that_does_not_become_one_is_said_once(tmp_path: Path) -> None:
    certificate, key = written(tmp_path / "tls.crt", "1"), written(tmp_path / "tls.key", "1")

    def why_not_whole(unit: Unit) -> str | None:
        if unit.files[0].read_text() != unit.files[1].read_text():
            raise UsageError("the key is of another certificate")
        return None

    async def scenario() -> None:
        unit = Unit("api", (certificate, key))
        async with watching(unit, why_not_whole=why_not_whole) as seen:
            certificate.write_text("2")
            await seen.stays(0, 1.0)
            told = await seen.news(1)
            assert isinstance(told[0], Unsettled)
            assert seen.watch.problems == {"api": "the key is of another certificate"}
            await seen.stays(1, 0.8)
            key.write_text("2")
            assert isinstance((await seen.news(2))[1], Settled)
            assert seen.watch.problems == {}

    asyncio.run(scenario())


def test_what_cannot_be_judged_is_not_whole(tmp_path: Path) -> None:
    failures = {"value": ValueError("no such curve"), "os": OSError(5, "Input/output error")}
    units = [Unit(name, (written(tmp_path / name, "one"),)) for name in failures]

    def why_not_whole(unit: Unit) -> None:
        raise failures[unit.name]

    async def scenario() -> None:
        async with watching(*units, why_not_whole=why_not_whole) as seen:
            for unit in units:
                unit.files[0].write_text("two")
            await seen.news(2)
            assert seen.watch.problems == {name: str(error) for name, error in failures.items()}

    asyncio.run(scenario())


def test_what_changes_while_it_is_judged_is_judged_again(tmp_path: Path) -> None:
    """What is told is what was judged."""
    file = written(tmp_path / "tls.crt", "one")
    judged: list[str] = []

    def why_not_whole(_: Unit) -> None:
        judged.append(file.read_text())
        if len(judged) == 1:
            file.write_text("six")

    async def scenario() -> None:
        unit = Unit("api", (file,))
        async with watching(unit, source=nothing, why_not_whole=why_not_whole) as seen:
            file.write_text("two")
            seen.watch.follow([unit])
            assert digests((await seen.news(1))[0]) == sha256("six")
            assert judged == ["two", "six"]

    asyncio.run(scenario())


def test_a_thousand_changes_are_few_pieces_of_news(tmp_path: Path) -> None:
    units = [
        Unit(
            name, (written(tmp_path / name / "tls.crt", "0"), written(tmp_path / name / "key", "0"))
        )
        for name in "abcdefghij"
    ]

    async def scenario() -> None:
        rules = Rules(quiet_seconds=0.4, at_most_seconds=60.0)
        async with watching(*units, rules=rules) as seen:
            for n in range(1, 51):
                for unit in units:
                    for file in unit.files:
                        file.write_text(str(n))
                await asyncio.sleep(0)
            await seen.news(len(units))
            await seen.stays(len(units))
            assert {told.unit for told in seen.told} == set("abcdefghij")
            assert all(digests(told) == sha256("50", "50") for told in seen.told)

    asyncio.run(scenario())


def test_what_changes_for_ever_holds_up_nobody_else_and_not_itself_for_ever(tmp_path: Path) -> None:
    busy, calm = written(tmp_path / "busy", "0"), written(tmp_path / "calm", "0")

    async def write_on() -> None:
        for n in range(1000):
            busy.write_text(str(n))
            await asyncio.sleep(0.03)

    judged: list[str] = []

    def why_not_whole(unit: Unit) -> None:
        """As if it was written to in just that moment."""
        judged.append(unit.name)
        if unit.name == "busy" and busy.read_text() != "end":
            busy.write_text(f"while it is judged for the {len(judged)}th time")

    async def scenario() -> None:
        units = Unit("busy", (busy,)), Unit("calm", (calm,))
        rules = Rules(quiet_seconds=0.15, at_most_seconds=2.0)
        async with watching(*units, rules=rules, why_not_whole=why_not_whole) as seen:
            writing = asyncio.ensure_future(write_on())
            calm.write_text("1")
            told = await seen.news(2)
            writing.cancel()
            await asyncio.wait([writing])
            assert [one.unit for one in told] == ["calm", "busy"]
            assert [isinstance(one, Settled) and one.restless for one in told] == [False, True]
            busy.write_text("end")
            assert digests((await seen.news(3))[2]) == sha256("end")

    asyncio.run(scenario())


def test_a_file_that_is_gone_for_a_moment_and_comes_back_is_no_news(tmp_path: Path) -> None:
    file = written(tmp_path / "tls.crt", "one")

    async def scenario() -> None:
        async with watching(Unit("api", (file,))) as seen:
            file.unlink()
            await seen.stays(0, 0.8)
            file.write_text("one")
            file.chmod(0o644)
            await seen.stays(0, 2.0)

    asyncio.run(scenario())


def test_what_is_no_file_any_more_is_said_and_hinders_nobody(tmp_path: Path) -> None:
    """Nor does the watch wait for a FIFO or a terminal."""
    whys = {
        "gone": "is not there",
        "directory": "is a directory, not a file",
        "fifo": "is a FIFO, not a file",
        "device": "is a device, not a file",
        "loop": "cannot be read: Too many levels of symbolic links",
        "empty": "is empty",
        "moved": "is not there",
    }
    units = {name: Unit(name, (written(tmp_path / name / "tls.crt", "1"),)) for name in whys}
    other = Unit("other", (written(tmp_path / "other.crt", "one"),))

    def spoil() -> None:
        at = {name: unit.files[0] for name, unit in units.items()}
        for name in ("gone", "directory", "fifo", "device", "loop"):
            at[name].unlink()
        at["directory"].mkdir()
        os.mkfifo(at["fifo"])
        at["device"].symlink_to("/dev/tty")
        at["loop"].symlink_to("tls.crt")
        at["empty"].write_text("")
        at["moved"].parent.rename(tmp_path / "elsewhere")

    def mend() -> None:
        (tmp_path / "directory" / "tls.crt").rmdir()
        for name in ("fifo", "device", "loop"):
            (tmp_path / name / "tls.crt").unlink()
        for unit in units.values():
            written(unit.files[0], "1")

    async def scenario() -> None:
        async with watching(*units.values(), other) as seen:
            spoil()
            other.files[0].write_text("two")
            assert (await seen.news(1))[0].unit == "other"
            await seen.news(1 + len(whys))
            assert seen.watch.problems == {
                name: f"{units[name].files[0]} {why}" for name, why in whys.items()
            }
            mend()
            await seen.news(1 + 2 * len(whys))
            assert seen.watch.problems == {}, "each is whole again"

    asyncio.run(scenario())


@pytest.mark.parametrize("of", ["file", "directory"])
def test_a_permission_that_is_lost_is_said_and_so_is_its_return(of: str) -> None:
    if os.geteuid() != 0:
        absent("root, to become somebody else who may lose a permission")
    nobody = 65534

    async def scenario(file: Path) -> None:
        lost = file if of == "file" else file.parent
        # What may not be listened to is looked at each second.
        async with watching(Unit("api", (file,)), pace=DEAF) as seen:
            lost.chmod(0)
            assert isinstance((await seen.news(1))[0], Unsettled)
            assert "cannot be read: Permission denied" in seen.watch.problems["api"]
            assert seen.watch.unnoticed is None, "the others are listened to as before"
            lost.chmod(0o700)
            assert isinstance((await seen.news(2))[1], Settled)
            assert seen.watch.problems == {}

    with tempfile.TemporaryDirectory() as directory:  # not below a directory of root's alone
        file = written(Path(directory) / "certs" / "tls.key", "one")
        for path in (file, file.parent, file.parent.parent):
            os.chown(path, nobody, nobody)
        os.seteuid(nobody)
        try:
            asyncio.run(scenario(file))
        finally:
            os.seteuid(0)


def test_what_changed_between_the_reading_and_the_following_is_told(tmp_path: Path) -> None:
    file, other = written(tmp_path / "a", "one"), written(tmp_path / "b", "one")

    async def scenario() -> None:
        async with watching() as seen:
            marked = mark([file, other])
            file.write_text("two")
            seen.watch.follow([Unit("api", (file,)), Unit("other", (other,))], since=marked)
            assert (await seen.news(1))[0].unit == "api"
            await seen.stays(1, 0.3)
            # Nobody says what has been read: what is followed goes on, what is new is told.
            other.write_text("two")
            seen.watch.follow([Unit("other", (other,)), Unit("both", (file, other))])
            await seen.news(3)
            assert {told.unit for told in seen.told[1:]} == {"other", "both"}
            # And what is followed no longer is not.
            seen.watch.follow([Unit("other", (other,))])
            file.write_text("six")
            await seen.stays(3)

    asyncio.run(scenario())


def test_what_the_reader_read_by_itself_is_not_told(tmp_path: Path) -> None:
    file = written(tmp_path / "a", "one")

    async def scenario() -> None:
        unit = Unit("api", (file,))
        async with watching(unit) as seen:
            file.write_text("two")
            seen.watch.follow([unit], since=mark([file]))
            await seen.stays(0)

    asyncio.run(scenario())


def test_other_machines_files_are_looked_at_each_second_and_never_listened_to(
    tmp_path: Path,
) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    file = written(far / "tls.crt", "one")
    listened: list[Collection[str]] = []

    async def source(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
        listened.append(directories)
        await stop.wait()
        return
        yield

    device = frozenset([tmp_path.stat().st_dev])

    async def scenario() -> None:
        units = Unit("api", (file,)), Unit("nowhere", (near / "tls.crt",))
        async with watching(*units, source=source, remote=lambda: device, pace=DEAF) as seen:
            in_place_with_its_old_date(file, "two")
            await seen.news(1)
            assert listened == []

    asyncio.run(scenario())


def test_the_dates_of_other_machines_files_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that a network file system gives are as old as its cache of them."""
    file = written(tmp_path / "tls.crt", "one")
    device = frozenset([tmp_path.stat().st_dev])
    monkeypatch.setattr(material_stamps, "_UNSURE_SECONDS", 0.0)
    monkeypatch.setattr(material_stamps, "_key", lambda _: (1,))
    pace = Pace(usual_seconds=0.3, unnoticed_seconds=0.1)

    async def scenario(remote: frozenset[int], count: int) -> None:
        how: dict[str, Any] = {"source": nothing, "pace": pace, "remote": lambda: remote}
        async with watching(Unit("api", (file,)), **how) as seen:
            await seen.stays(0, 0.3)
            file.write_text(f"to be seen {count} times")
            await seen.news(count)
            await seen.stays(count)

    asyncio.run(scenario(device, 1))
    asyncio.run(scenario(frozenset(), 0))


def test_when_notices_fail_it_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path / "tls.crt", "one")
    tries = 0

    async def source(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
        nonlocal tries
        if (tries := tries + 1) <= 3:
            raise RuntimeError("Too many open files")
        async for paths in by_inotify(directories, stop):
            yield paths

    async def scenario() -> None:
        pace = Pace(usual_seconds=600, unnoticed_seconds=0.1, noise_seconds=600, retry_seconds=0.1)
        async with watching(Unit("api", (file,)), source=source, pace=pace, settle=0.05) as seen:
            assert seen.watch.unnoticed == "Too many open files"
            file.write_text("two")
            await seen.news(1)
            await asyncio.sleep(1.0)
            assert seen.watch.unnoticed is None
            file.write_text("six")
            await seen.news(2)

    asyncio.run(scenario())
    assert [record.message for record in caplog.records].count(
        "changes of files are looked for every second"
    ) == 1


@pytest.mark.parametrize("limit", ["instances", "watches"])
def test_where_the_kernel_has_no_more_inotify_changes_are_seen_by_polling(
    tmp_path: Path, limit: str
) -> None:
    """The real limit, in a user namespace of its own."""
    script = f"""
import asyncio, pathlib
from handclasp.agent.clock import SystemClock
from handclasp.agent.material_watch import MaterialWatch, Pace
from handclasp.agent.material_stamps import mark
from handclasp.rotate.gather import Unit
async def main():
    file = pathlib.Path({str(tmp_path)!r}) / "tls.crt"
    file.write_text("one")
    watch = MaterialWatch(SystemClock(), pace=Pace(usual_seconds=600, unnoticed_seconds=0.2))
    watch.follow([Unit("api", (file,))], since=mark([file]))
    news = asyncio.Event()
    task = asyncio.ensure_future(watch.watch(lambda told: news.set()))
    await asyncio.sleep(0.3)
    print("unnoticed:", watch.unnoticed)
    file.write_text("two")
    await asyncio.wait_for(news.wait(), 5)
    print("seen")
    task.cancel()
    await asyncio.wait([task])
asyncio.run(main())
"""
    sysctl = f"/proc/sys/user/max_inotify_{limit}"
    if subprocess.run(
        ["unshare", "-Ur", "sh", "-c", f"echo 0 > {sysctl}"], capture_output=True, check=False
    ).returncode:
        absent("user namespaces with limits of their own")
    result = subprocess.run(
        [
            "unshare",
            "-Ur",
            "sh",
            "-c",
            f'echo 0 > {sysctl}; exec "$0" -c "$1"',
            sys.executable,
            script,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout.splitlines()[-1:] == ["seen"], result.stderr
    assert "unnoticed: None" not in result.stdout
    assert "limit reached" in result.stdout or "Too many open files" in result.stdout


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_watch_that_ends_leaves_neither_threads_nor_descriptors(tmp_path: Path) -> None:
    files = [written(tmp_path / str(n) / "tls.crt", "one") for n in range(20)]

    async def scenario(units: Iterable[Unit]) -> None:
        async with watching(*units) as seen:
            shutil.rmtree(tmp_path / "3", ignore_errors=True)
            await asyncio.sleep(0.3)
            assert seen.told == []

    units = [Unit(str(n), (file,)) for n, file in enumerate(files)]
    asyncio.run(scenario(units))
    before, threads = descriptors(), threading.active_count()
    asyncio.run(scenario(units))
    assert descriptors() <= before
    assert threading.active_count() <= threads
