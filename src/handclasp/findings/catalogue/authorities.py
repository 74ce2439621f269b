"""Private certificate authorities (HC241 to HC249)."""

from __future__ import annotations

from handclasp.findings.entry import Entry

ENTRIES: tuple[Entry, ...] = ()
