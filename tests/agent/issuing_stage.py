"""A spec with issued identities, a state directory and a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import logging
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import yaml

from handclasp.agent import journal
from handclasp.agent.issued import Kept, read_kept
from handclasp.agent.renewal import Renewals
from handclasp.agent.tokens import TokensSeen
from handclasp.certs.material import Material
from handclasp.nginx.layout import Layout
from handclasp.spec.load import parse_spec
from tests.pki import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from datetime import datetime, timedelta
    from pathlib import Path

    from handclasp.agent.prepare import Prepared

NAMES = ["svc-b.internal", "spiffe://example.org/svc-b"]
LOCAL = {"type": "local", "directory": "ca"}


@dataclass
class StandingClock:
    """Wall and monotonic time, moved by hand."""

    wall: datetime = NOW
    seconds: float = 1000.0

    def now(self) -> datetime:
        return self.wall.replace(microsecond=0)

    def monotonic(self) -> float:
        return self.seconds

    def move(self, by: timedelta) -> None:
        """As time goes: both move."""
        self.wall += by
        self.seconds += by.total_seconds()

    def set(self, to: datetime) -> None:
        """As an administrator sets it: only the wall does."""
        self.wall = to


@dataclass
class Stage:
    """Identities by name as the spec has them, and issuers by name."""

    folder: Path
    identities: dict[str, Any]
    issuers: dict[str, Any]
    clock: StandingClock = field(default_factory=StandingClock)
    renewed: list[str] = field(default_factory=list)
    served: Material = field(default_factory=Material)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def prepared(self) -> Prepared:
        """What renewing looks at of what was prepared."""
        text = yaml.safe_dump({"identities": self.identities, "issuers": self.issuers})
        loaded = parse_spec(
            text, source=str(self.folder / "spec.yaml"), base=PurePosixPath(self.folder)
        )
        made = SimpleNamespace(
            loaded=loaded,
            spec=loaded.spec,
            layout=Layout(PurePosixPath(self.state)),
            tokens=TokensSeen(),
            account=None,
            waiting=tuple(self.identities),
            kept={},
            material=self.served,
            findings=(),
        )
        return cast("Prepared", made)

    def kept(self, identity: str = "svc-b") -> Kept:
        kept = read_kept(self.state, identity)
        assert kept is not None
        return kept

    def content(self) -> dict[str, bytes]:
        """Every file of what is issued."""
        place = self.state / "issued"
        return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}

    @contextlib.asynccontextmanager
    async def renewing(self, **options: Any) -> AsyncIterator[Renewals]:
        """Renewals at work; they look at the clock fifty times a second."""
        told = Renewals(self.clock, renewed=self.renewed.append, look_seconds=0.02, **options)
        task = asyncio.ensure_future(told.watch(self.prepared))
        try:
            yield told
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine, run in a loop of its own."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


async def until(true: Callable[[], object], *, within: float = 10.0) -> None:
    """Waits for something to become true."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110  there is no event for it
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def journal_lines() -> Iterator[list[dict[str, Any]]]:
    """The journal of the agent as it is written, one object per line; complete when the block ends."""
    stream, lines = io.StringIO(), list[dict[str, Any]]()
    logger = logging.getLogger("handclasp.agent")
    before, propagate = list(logger.handlers), logger.propagate
    journal.configure("json", stream=stream)
    try:
        yield lines
    finally:
        logger.handlers[:], logger.propagate = before, propagate
        lines += [json.loads(line) for line in stream.getvalue().splitlines()]
