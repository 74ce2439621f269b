"""The kernel's notices come from the directories that were named, and where none come from is known."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from handclasp.agent.material_notices import Notices, read_remote_devices, remote_devices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

MOUNTS = """\
22 27 0:20 / /proc rw,nosuid shared:5 - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 27 0:45 / /srv/certs\\040of\\040all rw,relatime shared:9 master:3 - nfs4 nas:/certs rw,vers=4.2
37 27 0:46 /x /mnt/share rw - cifs //nas/share rw
38 27 0:47 / /mnt/key rw - fuse.sshfs me@there:/ rw
39 27 0:48 / /etc/handclasp/tls ro - tmpfs tmpfs rw
40 27 0:49 / /dev/fuse-control rw - fusectl none rw
41 27 0:50 / /host rw - 9p host rw
"""


def test_file_systems_that_others_write_to_are_known() -> None:
    assert remote_devices(MOUNTS) == {os.makedev(0, minor) for minor in (45, 46, 47, 50)}


@given(st.one_of(st.text(), st.text(alphabet="0123456789: -\nnfs\x1c"), st.just(MOUNTS[:200])))
def test_no_text_of_mounts_is_a_failure(text: str) -> None:
    assert all(isinstance(device, int) for device in remote_devices(text))


def test_this_machine_can_be_asked() -> None:
    assert isinstance(read_remote_devices(), frozenset)


def test_only_the_directories_of_now_are_listened_to(tmp_path: Path) -> None:
    """And not what is below them."""
    for name in ("a/below", "b"):
        (tmp_path / name).mkdir(parents=True)
    seen: list[str] = []

    async def scenario() -> None:
        notices = Notices(lambda paths: seen.extend(sorted(paths)))
        await notices.listen([str(tmp_path / "a")])
        (tmp_path / "a" / "below" / "1").touch()
        (tmp_path / "a" / "1").touch()
        await asyncio.sleep(0.4)
        await notices.listen([str(tmp_path / "b")])
        (tmp_path / "a" / "2").touch()
        (tmp_path / "b" / "2").touch()
        await asyncio.sleep(0.4)
        await notices.close()
        (tmp_path / "b" / "3").touch()
        assert notices.failure is None

    asyncio.run(scenario())
    assert seen == [str(tmp_path / "a" / "1"), str(tmp_path / "b" / "2")]


def test_a_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    told: list[set[str]] = []

    async def scenario() -> None:
        notices = Notices(told.append)
        await notices.listen([str(tmp_path / "gone")])
        assert "gone" in (notices.failure or "")
        assert told == [set()]
        await notices.listen([str(tmp_path)])
        assert notices.failure is None
        await notices.close()

    asyncio.run(scenario())


def test_a_name_that_is_no_unicode_ends_the_listening_and_is_said(tmp_path: Path) -> None:
    told: list[set[str]] = []

    async def scenario() -> None:
        notices = Notices(told.append)
        await notices.listen([str(tmp_path)])
        (tmp_path / os.fsdecode(b"\xff")).touch()
        await asyncio.sleep(0.4)
        assert notices.failure is not None
        assert set() in told
        await notices.listen([str(tmp_path / os.fsdecode(b"\xff"))])
        assert notices.failure is not None
        await notices.close()

    asyncio.run(scenario())


def test_a_source_that_ends_is_said() -> None:
    async def source(directories: Collection[str], stop: asyncio.Event) -> AsyncIterator[set[str]]:
        yield {"/a"}

    told: list[set[str]] = []

    async def scenario() -> None:
        notices = Notices(told.append, source)
        await notices.listen(["/"])
        await asyncio.sleep(0.05)
        assert notices.failure == "the watching ended"

    asyncio.run(scenario())
    assert told == [{"/a"}, set()]
