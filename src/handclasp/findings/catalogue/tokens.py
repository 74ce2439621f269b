"""Keys in PKCS#11 tokens (HC254 to HC259, HC290 to HC299)."""

from __future__ import annotations

from handclasp.findings.entry import Entry

ENTRIES: tuple[Entry, ...] = ()
