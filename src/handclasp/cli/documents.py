"""The JSON that commands print, as models: the one declaration, from which the shipped schemas are made.

Keys may be added in later versions; none is renamed or removed, and no meaning changes.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

SeverityName = Literal["error", "warning", "info"]


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class WhereDocument(_Document):
    """A place; what is not known is null."""

    file: str | None
    line: int | None
    """Counted from 1."""
    column: int | None
    """Counted from 1."""
    path: str | None = None
    """Path into the document, as `egress[0].upstream`."""


class FindingDocument(_Document):
    """One finding."""

    slug: str
    """Its name in the catalogue: `handclasp explain --slug SLUG`."""
    code: str
    severity: SeverityName
    where: WhereDocument
    seen: str
    """What was seen, in a sentence."""
    fix: str
    """What to do."""


class CheckDocument(_Document):
    """`handclasp check --format json`."""

    ok: bool
    """No finding is an error."""
    findings: list[FindingDocument]


class EntryDocument(_Document):
    """`handclasp explain --slug SLUG --format json`."""

    slug: str
    code: str
    kinds: list[Literal["cause", "rule", "check"]]
    severity: SeverityName
    sides: list[Literal["client", "server", "config", "app"]]
    meaning: str
    fix: str
    references: list[str]
    see_also: list[str]


class AgentDocument(_Document):
    """The agent's process."""

    pid: int
    started: str
    """ISO 8601, UTC."""


class NginxDocument(_Document):
    """The nginx it runs."""

    state: Literal["stopped", "starting", "serving", "reloading", "backoff", "stopping", "failed"]
    pid: int | None
    workers: list[int]
    version: str
    binary: str
    tls: str


class LinkDocument(_Document):
    """One link in effect."""

    name: str
    kind: Literal["egress", "ingress"]
    listen: list[str]
    identities: list[str]
    down: list[str]
    """Why parts of it are down; empty when it is up."""
    insecure: bool
    """An upstream is not verified (insecure_accept_any)."""


class IdentityDocument(_Document):
    """One identity in use."""

    name: str
    subject: str
    not_after: str
    days_left: int
    version: str


class StatusDocument(_Document):
    """`handclasp status --format json`, and GET /status.json."""

    name: str
    ready: bool
    agent: AgentDocument
    nginx: NginxDocument
    generation: int
    refused_change: str | None
    """Why the spec on disk is not the one in effect; null when it is."""
    links: list[LinkDocument]
    identities: list[IdentityDocument]
    findings: list[FindingDocument]


DOCUMENTS: dict[str, type[_Document]] = {
    "check": CheckDocument,
    "explain": EntryDocument,
    "status": StatusDocument,
}
"""Command → what it prints with --format json."""


def document_schema(command: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a command's output. Raises KeyError for a command that prints none."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(DOCUMENTS[command]).json_schema(),
    }
