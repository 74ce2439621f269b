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


class RenewalDocument(Document):
    """The renewal of an identity that an issuer issues."""

    issuer: str
    next: str | None
    """When the issuer is asked next (ISO 8601, UTC); null before the first look."""
    last_error: str | None
    """Why the last try failed; null when it did not."""


class IdentityDocument(Document):
    """One identity in use."""

    name: str
    subject: str
    not_after: str
    days_left: int
    ended: bool
    """It has expired: links with it are down, and the agent is not ready."""
    version: str
    renewal: RenewalDocument | None
    """How it is renewed; null for a certificate that comes from a file."""


class CallersDocument(Document):
    """Callers that the agent was asked about."""

    answers: dict[str, int]
    """How many answers were given since the agent started, by reason; nginx remembers each for a while."""
    denied: int
    """Certificates denied by `handclasp deny`."""
    denials: str | None
    """Why denials are not in force everywhere, or not written down; null when they are."""
    lists: str | None
    """What is wrong with revocation lists that changed on disk; null when nothing is. Those of before stay
    in force."""


class CallerEndingDocument(Document):
    """A certificate that callers presented in the last day and that ends soon."""

    link: str
    subject: str
    not_after: str
    """ISO 8601, UTC."""
    days_left: int
    level: Literal["warning", "critical", "expired"]


class AuthorityDocument(Document):
    """A CA of a trust that holds several."""

    trust: str
    subject: str
    not_after: str
    callers_last_day: int
    """Certificates seen in the last day that would be refused without it."""
    callers_within_overlap: int
    """The same within `rotation.overlap`."""
    examples: list[str]
    """Subjects of some of them."""
    last_seen: str | None
    """When the last of them came; null when none did."""
    safe_to_drop: bool
    """Nobody that may need it came within `rotation.overlap`, and the agent has watched as long."""
    safe_from: str
    """When it will be, or was, if nobody comes any more (ISO 8601, UTC)."""
    unknown_issuers: list[str]
    """Issuers of callers that are not known here, and so may be below it: a reason why it is not safe."""
    same_name_as_another: bool
    """Another CA of the trust has its name, so that callers count for both."""


class CallersSeenDocument(Document):
    """Certificates that callers present, as nginx notes them."""

    since: str
    """From when on it has been watched without a gap."""
    in_use: int
    """Certificates of the last day that have not ended or been replaced."""
    problem: str | None
    """Why callers are not followed; null when they are."""
    ending: list[CallerEndingDocument]
    """The gravest first, at most 50."""
    ending_in_all: int
    authorities: list[AuthorityDocument]


class AwaitedDocument(Document):
    """New files that are given some time to hold together, as a certificate whose key is still to come."""

    since: str
    """When the first of them changed (ISO 8601, UTC)."""
    why: str
    """Why they do not hold together."""


class StatusDocument(Document):
    """`handclasp status --format json`, and GET /status.json."""

    name: str
    ready: bool
    """nginx serves what is in effect, no key is in a token that is away, and no identity in use has expired.
    /readyz says the same."""
    agent: AgentDocument
    nginx: NginxDocument
    generation: int
    refused_change: str | None
    """Why the spec on disk is not the one in effect; null when it is."""
    not_taken: dict[str, str]
    """By what they are for, why new files on disk are not what is served."""
    awaited: dict[str, AwaitedDocument]
    """By what they are for, new files that do not hold together yet."""
    tokens: TokensDocument | None
    """null when no key is in a token."""
    callers: CallersDocument
    callers_seen: CallersSeenDocument | None
    """null where nginx does not note who calls: `log.callers` is false, there is no ingress link, or the mode
    is existing."""
    links: list[LinkDocument]
    identities: list[IdentityDocument]
    findings: list[FindingDocument]
