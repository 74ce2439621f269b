"""Findings and the catalogue of slugs they refer to.

``model``      Finding, Severity, Where, FindingsError
``entry``      the shape of a catalogue entry
``catalogue``  the entries, one module per area, as data
"""

from handclasp.findings.catalogue import ENTRIES, found
from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Finding, FindingsError, Severity, Where, errors_in

__all__ = [
    "ENTRIES",
    "Entry",
    "Finding",
    "FindingsError",
    "Kind",
    "Severity",
    "Side",
    "Where",
    "errors_in",
    "found",
]
