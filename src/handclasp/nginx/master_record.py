"""`nginx/master.json`: which process is our nginx, said so that no other can be taken for it.

A pid alone is reused; pid, start time and boot together are not. A state directory may be copied
while its nginx runs, record and pid file included: so a master is ours only if it says, in its
arguments, that it runs on this very prefix. Written as soon as nginx is spawned and again when it
is ready, so that an agent killed meanwhile leaves a trace of it.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from handclasp.nginx import durable, proc

RECORD_FILE = "master.json"
SUCCESSOR_FILE = "successor.json"
"""The record of an nginx that is to take the place of master.json's, until it is proven."""
RETIRED_FILES = "retired-*.json"
"""Records of masters that are gone and whose workers may still be answering requests."""
PID_FILE = "nginx.pid"
"""Inside the prefix; the rendered configuration must say `pid nginx.pid;` or its absolute path."""
TITLE = "nginx: master process "
"""ngx_master_process_cycle sets this title, followed by the arguments."""
# As `NginxMaster.start` gives them: [-e stderr] -p PREFIX -c CONFIGURATION.
_ARGUMENTS = re.compile(r"(?P<program>.*?) -p (?P<prefix>/.*) -c (?P<configuration>/.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterRecord:
    """One nginx master, and the file it runs as that was when it started."""

    pid: int
    start_time: int
    boot_id: str
    arguments: tuple[str, ...]
    configuration: str
    log_path: str
    executable: str
    device: int
    inode: int
    mtime_ns: int
    program: str = ""  # what was started, links followed: a wrapper script, or the executable
    generation: int = 0  # of a successor alone: what it was started for, in effect once proven

    @classmethod
    def of(
        cls,
        pid: int,
        *,
        arguments: tuple[str, ...],
        configuration: str,
        log_path: str,
        generation: int = 0,
    ) -> MasterRecord | None:
        """Describes a running process; None when it is gone or not to be seen."""
        stat, executable = proc.read_stat(pid), proc.executable(pid)
        if stat is None or executable is None:
            return None
        try:
            file = Path(f"/proc/{pid}/exe").stat()
        except OSError:
            return None
        return cls(
            pid=pid,
            start_time=stat.start_time,
            boot_id=proc.boot_id(),
            arguments=arguments,
            configuration=configuration,
            log_path=log_path,
            executable=executable,
            device=file.st_dev,
            inode=file.st_ino,
            mtime_ns=file.st_mtime_ns,
            program=os.path.realpath(arguments[0]),
            generation=generation,
        )

    @classmethod
    def read(cls, prefix: Path, file: str = RECORD_FILE) -> MasterRecord | None:
        """The record of a prefix; None when there is none of this form, or it was copied there."""
        try:
            content = json.loads((prefix / file).read_bytes())
            record = cls(**{**content, "arguments": tuple(content["arguments"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return record if _same_directory(record.prefix, prefix) else None

    def seen_again(self) -> MasterRecord | None:
        """The same process as it is now; None when it is gone."""
        return MasterRecord.of(
            self.pid,
            arguments=self.arguments,
            configuration=self.configuration,
            log_path=self.log_path,
            generation=self.generation,
        )

    def without_generation(self) -> MasterRecord:
        """As the record of the master of its prefix."""
        return replace(self, generation=0)

    def write(self, prefix: Path, file: str | None = None) -> None:
        """Writes it whole, to `file` or where it belongs. Raises EnvironmentFault."""
        path = prefix / (file or (SUCCESSOR_FILE if self.generation else RECORD_FILE))
        text = json.dumps(asdict(self), indent=1)
        with durable.reported("write", path):
            durable.replace_file(path, text.encode(), durable.Access(0o600))

    @property
    def retired_file(self) -> str:
        """Its name among RETIRED_FILES."""
        return RETIRED_FILES.replace("*", str(self.pid))

    @property
    def prefix(self) -> str:
        """What it was given as -p; empty when nothing was."""
        given = dict(zip(self.arguments, self.arguments[1:], strict=False))
        return given.get("-p", "")

    def is_alive(self) -> bool:
        """Whether this very process still runs, as a master on its prefix, from the same file."""
        stat = proc.read_stat(self.pid)
        return (
            stat is not None
            and stat.start_time == self.start_time
            and self.boot_id == proc.boot_id()
            and self.is_title(proc.title(self.pid))
            and self._is_executed()
        )

    def is_title(self, title: str) -> bool:
        """Whether a command line is this master's: before nginx sets its title, the arguments stand
        there, maybe behind those of a wrapper script."""
        return f" -p {self.prefix} -c {self.configuration}" in title

    def binary_change(self) -> str | None:
        """A sentence when the file on disk is no longer the one that runs, as after an upgrade."""
        path = self.executable.removesuffix(" (deleted)")
        try:
            seen = Path(path).stat()
        except OSError:
            return (
                f"{path} is gone from disk; the running nginx (pid {self.pid}) goes on without it"
            )
        if (seen.st_dev, seen.st_ino, seen.st_mtime_ns) != (self.device, self.inode, self.mtime_ns):
            return f"{path} was replaced since nginx (pid {self.pid}) started"
        return None

    def _is_executed(self) -> bool:
        # The file that runs keeps its inode when another takes its name.
        try:
            seen = Path(f"/proc/{self.pid}/exe").stat()
        except OSError:
            return False
        return (seen.st_dev, seen.st_ino) == (self.device, self.inode)


def _same_directory(one: str | Path, other: Path) -> bool:
    try:
        return Path(one).samefile(other)
    except OSError:
        return False


def written_pid(prefix: Path) -> int | None:
    """What the pid file says; None also for an empty one, as `nginx -t` leaves it."""
    try:
        return int((prefix / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


def write_pid(prefix: Path, pid: int) -> None:
    """As nginx does it itself, for a master whose file another one has replaced. Raises EnvironmentFault."""
    path = prefix / PID_FILE
    with durable.reported("write", path):
        durable.replace_file(path, f"{pid}\n".encode(), durable.Access(0o644))


def from_pid_file(prefix: Path, log_path: Path) -> MasterRecord | None:
    """A master known by its pid file alone, no record being there: its title says our prefix."""
    pid = written_pid(prefix)
    if pid is None:
        return None
    title = proc.title(pid)
    if proc.effective_uid(pid) != os.geteuid() or not title.startswith(TITLE):
        return None
    said = _ARGUMENTS.fullmatch(title.removeprefix(TITLE))
    if said is None or not _same_directory(said["prefix"], prefix):
        return None
    early = ("-e", "stderr") if said["program"].endswith(" -e stderr") else ()
    program = said["program"].removesuffix(" -e stderr")
    configuration = said["configuration"]
    return MasterRecord.of(
        pid,
        arguments=(program, *early, "-p", said["prefix"], "-c", configuration),
        configuration=configuration,
        log_path=str(log_path),
    )
