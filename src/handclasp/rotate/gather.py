"""When files that belong together have stopped changing and may be read: pure.

Whoever writes a certificate and its key writes one after the other, seconds apart perhaps, and half of the
pair is on the disk meanwhile. So a change is only the beginning: the files are gathered until they have kept
still for `quiet_seconds` and hold together, as far as that can be judged.

One `Gathering` is about one `Unit`, so that what is written to for ever holds up nobody else. It is a value:
whoever looks at the files tells it what was seen (`seen`), asks what to do (`step`), and tells it what was
judged (`judged`). Moments are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class State(StrEnum):
    """What is found where a file should be."""

    FILE = "file"
    ABSENT = "absent"
    UNREADABLE = "unreadable"
    NOT_A_FILE = "not a file"


@dataclass(frozen=True, slots=True)
class Stamp:
    """One file as it was at one look.

    `path` is as the spec names it, `real` the same without links. `digest` is the SHA-256 of the content in
    hexadecimal, None for what is too large to be read each time (`material_stamps.DIGESTED_BYTES`) and for
    what is no readable file; `why` says in words why it is none.
    """

    path: Path
    state: State
    why: str = ""
    real: str = ""
    device: int = 0
    inode: int = 0
    size: int = 0
    mode: int = 0
    user: int = 0
    group: int = 0
    modified_ns: int = 0
    changed_ns: int = 0
    digest: str | None = None

    @property
    def matter(self) -> tuple[object, ...]:
        """What of it is worth reading the file again for: its content and who may read it.

        The same content under another name or date is not, where the content is known.
        """
        content: tuple[object, ...] = (self.digest,)
        if self.digest is None:
            content = (self.device, self.inode, self.size, self.modified_ns, self.changed_ns)
        return (self.path, self.state, self.why, self.mode, self.user, self.group, *content)

    @property
    def trouble(self) -> str | None:
        """Why it cannot be part of anything whole; None when it can."""
        match self.state:
            case State.FILE:
                return f"{self.path} is empty" if self.size == 0 else None
            case State.ABSENT:
                return f"{self.path} is not there"
            case State.UNREADABLE:
                return f"{self.path} cannot be read: {self.why}"
            case State.NOT_A_FILE:
                return f"{self.path} is {self.why}, not a file"


Stamps = tuple["Stamp", ...]
"""All files of a unit, in the order of the unit."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Files that are read together: those of an identity, of a trust."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """How long is waited for what.

    cert-manager and certbot write a pair within milliseconds, people with two copies of `scp` within half a
    minute. `at_most_seconds` bounds the wait for what never keeps still, `patience_seconds`, from the first
    change, for what does not hold together.
    """

    quiet_seconds: float = 0.5
    at_most_seconds: float = 10.0
    patience_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Unchanged:
    """As last told: nothing is to be done until something changes."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again at `until`, or when something changes."""

    until: float


@dataclass(frozen=True, slots=True)
class Judge:
    """Time to say whether the files hold together. `restless`: they are still being written to."""

    restless: bool


Step = Unchanged | Wait | Judge


@dataclass(frozen=True, slots=True)
class Settled:
    """The files of `unit` are others than before, keep still, and hold together as far as was judged.

    `restless` ones do not keep still: they had their time and are told nevertheless. Files may change right
    after this, so the reader judges what it has read; `stamps` tells whether that is what had settled.
    """

    unit: str
    stamps: Stamps
    restless: bool = False


@dataclass(frozen=True, slots=True)
class Unsettled:
    """The files of `unit` are others than before and did not hold together in all the time they had."""

    unit: str
    stamps: Stamps
    why: str


Told = Settled | Unsettled


@dataclass(frozen=True, slots=True)
class Gathering:
    """What is known of the files of one unit.

    `told` is what the reader knows of: what it has read itself, or was told of last, whole or not. None when
    it knows of nothing, so that the first look is news.
    """

    unit: str
    rules: Rules = Rules()
    told: Stamps | None = None
    now: Stamps | None = None
    first_change: float = 0.0
    last_change: float = 0.0
    restless_since: float = 0.0
    """Since when it has not kept still, or was told of in spite of it."""
    refused: Stamps | None = None
    """What was judged not to hold together, and is waited for to change."""

    def seen(self, stamps: Stamps, at: float) -> Gathering:
        """The files were looked at."""
        if stamps == self.now:
            return self
        was_still = self.now is None or at >= self._quiet_from()
        anew = was_still and self._is_old()
        return replace(
            self,
            now=self.told if stamps == self.told else stamps,
            first_change=at if anew else self.first_change,
            last_change=at,
            restless_since=at if was_still else self.restless_since,
            refused=None if anew else self.refused,
        )

    def read(self, stamps: Stamps) -> Gathering:
        """The reader has read the files by itself, as they were at `stamps`."""
        return replace(self, told=stamps)

    def step(self, at: float) -> Step:
        """What to do now."""
        if self._is_old():
            return Unchanged()
        if self.refused is not None and matter(self.refused) == matter(self.now):
            due = self.first_change + self.rules.patience_seconds
        else:
            due = min(self._quiet_from(), self.restless_since + self.rules.at_most_seconds)
        return Judge(restless=at < self._quiet_from()) if at >= due else Wait(due)

    def trouble(self) -> str | None:
        """What can be said against the files without reading them."""
        return "; ".join(why for one in self.now or () if (why := one.trouble)) or None

    def judged(self, why_not: str | None, at: float) -> tuple[Gathering, Told | None]:
        """The files as last seen hold together, or not and why; only after `step` said `Judge`.

        Gives what is to be told, None while there is patience yet.
        """
        assert self.now is not None
        done = replace(self, told=self.now, first_change=at, restless_since=at, refused=None)
        if why_not is None:
            restless = at < self._quiet_from()
            return done, Settled(self.unit, self.now, restless)
        if at >= self.first_change + self.rules.patience_seconds:
            return done, Unsettled(self.unit, self.now, why_not)
        return replace(self, refused=self.now, restless_since=at), None

    def _quiet_from(self) -> float:
        return self.last_change + self.rules.quiet_seconds

    def _is_old(self) -> bool:
        if self.now is None or self.told is self.now:  # the same object at rest: asked very often
            return True
        return self.told is not None and matter(self.told) == matter(self.now)


def matter(stamps: Stamps | None) -> tuple[tuple[object, ...], ...]:
    """`Stamp.matter` of each."""
    return tuple(one.matter for one in stamps or ())


def stamps_of(unit: Unit, stamps: Mapping[Path, Stamp]) -> Stamps | None:
    """Those of a unit, in its order; None when one is missing."""
    if any(file not in stamps for file in unit.files):
        return None
    return tuple(stamps[file] for file in unit.files)
