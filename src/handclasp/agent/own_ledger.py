"""What `ca revoke` was told, where a revocation list lies in the directory of a CA of ours (edge: reads the
ledger).

The next list needs the CA's key and may be long in coming; on this machine nobody has to wait for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from handclasp.certs.dn import subject_text
from handclasp.errors import HandclaspError
from handclasp.findings import Finding, Where, found
from handclasp.identity.names import loose_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LEDGER = "ledger.sqlite"  # handclasp.ca.directory, which is not imported for a name
_EVERY = datetime.fromtimestamp(0, UTC)


def ledgers(lists: Iterable[Path]) -> tuple[Path, ...]:
    """Ledgers beside files of lists, whether they are there or not."""
    return tuple(dict.fromkeys(file.parent / LEDGER for file in lists))


def withdrawn(lists: Iterable[Path]) -> tuple[frozenset[tuple[str, int]], tuple[Finding, ...]]:
    """Issuer (`loose_key`) and serial of what was revoked, and what is wrong with ledgers that are there."""
    named: set[tuple[str, int]] = set()
    findings: list[Finding] = []
    for ledger in ledgers(lists):
        try:
            if ledger.is_file():
                named.update(_revoked(ledger))
        except (HandclaspError, OSError) as error:
            why = error.message if isinstance(error, HandclaspError) else str(error)
            where = Where(file=str(ledger))
            findings.append(found("ca-ledger-not-followed", why, where=where))
    return frozenset(named), tuple(findings)


def _revoked(path: Path) -> Iterator[tuple[str, int]]:
    from handclasp.ca.ledger import ISSUING, ROOT, Ledger

    ledger = Ledger(path)
    try:
        for role in (ROOT, ISSUING):
            issuer = loose_key(subject_text(ledger.authority(role).certificate))
            for one in ledger.revoked(role, ending_after=_EVERY):
                yield issuer, one.serial
    finally:
        ledger.close()
