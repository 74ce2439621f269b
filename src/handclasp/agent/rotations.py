"""New material on disk becomes what is served, without being asked (edge).

Files are watched (agent.material_watch); what has settled is read, judged, tried, and put into effect as one
change. What cannot be taken stays as it was; where time or somebody else may cure that, it is tried again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.again import sentence
from handclasp.agent.material_watch import MaterialWatch
from handclasp.agent.rereading import IDENTITY, in_words, reread, units, why_not_whole
from handclasp.agent.status import Awaited
from handclasp.agent.trial import TrialFailed
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.rotate.gather import Settled

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping

    from handclasp.agent.prepare import Prepared
    from handclasp.agent.rereading import Objections
    from handclasp.certs.material import Material
    from handclasp.findings import Finding
    from handclasp.ports import Clock
    from handclasp.rotate.gather import Told, Unit

    Attempt = Callable[[Coroutine[None, None, Prepared]], Awaitable[HandclaspError | None]]

MATERIAL_CHANGED = "material changed"
AGAIN_SECONDS = 30.0
LONGEST_AGAIN_SECONDS = 300.0
"""What fails again and again is tried ever less often: a change that is undone may cost two reloads."""
TOGETHER_SECONDS = 0.15
"""Units written together settle within this of each other, and become one change."""
_PASSING = frozenset({"cert-not-yet-valid", "ca-still-presented"})
"""Findings about files that time cures."""
_TOO_EARLY = "too early"


@dataclass(frozen=True, slots=True)
class Basis:
    """What new files are judged by: the material in effect, with the lists callers are held to, and what
    speaks against a change."""

    in_force: Material
    objections: Objections


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rotation ended. `units` are those it was about; `why` it was undone, None when it was not."""

    units: tuple[str, ...]
    why: str | None

    @property
    def identities(self) -> tuple[str, ...]:
        """Names of the identities among them."""
        pairs = [unit.partition(" ") for unit in self.units]
        return tuple(name for kind, _, name in pairs if kind == IDENTITY)


class Rotations:
    """What has settled and is to be put into effect, and what could not be."""

    def __init__(
        self,
        clock: Clock,
        in_effect: Callable[[], Prepared | None],
        tell: Callable[[str], None],
        ended: Callable[[Outcome], None],
    ) -> None:
        """`tell` is told MATERIAL_CHANGED, `ended` how each attempt ended."""
        self._clock, self._in_effect, self._tell, self._ended = clock, in_effect, tell, ended
        self._watch = MaterialWatch(clock, why_not_whole=self._why_not_whole)
        self._due: set[str] = set()
        self._refused: dict[str, str] = {}
        self._said: dict[str, str] = {}
        self._again: set[str] = set()
        self._pause = AGAIN_SECONDS
        self._undone = False  # in the last take, though it looked good on disk
        self._timer: asyncio.TimerHandle | None = None

    @property
    def refused(self) -> Mapping[str, str]:
        """Unit → why the files that lie there are not what is served."""
        return {**self._refused, **self._watch.problems}

    @property
    def awaited(self) -> Mapping[str, Awaited]:
        """By unit the new files that do not hold together yet and have time left."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        return {
            unit: Awaited(now - timedelta(seconds=round(monotonic - since)), why)
            for unit, (since, why) in self._watch.awaited.items()
        }

    def follow(self, prepared: Prepared) -> None:
        """Watches the files of what is in effect now."""
        wanted = tuple(units(prepared)) if prepared.spec.rotation.watch else ()
        self._watch.follow(wanted, prepared.marks)
        names = {unit.name for unit in wanted}
        self._refused = {name: why for name, why in self._refused.items() if name in names}

    async def watch(self) -> None:
        """Tells of MATERIAL_CHANGED. Does not end."""
        await self._watch.watch(self._told)

    def forget(self) -> None:
        """Everything is read anew: what could not be taken is judged with the rest."""
        self._due.clear()
        self._again.clear()
        self._refused.clear()
        self._said.clear()
        self._pause = AGAIN_SECONDS

    @property
    def due(self) -> Collection[str]:
        """The units that have settled and are to be taken."""
        return frozenset(self._due)

    async def take(self, units: set[str], basis: Basis, attempt: Attempt) -> Mapping[str, str]:
        """Puts these into effect as they lie there. `attempt` makes one change, or says why not, with
        everything as it was. Returns unit → why it is not taken."""
        changed, self._due = set(units), self._due - units
        if not changed:
            return {}
        self._undone = False
        if (failed := await self._together(changed, basis, attempt)) and len(failed) < len(changed):
            changed -= failed
            failed = await self._together(changed, basis, attempt)
        if failed and len(changed) > 1:
            for unit in sorted(changed):  # one of them is to blame, and keeps none of the others
                await self._together({unit}, basis, attempt)
        prepared = self._in_effect()
        asked_only = prepared is not None and not prepared.spec.rotation.watch
        if asked_only:
            self._again.clear()  # nothing is taken there that nobody asked for
        if self._again and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._pause, self._try_again)
            if self._undone:
                self._pause = min(2 * self._pause, LONGEST_AGAIN_SECONDS)
        return {unit: why for unit, why in self._refused.items() if unit in units}

    async def _together(self, changed: set[str], basis: Basis, attempt: Attempt) -> set[str]:
        """The units that are to blame when the change was refused; all of them when nobody knows."""
        prepared = self._in_effect()
        if prepared is None:
            return set()
        seen = await asyncio.to_thread(
            reread, prepared, basis.in_force, changed, self._clock.now(), basis.objections
        )
        self._again -= changed
        for unit, findings in seen.refused.items():
            # That the time has not come is said with the time of day, another one at each try.
            early = _TOO_EARLY if _passing(findings) else None
            self._refuse({unit}, in_words(findings), again=bool(early), said=early)
        good = changed - seen.refused.keys()
        if seen.prepared is None or not good:
            return set()
        failure = await attempt(_ready(seen.prepared))
        if failure is None:
            self._taken(good, anew=seen.prepared.plan != prepared.plan)
            return set()
        self._undone = True
        return self._blame(good, failure)

    def _taken(self, good: set[str], *, anew: bool) -> None:
        """`anew`: they are not what was in effect already, as when files were put back."""
        for unit in good:
            self._refused.pop(unit, None)
            self._said.pop(unit, None)
        self._pause = AGAIN_SECONDS
        if not anew:
            return
        journal.info("rotated", what=", ".join(sorted(good)))
        self._ended(Outcome(tuple(sorted(good)), None))

    def _blame(self, good: set[str], failure: HandclaspError) -> set[str]:
        """Those of them that are to blame, or may be."""
        tried = failure.failed if isinstance(failure, TrialFailed) else {}
        reasons = {f"{IDENTITY} {name}": why for name, why in tried.items()}
        reasons = {unit: why for unit, why in reasons.items() if unit in good}
        for unit, why in reasons.items():
            self._undo({unit}, why)
        if reasons:
            return set(reasons)
        self._undo(good, sentence(failure))
        # Of a full disk none of them is to blame, and the others would fare no better.
        return set() if isinstance(failure, EnvironmentFault) else good

    def _undo(self, units: set[str], why: str) -> None:
        if new := self._refuse(units, why, again=True):
            self._ended(Outcome(tuple(sorted(new)), why))

    def _refuse(
        self, units: set[str], why: str, *, again: bool, said: str | None = None
    ) -> set[str]:
        """Returns those it was not said of before."""
        self._refused |= dict.fromkeys(units, why)
        if again:
            self._again |= units
        return self._say(units, why, said or why)

    def _say(self, units: set[str], why: str, said: str) -> set[str]:
        """Once, however often it is tried. `said`: what it comes to, whatever the words."""
        new = {unit for unit in units if self._said.get(unit) != said}
        self._said |= dict.fromkeys(new, said)
        if new:
            what = ", ".join(sorted(new))
            journal.error("new files are not taken, the old ones serve on", what=what, why=why)
        return new

    def _try_again(self) -> None:
        self._timer = None
        self._due |= self._again
        self._again = set()
        if self._due:
            self._tell(MATERIAL_CHANGED)

    def _told(self, told: Told) -> None:
        if isinstance(told, Settled):
            if not self._due:
                loop = asyncio.get_running_loop()
                loop.call_later(TOGETHER_SECONDS, self._tell, MATERIAL_CHANGED)
            self._due.add(told.unit)
        else:
            self._say({told.unit}, told.why, told.why)

    def _why_not_whole(self, unit: Unit) -> str | None:
        prepared = self._in_effect()
        return None if prepared is None else why_not_whole(prepared, unit.name)


def _passing(findings: tuple[Finding, ...]) -> bool:
    return all(one.slug in _PASSING for one in findings)


async def _ready(prepared: Prepared) -> Prepared:
    return prepared
