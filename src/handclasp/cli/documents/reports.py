"""Findings, catalogue entries and the agent's status as JSON."""

from __future__ import annotations

from typing import Literal

from handclasp.cli.documents.model import Document

SeverityName = Literal["error", "warning", "info"]


class WhereDocument(Document):
    """A place; what is not known is null."""

    file: str | None
    line: int | None
    """Counted from 1."""
    column: int | None
    """Counted from 1."""
    path: str | None = None
    """Path into the document, as `egress[0].upstream`."""


class FindingDocument(Document):
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


class CheckDocument(Document):
    """`handclasp check --format json`."""

    ok: bool
    """No finding is an error."""
    findings: list[FindingDocument]


class EntryDocument(Document):
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


class AgentDocument(Document):
    """The agent's process."""

    pid: int
    started: str
    """ISO 8601, UTC."""


class NginxDocument(Document):
    """The nginx it runs."""

    state: Literal["stopped", "starting", "serving", "reloading", "backoff", "stopping", "failed"]
    pid: int | None
    workers: list[int]
    version: str
    binary: str
    tls: str


class TokensDocument(Document):
    """How nginx reaches keys in tokens."""

    way: Literal["provider", "store", "engine"]
    library: str
    """The provider or engine that OpenSSL loads."""
    module: str
    outage: str | None
    """Why keys in tokens do not work at present; null when they do."""
    outage_since: str | None
    """ISO 8601, UTC."""
    restarts: int
    """How often nginx was restarted because a token had come back."""


class LinkDocument(Document):
    """One link in effect."""

    name: str
    kind: Literal["egress", "ingress"]
    listen: list[str]
    identities: list[str]
    down: list[str]
    """Why parts of it are down; empty when it is up."""
    insecure: bool
    """An upstream is not verified (insecure_accept_any)."""


class IdentityDocument(Document):
    """One identity in use."""

    name: str
    subject: str
    not_after: str
    days_left: int
    version: str


class CallersDocument(Document):
    """Callers that the agent was asked about."""

    answers: dict[str, int]
    """How many answers were given since the agent started, by reason; nginx remembers each for a while."""
    denied: int
    """Certificates denied by `handclasp deny`."""
    lists: str | None
    """What is wrong with revocation lists that changed on disk; null when nothing is. Those of before stay
    in force."""


class StatusDocument(Document):
    """`handclasp status --format json`, and GET /status.json."""

    name: str
    ready: bool
    """nginx serves what is in effect, and no key is in a token that is away. /readyz says the same."""
    agent: AgentDocument
    nginx: NginxDocument
    generation: int
    refused_change: str | None
    """Why the spec on disk is not the one in effect; null when it is."""
    tokens: TokensDocument | None
    """null when no key is in a token."""
    callers: CallersDocument
    links: list[LinkDocument]
    identities: list[IdentityDocument]
    findings: list[FindingDocument]
