"""Since when the renewal of an identity fails, and why, where `check` can see it (edge: the state directory).

STATE/failing/IDENTITY.json is there while it does. It is about nothing that was never issued.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.issuance import token_of
from handclasp.agent.issued import place_of, read_kept
from handclasp.certs import facts
from handclasp.findings import Finding, Severity, found
from handclasp.nginx.durable import Access, ensure_directory, replace_file

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from handclasp.agent.prepare import Prepared

FAILING = "failing"
_FILE, _FOLDER = Access(0o600), Access(0o700)


@dataclass(frozen=True, slots=True)
class Failing:
    """When it failed first since it last worked, and why it failed last."""

    since: datetime
    why: str


def note(state: str | os.PathLike[str], identity: str, why: str, now: datetime) -> None:
    """It failed. What cannot be written is only missing there."""
    if not place_of(state, identity).is_dir():
        return
    before = read(state, identity)
    if before is not None and before.why == why:
        return
    since = now if before is None else before.since
    file = _file(state, identity)
    try:
        ensure_directory(file.parent, _FOLDER)
        told = {"since": since.isoformat(), "why": why}
        replace_file(file, json.dumps(told).encode() + b"\n", _FILE)
    except OSError as problem:
        journal.warning("a failed renewal is not written down", file=file, because=problem.strerror)


def read(state: str | os.PathLike[str], identity: str) -> Failing | None:
    """None where it does not fail, or where that cannot be read."""
    try:
        told = json.loads(_file(state, identity).read_bytes())
        return Failing(datetime.fromisoformat(told["since"]), str(told["why"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(state: str | os.PathLike[str], identity: str) -> None:
    """It worked, or is not wanted any more."""
    with contextlib.suppress(OSError):
        _file(state, identity).unlink(missing_ok=True)


def with_failing(prepared: Prepared, now: datetime) -> Iterator[Finding]:
    """The findings of what was prepared, where identities that have ended by `now`, and whose issuer was
    asked in vain, are errors: nothing says that it will give something the next time."""
    ended = dict(_ended(prepared, now))
    for finding in prepared.findings:
        same = finding.slug == "identity-not-issued-yet" and finding.where.path in ended
        yield ended.pop(finding.where.path or "") if same else finding
    yield from ended.values()


def _ended(prepared: Prepared, now: datetime) -> Iterator[tuple[str | None, Finding]]:
    for name in prepared.waiting:
        failed = read(prepared.layout.root, name)
        kept = read_kept(prepared.layout.root, name, token_of(prepared, name))
        if failed is None or kept is None or kept.span is None or kept.span.end > now:
            continue
        where = prepared.loaded.where("identities", name, "issuer")
        seen = (
            f"the certificate of identity '{name}' ended on {facts.date(kept.span.end)}, and its renewal"
            f" fails since {failed.since:%Y-%m-%d %H:%M} UTC: {failed.why}"
        )
        yield where.path, found("renewal-failing", seen, where=where, severity=Severity.ERROR)


def _file(state: str | os.PathLike[str], identity: str) -> Path:
    return Path(state) / FAILING / f"{identity}.json"
