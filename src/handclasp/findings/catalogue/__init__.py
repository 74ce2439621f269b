"""Every slug, as data. One module per area; an entry is added to the area its code belongs to."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from handclasp.errors import InternalFault
from handclasp.findings.catalogue import (
    authorities,
    callers,
    certificates_and_keys,
    client_rules,
    client_verification,
    identity_to_backend,
    issuing,
    operations,
    protocols,
    spec_and_machine,
    tokens,
    upstream,
)
from handclasp.findings.model import Finding, Severity, Where

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.findings.entry import Entry

AREAS: tuple[tuple[Entry, ...], ...] = (
    client_verification.ENTRIES,
    client_rules.ENTRIES,
    certificates_and_keys.ENTRIES,
    authorities.ENTRIES,
    tokens.ENTRIES,
    protocols.ENTRIES,
    identity_to_backend.ENTRIES,
    callers.ENTRIES,
    upstream.ENTRIES,
    operations.ENTRIES,
    issuing.ENTRIES,
    spec_and_machine.ENTRIES,
)


def catalogue(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The entries by slug, in code order, with every see_also made mutual.

    A link is written down once, at either end. Raises InternalFault for a slug or code that is
    used twice and for a link that leads nowhere.
    """
    by_slug: dict[str, Entry] = {}
    codes: set[str] = set()
    for entry in sorted(entries, key=lambda entry: entry.code):
        if entry.slug in by_slug or entry.code in codes:
            raise InternalFault(f"the catalogue uses {entry.slug} or {entry.code} twice")
        by_slug[entry.slug] = entry
        codes.add(entry.code)
    links = {slug: set(entry.see_also) for slug, entry in by_slug.items()}
    for slug, entry in by_slug.items():
        for other in entry.see_also:
            if other not in links:
                raise InternalFault(f"{slug} refers to {other}, which is not in the catalogue")
            links[other].add(slug)
    return {
        slug: replace(entry, see_also=tuple(sorted(links[slug]))) for slug, entry in by_slug.items()
    }


ENTRIES: dict[str, Entry] = catalogue(chain.from_iterable(AREAS))


def found(
    slug: str,
    seen: str,
    *,
    where: Where | None = None,
    fix: str | None = None,
    severity: Severity | None = None,
) -> Finding:
    """A finding for a catalogued slug; code, and where not given fix and severity, from its entry.

    Raises KeyError for a slug that is not in the catalogue: that is a bug.
    """
    entry = ENTRIES[slug]
    return Finding(
        slug=slug,
        code=entry.code,
        severity=severity or entry.severity,
        seen=seen,
        fix=fix or entry.fix,
        where=where or Where(),
    )
