"""Moving several `current` links as one step, with an undo journal.

A switch goes through these stages; a crash in any of them is undone by the next `recover`::

    1. `.current.new` and `.current.old` are made beside every link    (all that needs disk space)
    2. `switch.pending` is written: every link with its old target     (from here on: undo)
    3. every `.current.new` is renamed to `current`
    4. commit: `switch.pending` is renamed to `switch.last`            (from here on: done)
       or rollback: every `.current.old` is renamed back, then `switch.pending` is removed

Undoing needs no disk space, so a full disk cannot leave half a switch. `switch.last` keeps what
every link pointed to before its last committed move, so that pruning never removes the one before.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handclasp.errors import EnvironmentFault, InternalFault
from handclasp.nginx import durable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PENDING = "switch.pending"
LAST = "switch.last"
_ACCESS = durable.Access(0o600)


@dataclass(frozen=True, slots=True)
class Move:
    """One link (path relative to the state directory), where it pointed and where it is to point.

    ``old`` None: there was no link.
    """

    link: str
    old: str | None
    new: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """A switch that a crash interrupted and that was undone; nginx may have loaded it already."""

    undone: tuple[Move, ...]

    def __str__(self) -> str:
        links = ", ".join(f"{move.link} back to {move.old or 'nothing'}" for move in self.undone)
        return f"an interrupted change was undone: {links}"


class Switch:
    """Links that have been moved, waiting for the verdict: `commit` or `rollback`."""

    def __init__(self, root: Path, moves: Sequence[Move]) -> None:
        self._root = root
        self.moves = tuple(moves)
        self._open = True

    @property
    def pending(self) -> bool:
        """Neither committed nor rolled back yet."""
        return self._open

    def commit(self) -> None:
        """Keeps the new targets for good. Raises EnvironmentFault."""
        self._close_or_fault("commit")
        if self.moves:
            with durable.reported("commit the change in", self._root):
                (self._root / PENDING).rename(self._root / LAST)
                self._open = False
                durable.fsync_directory(self._root)
                _sweep(self._root, self.moves)
        self._open = False

    def rollback(self) -> None:
        """Puts every link back as it was. Raises EnvironmentFault; may be called again then."""
        self._close_or_fault("rollback")
        if self.moves:
            with durable.reported("undo the change in", self._root):
                _undo(self._root, self.moves)
        self._open = False

    def _close_or_fault(self, what: str) -> None:
        if not self._open:
            raise InternalFault(f"{what} of a switch that is over")


def begin(root: Path, wanted: Mapping[str, str]) -> Switch:
    """Moves each link (relative path → target) that is not there yet.

    Raises EnvironmentFault with every link as it was, InternalFault when a switch is pending.
    """
    if (root / PENDING).exists():
        raise InternalFault(f"{root / PENDING} is there: the switch before was not ended")
    moves = [
        Move(link, durable.link_target(root / link), target)
        for link, target in sorted(wanted.items())
    ]
    moves = [move for move in moves if move.old != move.new]
    if not moves:
        return Switch(root, ())
    try:
        _prepare(root, moves)
        _write_journal(root, moves)
        for move in moves:
            link = root / move.link
            durable.fresh_name(link).rename(link)
            durable.fsync_directory(link.parent)
    except OSError as error:
        told = durable.fault(error, "move links in", root)
        try:
            _undo(root, moves)
        except OSError as second:
            raise EnvironmentFault(
                f"{told.message}; and putting them back failed: {second}",
                hint="Restart handclasp when that is mended: it undoes the change first.",
            ) from error
        raise told from error
    return Switch(root, moves)


def recover(root: Path) -> Recovery | None:
    """Undoes the switch a crash interrupted, if there is one. Raises EnvironmentFault."""
    pending = root / PENDING
    with durable.reported("undo an interrupted change in", root):
        if not pending.exists():
            return None
        moves = _read_moves(pending)
        undone = tuple(move for move in moves if durable.link_target(root / move.link) != move.old)
        _undo(root, moves)
    return Recovery(undone)


def targets_in_use(root: Path) -> dict[str, set[str]]:
    """Per link, targets to be kept though `current` may not name them: before, and pending."""
    needed: dict[str, set[str]] = {link: {target} for link, target in _previous(root).items()}
    with contextlib.suppress(FileNotFoundError):
        for move in _read_moves(root / PENDING):
            needed.setdefault(move.link, set()).update({move.old or move.new, move.new})
    return needed


def _prepare(root: Path, moves: Sequence[Move]) -> None:
    _sweep(root, moves)
    for move in moves:
        link = root / move.link
        durable.fresh_name(link).symlink_to(move.new)
        if move.old is not None:
            durable.old_name(link).symlink_to(move.old)


def _write_journal(root: Path, moves: Sequence[Move]) -> None:
    previous = _previous(root) | {move.link: move.old for move in moves if move.old is not None}
    rows = [{"link": move.link, "old": move.old, "new": move.new} for move in moves]
    text = json.dumps({"moves": rows, "previous": previous}, indent=1)
    durable.replace_file(root / PENDING, text.encode(), _ACCESS)


def _undo(root: Path, moves: Sequence[Move]) -> None:
    for move in moves:
        link = root / move.link
        if durable.link_target(link) != move.old:
            if move.old is None:
                link.unlink()
            else:
                spare = durable.old_name(link)
                if durable.link_target(spare) != move.old:
                    spare.unlink(missing_ok=True)
                    spare.symlink_to(move.old)
                spare.rename(link)
        # Also where nothing is to be moved: a crash may have come before this was durable.
        durable.fsync_directory(link.parent)
    (root / PENDING).unlink(missing_ok=True)
    durable.fsync_directory(root)
    _sweep(root, moves)


def _sweep(root: Path, moves: Sequence[Move]) -> None:
    for move in moves:
        link = root / move.link
        durable.fresh_name(link).unlink(missing_ok=True)
        durable.old_name(link).unlink(missing_ok=True)


def _read_journal(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        # Written aside and renamed, so never half there: somebody else wrote it.
        raise EnvironmentFault(
            f"{path} is not a journal of ours: {error}",
            hint="Look at where the `current` links point, then remove the file.",
        ) from error
    return content


def _read_moves(path: Path) -> tuple[Move, ...]:
    return tuple(Move(row["link"], row["old"], row["new"]) for row in _read_journal(path)["moves"])


def _previous(root: Path) -> dict[str, str]:
    try:
        return dict(_read_journal(root / LAST)["previous"])
    except FileNotFoundError:
        return {}
