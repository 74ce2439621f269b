"""An nginx of a test's own: prefix, a small hand-written configuration, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handclasp.nginx import orphans
from handclasp.nginx.master_record import MasterRecord
from handclasp.nginx.process import NginxMaster

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

ENV = {"PATH": "/usr/bin:/bin"}


@dataclass
class Installation:
    """`write` a configuration, then `start`; use inside `cleaned_up`."""

    binary: Path
    prefix: Path
    env: dict[str, str] = field(default_factory=lambda: dict(ENV))
    workers: int = 2

    def __post_init__(self) -> None:
        for name in ("logs", "temp"):
            (self.prefix / name).mkdir(parents=True, exist_ok=True)

    @property
    def conf(self) -> Path:
        return self.prefix / "nginx.conf"

    @property
    def log_path(self) -> Path:
        return self.prefix / "logs" / "error.log"

    def write(
        self,
        listen: str | int,
        body: str = "one",
        *,
        main: str = "",
        http: str = "",
        workers: int = 2,
    ) -> None:
        self.workers = workers
        address = f"127.0.0.1:{listen}" if isinstance(listen, int) else listen
        user = "user root root;" if os.geteuid() == 0 else ""
        temps = "".join(
            f"{name}_temp_path temp/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        self.conf.write_text(
            f"daemon off; pid nginx.pid; {user} worker_processes {workers};\n"
            f'error_log "{self.log_path}" info;\n{main}\n'
            "events { worker_connections 64; }\n"
            f"http {{ {temps} access_log logs/access.log; {http}\n"
            f'  server {{ listen {address}; return 200 "{body}"; }}\n}}\n'
        )

    async def start(self, **options: object) -> NginxMaster:
        return await NginxMaster.start(
            self.binary,
            self.prefix,
            self.conf,
            env=self.env,
            log_path=self.log_path,
            expected_workers=self.workers,
            **options,  # type: ignore[arg-type]
        )

    def left_running(self) -> list[int]:
        record = MasterRecord.read(self.prefix)
        return [stat.pid for stat in orphans.members(record)] if record else []

    @contextlib.contextmanager
    def cleaned_up(self) -> Iterator[Installation]:
        try:
            yield self
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to all of it, told by open files and not by what the code under test says."""
        for pid in self._with_open_files():
            with contextlib.suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, signal.SIGKILL)

    def _with_open_files(self) -> list[int]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                opened = [fd.readlink() for fd in (process / "fd").iterdir()]
                if any(path.is_relative_to(self.prefix / "logs") for path in opened):
                    found.append(int(process.name))
        return sorted(found)


async def fetch(port: int) -> str:
    """The body of GET / on a fresh connection."""

    def get() -> str:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    return await asyncio.to_thread(get)


def run(coroutine: Coroutine[Any, Any, object]) -> None:
    """A scenario, bounded in time."""

    async def bounded() -> None:
        async with asyncio.timeout(40):
            await coroutine

    asyncio.run(bounded())


async def until(condition: Callable[[], bool]) -> None:
    """Waits for it to be true, 5 seconds at most. Raises TimeoutError."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError
