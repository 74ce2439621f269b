"""HC2xx: what is wrong with a certificate, key, chain, trust file or revocation list."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings.catalogue.certificates_and_keys import (
    chains,
    files,
    lifetimes,
    names,
    private_keys,
    purposes,
    revocation_lists,
    token_keys,
)

if TYPE_CHECKING:
    from handclasp.findings.entry import Entry

ENTRIES: tuple[Entry, ...] = (
    *files.ENTRIES,
    *private_keys.ENTRIES,
    *token_keys.ENTRIES,
    *lifetimes.ENTRIES,
    *names.ENTRIES,
    *purposes.ENTRIES,
    *chains.ENTRIES,
    *revocation_lists.ENTRIES,
)
