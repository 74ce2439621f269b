"""What nginx's workers look at in every request, and what therefore holds without a reload (edge).

``policy/current``           a link to an empty directory named after the policy in force: its real name is
                             part of the key under which the agent's answers are kept
``denied/ISSUER/SERIAL``     a file per certificate that is refused where nginx decides by itself; in it is
                             the issuer's name
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from handclasp.nginx import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

CURRENT = "current"
ANSWERS = "answers"
POLICY, DENIED, AUTHORIZER = "policy", "denied", "ask"
_FEW = 50
"""So many files are waited for one by one; more, as those of a link that is new, take seconds that way."""


class Enforcement:
    """The two, below one state directory. `passage`: how directories are made that workers pass through;
    `answers` is nginx's cache of the agent's answers."""

    def __init__(self, root: Path, passage: durable.Access, answers: Path) -> None:
        self._policy, self._denied, self._answers = root / POLICY, root / DENIED, answers
        self._passage = passage

    def policy(self) -> str | None:
        """The policy in force."""
        return durable.link_target(self._policy / CURRENT)

    def policy_name(self, digest: str) -> str:
        """The name for a policy: that in force when it is the same policy, so that a new agent finds the
        answers of before; else one that was never in force, for its answers are wiped."""
        known, _, number = (self.policy() or "").partition("-")
        if known == digest:
            return f"{digest}-{number}"
        return f"{digest}-{int(number) + 1 if number.isdigit() else 1}"

    def answers(self) -> tuple[Path, ...]:
        """The files nginx keeps answers in."""
        return tuple(path for path in self._answers.glob("*/*/*") if path.is_file())

    def set_policy(self, name: str) -> bool:
        """Puts a policy in force with one rename; whether it is another one. Raises EnvironmentFault."""
        before = self.policy()
        with durable.reported("put a policy in force in", self._policy):
            durable.ensure_directory(self._policy / name, self._passage)
            if before == name:
                return False
            link = self._policy / CURRENT
            fresh = durable.fresh_name(link)
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(name)
            fresh.rename(link)
            durable.fsync_directory(self._policy)
            for path in self._policy.iterdir():
                # The one before stays: a request that has read the link may still look it up.
                if path.name not in (CURRENT, name, before):
                    with contextlib.suppress(OSError):
                        path.rmdir()
        return True

    def denied(self) -> bool:
        """Whether a certificate is refused by a file."""
        return any(self._denied.glob("*/*"))

    def set_denied(
        self,
        wanted: Mapping[tuple[str, str], str],
        holds: Callable[[str, str], bool],
        listed: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """Makes the files of `wanted`, (issuer's directory, serial) → the issuer's name, and removes those
        that stand for nothing any more: `holds` is asked with the issuer's name and the serial.

        `listed` are files as well, thousands perhaps, of what revocation lists name: they need not outlive
        a power cut, after which nginx reads its lists anyway.

        What no plan of now needs stays as long as it holds: an nginx that serves the plan of before, or
        goes on with it because this one is refused, looks at it still. Raises EnvironmentFault.
        """
        with durable.reported("deny certificates in", self._denied):
            there = {
                (folder.name, file.name)
                for folder in self._denied.iterdir()
                if folder.is_dir()
                for file in folder.iterdir()
            }
            self._write({file: wanted[file] for file in wanted.keys() - there})
            listed = listed or {}
            self._add({file: listed[file] for file in listed.keys() - there - wanted.keys()})
            emptied = set()
            for issuer, serial in there - wanted.keys() - listed.keys():
                file = self._denied / issuer / serial
                if not holds(file.read_text(errors="replace"), serial):
                    file.unlink()
                    emptied.add(file.parent)
            for folder in emptied:
                if not any(folder.iterdir()):
                    folder.rmdir()

    def _write(self, wanted: Mapping[tuple[str, str], str]) -> None:
        """Files that outlive a power cut."""
        self._add(wanted)
        if len(wanted) > _FEW:
            os.sync()
            return
        for issuer, serial in wanted:
            with (self._denied / issuer / serial).open("rb") as file:
                os.fsync(file.fileno())
        for issuer in {issuer for issuer, _ in wanted}:
            durable.fsync_directory(self._denied / issuer)

    def _add(self, listed: Mapping[tuple[str, str], str]) -> None:
        for issuer in {issuer for issuer, _ in listed}:
            durable.ensure_directory(self._denied / issuer, self._passage)
        for (issuer, serial), name in listed.items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            with os.fdopen(os.open(self._denied / issuer / serial, flags, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(name.encode())


def wipe(files: Iterable[Path]) -> None:
    """Empties files of answers that nothing can ask for any more. nginx removes them in its own time; if
    they were gone it would log each as a failure (ngx_http_file_cache_delete)."""
    for file in files:
        with contextlib.suppress(OSError):
            os.truncate(file, 0)
