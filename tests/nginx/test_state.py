"""The state directory: layout, modes, lock, refusals, versions, switches."""

from __future__ import annotations

import contextlib
import grp
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import EnvironmentFault, InternalFault
from handclasp.nginx.state import StateDirectory
from tests.conftest import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

PAIR = {"cert.pem": b"certificate", "key.pem": b"key", "password": b"secret"}
OTHER = {"cert.pem": b"another certificate", "key.pem": b"another key"}

root_only = pytest.mark.usefixtures("as_root")


@pytest.fixture
def as_root() -> None:
    if os.geteuid() != 0:
        absent("root, to give files to a group")


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with StateDirectory.open(tmp_path / "state", worker_group=None) as opened:
        yield opened


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def modes(top: Path) -> dict[str, int]:
    found = {str(path.relative_to(top)): mode(path) for path in top.rglob("*")}
    return {name: bits for name, bits in found.items() if not (top / name).is_symlink()}


# -- layout and modes


def test_layout_is_the_documented_one(state: StateDirectory) -> None:
    state.stage_identity("svc", "v1", PAIR)
    state.stage_trust("company", "v1", {"ca.pem": b"ca"})
    generation = state.write_generation({"nginx.conf": "events {}", "plan.json": b"{}"})
    state.switch(generation=generation, identities={"svc": "v1"}, trust={"company": "v1"}).commit()
    top = state.path
    assert (top / "generation/current").readlink() == Path("1")
    assert (top / "generation/current/nginx.conf").read_text() == "events {}"
    assert (top / "identities/svc/current").readlink() == Path("v1")
    assert (top / "identities/svc/current/key.pem").read_bytes() == b"key"
    assert list((top / "identities/svc/current/root").iterdir()) == []
    assert (top / "trust/company/current/ca.pem").read_bytes() == b"ca"
    assert (top / "nginx/logs").is_dir()
    assert (top / "nginx/temp").is_dir()
    assert mode(top / "run") == 0o750
    assert (top / "layout_version").read_text() == "1\n"
    assert (top / "lock").read_text() == f"{os.getpid()}\n"
    assert state.current_configuration == top / "generation/current/nginx.conf"
    assert (state.current_generation(), state.current_identity("svc")) == (1, "v1")
    assert state.current_trust("company") == "v1"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077], indirect=True)
def test_nothing_is_open_to_others_when_nginx_runs_as_the_owner(tmp_path: Path, umask: int) -> None:
    with StateDirectory.open(tmp_path / "state", worker_group=None) as state:
        state.stage_identity("svc", "v1", PAIR)
        state.stage_trust("company", "v1", {"ca.pem": b"ca", "crl.pem": b"crl"})
        state.write_generation({"nginx.conf": "", "links/a.conf": ""})
        state.switch(generation=1, identities={"svc": "v1"}).commit()
        assert mode(state.path) == 0o700
        found = modes(state.path)
        assert (found.pop("run"), found.pop("ask")) == (0o750, 0o750)
        wrong = {
            name: oct(bits)
            for name, bits in found.items()
            if bits != (0o700 if (state.path / name).is_dir() else 0o600)
        }
        assert wrong == {}


@pytest.mark.parametrize("umask", [0o000], indirect=True)
def test_file_is_closed_to_others_from_the_moment_it_is_there(
    state: StateDirectory, umask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = os.open, set()

    def watching(path: Path, flags: int, *rest: int) -> int:
        descriptor = real(path, flags, *rest)
        if flags & os.O_CREAT:
            seen.add((Path(path).name, stat.S_IMODE(os.fstat(descriptor).st_mode)))
        return descriptor

    monkeypatch.setattr(os, "open", watching)
    state.stage_identity("svc", "v1", PAIR)
    assert seen == {(name, 0o600) for name in PAIR}


@pytest.fixture
def open_place() -> Iterator[Path]:
    """pytest's own temporary directories are closed to other accounts."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        Path(place).chmod(0o755)
        yield Path(place)


def _worker_group() -> int:
    groups = {group.gr_name: group.gr_gid for group in grp.getgrall()}
    found = [groups[name] for name in ("www-data", "nogroup", "nobody") if name in groups]
    if not found:
        absent("a group for workers (www-data, nogroup or nobody)")
    return found[0]


@root_only
@pytest.mark.parametrize("umask", [0o000, 0o077], indirect=True)
def test_workers_group_gets_passage_and_keys_and_no_more(open_place: Path, umask: int) -> None:
    group = _worker_group()
    path = open_place / "deep" / "state"
    with StateDirectory.open(path, worker_group=group) as state:
        state.stage_identity("svc", "v1", PAIR)
        state.stage_trust("company", "v1", {"ca.pem": b"ca"})
        state.write_generation({"nginx.conf": ""})
        state.switch(generation=1, identities={"svc": "v1"}).commit()
        assert state.blocked_ancestor() is None
    passable = {
        *(".", "identities", "identities/svc", "identities/svc/v1", "identities/svc/v1/root"),
        *("nginx", "nginx/logs", "nginx/temp", "run", "ask", "policy", "denied", "acme-challenges"),
    }
    readable = {"identities/svc/v1/cert.pem", "identities/svc/v1/key.pem"}
    for name, bits in {".": mode(path), **modes(path)}.items():
        seen = (path / name).stat()
        assert seen.st_uid == 0
        if name in passable:
            assert (bits, seen.st_gid) == (0o750, group), name
        elif name in readable:
            assert (bits, seen.st_gid) == (0o640, group), name
        else:
            assert bits == (0o700 if (path / name).is_dir() else 0o600), name

    def reads(name: str, groups: list[int]) -> bool:
        command = ["cat", str(path / name)]
        done = subprocess.run(
            command, user=65534, group=65534, extra_groups=groups, check=False, capture_output=True
        )
        return done.returncode == 0

    assert reads("identities/svc/current/key.pem", [group])
    assert not reads("identities/svc/current/password", [group])
    assert not reads("generation/current/nginx.conf", [group])


@root_only
def test_strangers_cannot_read_keys_that_workers_can(open_place: Path) -> None:
    with StateDirectory.open(open_place / "state", worker_group=12345) as state:
        key = state.stage_identity("svc", "v1", PAIR) / "key.pem"
        for groups, expected in (([12345], 0), ([12346], 1)):
            done = subprocess.run(
                ["cat", str(key)],
                user=65534,
                group=groups[0],
                extra_groups=[],
                check=False,
                capture_output=True,
            )
            assert expected == done.returncode


@root_only
def test_keys_stay_the_owners_under_a_shared_account(tmp_path: Path) -> None:
    opened = StateDirectory.open(
        tmp_path / "state", worker_group=_worker_group(), workers_read_keys=False
    )
    with opened as state:
        version = state.stage_identity("svc", "v1", PAIR)
        assert mode(version / "key.pem") == 0o600
        assert mode(version) == 0o750


@root_only
def test_change_of_account_mends_modes_of_what_is_there(tmp_path: Path) -> None:
    group = _worker_group()
    for worker_group, expected in ((None, 0o600), (group, 0o640), (None, 0o600)):
        with StateDirectory.open(tmp_path / "state", worker_group=worker_group) as state:
            version = state.stage_identity("svc", "v1", PAIR)
            assert mode(version / "key.pem") == expected
            assert mode(version) == (0o700 if worker_group is None else 0o750)


@root_only
def test_ancestor_that_workers_cannot_pass_is_named(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    with StateDirectory.open(closed / "state", worker_group=_worker_group()) as state:
        assert state.blocked_ancestor() in {closed, *closed.parents}
    with StateDirectory.open(closed / "other", worker_group=None) as state:
        assert state.blocked_ancestor() is None


# -- the lock


def test_second_opener_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with StateDirectory.open(path, worker_group=None):
        code = (
            "import sys; from pathlib import Path\n"
            "from handclasp.nginx.state import StateDirectory\n"
            "try: StateDirectory.open(Path(sys.argv[1]), worker_group=None)\n"
            "except Exception as error: print(type(error).__name__, error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("EnvironmentFault")
        assert f"in use by another handclasp (pid {os.getpid()})" in done.stdout
        with pytest.raises(EnvironmentFault, match="in use by another"):
            StateDirectory.open(path, worker_group=None)
    StateDirectory.open(path, worker_group=None).close()


def test_killed_holder_leaves_the_lock_free_even_with_a_child_alive(tmp_path: Path) -> None:
    path = tmp_path / "state"
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from handclasp.nginx.state import StateDirectory\n"
        "state = StateDirectory.open(Path(sys.argv[1]), worker_group=None)\n"
        "null = subprocess.DEVNULL\n"
        "child = subprocess.Popen(['sleep', '60'], stdout=null, stderr=null)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    try:
        assert done.returncode == -9
        StateDirectory.open(path, worker_group=None).close()
    finally:
        os.kill(int(done.stdout), 9)


# -- refusals


def test_unknown_layout_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state"
    StateDirectory.open(path, worker_group=None).close()
    (path / "layout_version").write_text("99\n")
    before = modes(path)
    with pytest.raises(EnvironmentFault, match="layout version '99', this handclasp knows 1"):
        StateDirectory.open(path, worker_group=None)
    assert before == modes(path)


def test_directory_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    tmp_path.chmod(0o755)
    with pytest.raises(EnvironmentFault, match=r"not a state directory of .*'precious'"):
        StateDirectory.open(tmp_path, worker_group=None)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    assert mode(tmp_path) == 0o755


def test_empty_directory_made_by_systemd_is_taken_and_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    StateDirectory.open(tmp_path, worker_group=None).close()
    assert mode(tmp_path) == 0o700


@pytest.mark.parametrize("below", ["file", "file/state"])
def test_file_in_place_of_a_directory_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match=re.escape(str(tmp_path / below))) as caught:
        StateDirectory.open(tmp_path / below, worker_group=None)
    assert "not a directory" in str(caught.value)


@root_only
def test_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, -1)
    with pytest.raises(EnvironmentFault, match="belongs to uid 65534, not to uid 0"):
        StateDirectory.open(tmp_path, worker_group=None)


def test_directory_without_permission_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    code = (
        "import os, sys; from pathlib import Path\n"
        "from handclasp.nginx.state import StateDirectory\n"
        "from handclasp.errors import EnvironmentFault\n"
        "path = Path(sys.argv[1])\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: StateDirectory.open(path, worker_group=None)\n"
        "except EnvironmentFault as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "state")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot make the state directory" in done.stdout
    assert "permission is denied" in done.stdout
    assert "fix:" in done.stdout


# -- small and read-only file systems


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB and 100 inodes of its own."""
    if os.geteuid() != 0:
        absent("root, to mount a small tmpfs")
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=100,mode=700", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        absent(f"permission to mount a tmpfs: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _fill(place: Path) -> Path:
    """Takes every block and every inode that is left."""
    ballast = place / "nginx" / "ballast"
    ballast.mkdir()
    with (ballast / "blocks").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    with contextlib.suppress(OSError):
        for number in range(1000):
            (ballast / str(number)).touch()
    seen = os.statvfs(place)
    assert (seen.f_bfree, seen.f_ffree) == (0, 0)
    return ballast


def test_full_disk_refuses_a_version_and_leaves_no_trace(small: Path) -> None:
    with StateDirectory.open(small, worker_group=None) as state:
        state.stage_identity("svc", "v1", PAIR)
        state.switch(identities={"svc": "v1"}).commit()
        ballast = _fill(small)
        with pytest.raises(EnvironmentFault, match="no space is left") as caught:
            state.stage_identity("svc", "v2", {"cert.pem": b"x" * 9000})
        assert caught.value.hint is not None
        with pytest.raises(EnvironmentFault, match="no space is left"):
            state.write_generation({"nginx.conf": "x" * 9000})
        names = sorted(path.name for path in (small / "identities/svc").iterdir())
        assert names == ["current", "v1"]
        assert list((small / "generation").iterdir()) == []
        assert (small / "identities/svc/current/cert.pem").read_bytes() == b"certificate"
        shutil.rmtree(ballast)
        state.stage_identity("svc", "v2", {"cert.pem": b"x" * 9000})


def test_full_disk_refuses_a_switch_with_nothing_moved(small: Path) -> None:
    with StateDirectory.open(small, worker_group=None) as state:
        for version, pair in (("v1", PAIR), ("v2", OTHER)):
            state.stage_identity("svc", version, pair)
        state.switch(identities={"svc": "v1"}).commit()
        ballast = _fill(small)
        with pytest.raises(EnvironmentFault, match="no space is left"):
            state.switch(identities={"svc": "v2"})
        assert state.current_identity("svc") == "v1"
        shutil.rmtree(ballast)
        state.switch(identities={"svc": "v2"}).commit()
        assert state.current_identity("svc") == "v2"


@pytest.mark.parametrize("crash", [False, True])
def test_rollback_works_on_a_full_disk(small: Path, crash: bool) -> None:
    with StateDirectory.open(small, worker_group=None) as state:
        for version, pair in (("v1", PAIR), ("v2", OTHER)):
            state.stage_identity("svc", version, pair)
        state.switch(identities={"svc": "v1"}).commit()
        pending = state.switch(identities={"svc": "v2"})
        _fill(small)
        if not crash:
            pending.rollback()
            assert state.current_identity("svc") == "v1"
    if crash:
        # layout_version is there, so that opening writes nothing but the pid into the lock, which
        # has its page already.
        with StateDirectory.open(small, worker_group=None) as again:
            assert again.recovered is not None
            assert again.current_identity("svc") == "v1"


def test_full_disk_at_the_first_opening_is_named(small: Path) -> None:
    (small / "nginx").mkdir()
    _fill(small)
    with pytest.raises(EnvironmentFault, match="no space is left"):
        StateDirectory.open(small, worker_group=None)


def test_read_only_file_system_is_named(small: Path) -> None:
    StateDirectory.open(small / "state", worker_group=None).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    for path in (small / "state", small / "new"):
        with pytest.raises(EnvironmentFault, match="file system is read-only"):
            StateDirectory.open(path, worker_group=None)


# -- versions


def test_staging_the_same_again_changes_nothing(state: StateDirectory) -> None:
    version = state.stage_identity("svc", "v1", PAIR)
    inode = (version / "key.pem").stat().st_ino
    assert state.stage_identity("svc", "v1", PAIR) == version
    assert (version / "key.pem").stat().st_ino == inode


@pytest.mark.parametrize(
    "other", [{**PAIR, "key.pem": b"changed"}, {"cert.pem": b"certificate", "key.pem": b"key"}]
)
def test_version_cannot_change(state: StateDirectory, other: dict[str, bytes]) -> None:
    version = state.stage_identity("svc", "v1", PAIR)
    with pytest.raises(InternalFault, match="versions never change"):
        state.stage_identity("svc", "v1", other)
    assert (version / "key.pem").read_bytes() == b"key"


@pytest.mark.parametrize("name", ["", ".", "..", "current", "a/b", ".new", "x" * 201, "a\0b"])
def test_name_that_could_leave_its_place_is_refused(state: StateDirectory, name: str) -> None:
    with pytest.raises(InternalFault, match="cannot be the name"):
        state.stage_identity(name, "v1", PAIR)
    with pytest.raises(InternalFault, match="cannot be the name"):
        state.stage_identity("svc", name, PAIR)
    with pytest.raises(InternalFault, match="cannot be the name"):
        state.write_generation({f"{name}/nginx.conf" if "/" not in name else f"../{name}": ""})


def test_names_with_spaces_and_beyond_ascii_work(state: StateDirectory) -> None:
    state.stage_identity("svc é 日本", "v 1", PAIR)
    state.switch(identities={"svc é 日本": "v 1"}).commit()
    link = state.path / "identities" / "svc é 日本" / "current"
    assert (link / "key.pem").read_bytes() == b"key"


def test_file_that_has_no_place_in_an_identity_is_refused(state: StateDirectory) -> None:
    with pytest.raises(InternalFault, match=r"no file called \['nginx.conf'\]"):
        state.stage_identity("svc", "v1", {"nginx.conf": b""})


def test_generations_are_counted_up(state: StateDirectory) -> None:
    assert [state.write_generation({"nginx.conf": "x"}) for _ in range(11)] == list(range(1, 12))
    state.prune(keep=1)
    assert state.write_generation({"nginx.conf": "x"}) == 12


# -- switches


def test_switch_moves_all_links_and_rollback_moves_them_back(state: StateDirectory) -> None:
    state.stage_identity("svc", "v1", PAIR)
    state.stage_identity("svc", "v2", OTHER)
    state.stage_identity("new", "v1", PAIR)
    state.write_generation({"nginx.conf": "one"})
    state.write_generation({"nginx.conf": "two"})
    state.switch(generation=1, identities={"svc": "v1"}).commit()
    switch = state.switch(generation=2, identities={"svc": "v2", "new": "v1"})
    assert (state.current_generation(), state.current_identity("svc")) == (2, "v2")
    assert state.current_identity("new") == "v1"
    switch.rollback()
    assert (state.current_generation(), state.current_identity("svc")) == (1, "v1")
    assert state.current_identity("new") is None
    assert not switch.pending
    left = [path.name for path in state.path.rglob(".*")]
    assert left == []


def test_switch_to_what_is_not_there_moves_nothing(state: StateDirectory) -> None:
    state.stage_identity("svc", "v1", PAIR)
    with pytest.raises(InternalFault, match="no version 'v9'"):
        state.switch(identities={"svc": "v9"})
    with pytest.raises(InternalFault, match="no version '7'"):
        state.switch(generation=7, identities={"svc": "v1"})
    assert state.current_identity("svc") is None


def test_link_left_over_beside_does_not_stop_a_switch(state: StateDirectory) -> None:
    state.stage_identity("svc", "v1", PAIR)
    (state.path / "identities/svc/.current.new").symlink_to("elsewhere")
    state.switch(identities={"svc": "v1"}).commit()
    assert state.current_identity("svc") == "v1"


def test_one_switch_at_a_time(state: StateDirectory) -> None:
    state.stage_identity("svc", "v1", PAIR)
    state.stage_identity("svc", "v2", OTHER)
    first = state.switch(identities={"svc": "v1"})
    with pytest.raises(InternalFault, match="neither committed nor rolled back"):
        state.switch(identities={"svc": "v2"})
    first.commit()
    with pytest.raises(InternalFault, match="that is over"):
        first.rollback()
    state.switch(identities={"svc": "v2"}).commit()


def test_reader_never_finds_the_link_missing_while_it_moves(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    for version, pair in (("v1", PAIR), ("v2", OTHER)):
        state.stage_identity("svc", version, pair)
    state.switch(identities={"svc": "v1"}).commit()
    code = (
        "import os, sys\n"
        "link = sys.argv[1]; print('ready', flush=True); count = 0\n"
        "while not os.path.exists(sys.argv[2]):\n"
        "    version = os.path.realpath(link, strict=True)\n"
        "    pair = [open(f'{version}/{name}.pem').read() for name in ('cert', 'key')]\n"
        "    assert pair[0].replace('certificate', '') == pair[1].replace('key', ''), pair\n"
        "    count += 1\n"
        "print(count)\n"
    )
    done = state.path / "run" / "done"
    command = [
        sys.executable,
        "-c",
        code,
        str(state.path / "identities" / "svc" / "current"),
        str(done),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"ready\n"
        for round_number in range(150):
            state.switch(identities={"svc": f"v{2 - round_number % 2}"}).commit()
        done.touch()
        output, errors = reader.communicate(timeout=30)
    assert errors == b""
    assert int(output) > 10


def test_journal_of_a_stranger_stops_the_opening(state: StateDirectory) -> None:
    state.close()
    (state.path / "switch.pending").write_text("not json")
    with pytest.raises(EnvironmentFault, match="not a journal of ours"):
        StateDirectory.open(state.path, worker_group=None)


# -- pruning


def test_prune_keeps_the_newest_the_current_and_the_one_before(state: StateDirectory) -> None:
    for number in range(1, 9):
        state.stage_identity("svc", f"v{number}", {"cert.pem": b"%d" % number})
        os.utime(state.path / f"identities/svc/v{number}", ns=(number, number))
        assert state.write_generation({"nginx.conf": str(number)}) == number
        os.utime(state.path / f"generation/{number}", ns=(number, number))
    state.switch(generation=1, identities={"svc": "v2"}).commit()
    state.switch(identities={"svc": "v1"}).commit()
    state.switch(generation=3).commit()
    removed = state.prune(keep=2)
    left = {path.name for path in (state.path / "identities/svc").iterdir()}
    assert left == {"current", "v1", "v2", "v7", "v8"}
    left = {path.name for path in (state.path / "generation").iterdir()}
    assert left == {"current", "1", "3", "7", "8"}
    assert len(removed) == 8
    assert state.prune(keep=2) == ()


def test_prune_keeps_both_sides_of_a_pending_switch(state: StateDirectory) -> None:
    for number in range(1, 6):
        state.stage_identity("svc", f"v{number}", {"cert.pem": b"%d" % number})
        os.utime(state.path / f"identities/svc/v{number}", ns=(number, number))
    state.switch(identities={"svc": "v1"}).commit()
    pending = state.switch(identities={"svc": "v2"})
    state.prune(keep=1)
    left = {path.name for path in (state.path / "identities/svc").iterdir()}
    assert {"v1", "v2", "v5"} <= left
    assert not {"v3", "v4"} & left
    pending.rollback()
    assert state.current_identity("svc") == "v1"


def test_rolled_back_switch_is_not_the_one_before(state: StateDirectory) -> None:
    for number in range(1, 5):
        state.stage_identity("svc", f"v{number}", {"cert.pem": b"%d" % number})
        os.utime(state.path / f"identities/svc/v{number}", ns=(number, number))
    state.switch(identities={"svc": "v1"}).commit()
    state.switch(identities={"svc": "v2"}).commit()
    state.switch(identities={"svc": "v3"}).rollback()
    state.prune(keep=1)
    left = {path.name for path in (state.path / "identities/svc").iterdir()}
    assert left == {"current", "v1", "v2", "v4"}
