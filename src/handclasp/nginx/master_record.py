"""`nginx/master.json`: which process is our nginx, said so that no other can be taken for it.

A pid alone is reused; pid, start time and boot together are not. Written as soon as nginx is
spawned and again when it is ready, so that an agent killed meanwhile leaves a trace of it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from handclasp.nginx import durable, proc

RECORD_FILE = "master.json"
PID_FILE = "nginx.pid"
"""Inside the prefix; the rendered configuration must say `pid nginx.pid;` or its absolute path."""
TITLE = "nginx: master process "
"""ngx_master_process_cycle sets this title, followed by the arguments."""


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

    @classmethod
    def of(
        cls, pid: int, *, arguments: tuple[str, ...], configuration: str, log_path: str
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
        )

    @classmethod
    def read(cls, prefix: Path) -> MasterRecord | None:
        """The record of a prefix; None when there is none of this form."""
        try:
            content = json.loads((prefix / RECORD_FILE).read_bytes())
            return cls(**{**content, "arguments": tuple(content["arguments"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, prefix: Path) -> None:
        """Writes it whole. Raises EnvironmentFault."""
        path = prefix / RECORD_FILE
        text = json.dumps(asdict(self), indent=1)
        with durable.reported("write", path):
            durable.replace_file(path, text.encode(), durable.Access(0o600))

    def is_alive(self) -> bool:
        """Whether this very process still runs, and as an nginx master."""
        stat = proc.read_stat(self.pid)
        return (
            stat is not None
            and stat.start_time == self.start_time
            and self.boot_id == proc.boot_id()
            and self._title_fits(proc.title(self.pid))
        )

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
            return (
                f"{path} was replaced since nginx (pid {self.pid}) started; "
                "restart handclasp to run the new one"
            )
        return None

    def _title_fits(self, title: str) -> bool:
        # Until the title is set the arguments stand there, maybe behind those of a wrapper script.
        return title.startswith(TITLE.rstrip()) or self.configuration in title


def written_pid(prefix: Path) -> int | None:
    """What the pid file says; None also for an empty one, as `nginx -t` leaves it."""
    try:
        return int((prefix / PID_FILE).read_text())
    except (OSError, ValueError):
        return None


def from_pid_file(prefix: Path, log_path: Path) -> MasterRecord | None:
    """A master known by its pid file alone, no record being there: its title says our prefix."""
    pid = written_pid(prefix)
    if pid is None:
        return None
    title = proc.title(pid)
    if proc.effective_uid(pid) != os.geteuid() or not title.startswith(TITLE):
        return None
    plain = title.removeprefix(TITLE)
    before, found, configuration = plain.partition(f" -p {prefix} -c ")
    if not found:
        return None
    return MasterRecord.of(
        pid,
        arguments=(before, "-p", str(prefix), "-c", configuration),
        configuration=configuration,
        log_path=str(log_path),
    )
