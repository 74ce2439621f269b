"""The JSON that commands print, as models: the one declaration, from which the shipped schemas are made.

Keys may be added in later versions; none is renamed or removed, and no meaning changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from handclasp.cli.documents.ca import CaListDocument
from handclasp.cli.documents.cert import CertCheckDocument, ShowDocument
from handclasp.cli.documents.deny import DenyDocument
from handclasp.cli.documents.expiry import ExpiryDocument
from handclasp.cli.documents.hsm import TokenCheckDocument, TokensDocument
from handclasp.cli.documents.identity import IdentityShowDocument
from handclasp.cli.documents.reports import CheckDocument, EntryDocument, StatusDocument
from handclasp.cli.documents.take import TakeDocument

if TYPE_CHECKING:
    from handclasp.cli.documents.model import Document

DOCUMENTS: dict[str, type[Document]] = {
    "check": CheckDocument,
    "explain": EntryDocument,
    "status": StatusDocument,
    "deny": DenyDocument,
    "take": TakeDocument,
    "expiry": ExpiryDocument,
    "cert show": ShowDocument,
    "cert check": CertCheckDocument,
    "hsm list": TokensDocument,
    "identity show": IdentityShowDocument,
    "hsm check": TokenCheckDocument,
    "ca list": CaListDocument,
}
"""Command → what it prints with --format json."""


def document_schema(command: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a command's output. Raises KeyError for a command that prints none."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(DOCUMENTS[command]).json_schema(),
    }
