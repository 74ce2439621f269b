"""What the agent knows, as one value: `status`, /status.json and readiness render it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from handclasp.agent.overlapping import callers_report
from handclasp.certs.dn import subject_text
from handclasp.findings import found
from handclasp.nginx.lifecycle import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from handclasp.agent.callers_seen import CallersSeen
    from handclasp.agent.carrier import Applied
    from handclasp.agent.outage import Outage
    from handclasp.certs.material import TrustMaterial
    from handclasp.findings import Finding
    from handclasp.monitor.expiring import Expiring
    from handclasp.nginx.lifecycle import Lifecycle
    from handclasp.nginx.parts import Upstream


@dataclass(frozen=True, slots=True)
class Awaited:
    """New files, since when they do not hold together, and why; they are given some time."""

    since: datetime
    why: str

    def as_json(self) -> dict[str, str]:
        """The form of `status`."""
        return {"since": self.since.isoformat(), "why": self.why}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A moment of the agent."""

    applied: Applied
    lifecycle: Lifecycle
    master_pid: int | None
    worker_pids: tuple[int, ...]
    agent_pid: int
    started: datetime
    now: datetime
    refused_change: str | None  # why the spec on disk is not the one in effect
    not_taken: Mapping[str, str] = field(
        default_factory=dict
    )  # new files, by what they are for, and why
    awaited: Mapping[str, Awaited] = field(default_factory=dict)  # by what they are for
    unresolved: frozenset[str] = frozenset()  # names nginx follows that have no address at present
    token_news: tuple[Outage | None, int] = (None, 0)  # and how often nginx was restarted for one
    renewals: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)  # by identity
    bundles: Mapping[str, str] = field(default_factory=dict)  # by trust, what is wrong with it
    issuer_tokens: tuple[Expiring, ...] = ()  # those that end some day
    tokens_not_kept: Mapping[str, str] = field(default_factory=dict)  # by issuer, and why
    answers: Mapping[str, int] = field(
        default_factory=dict
    )  # given to nginx about callers, by reason
    denied: int = 0  # certificates
    denials: str | None = None  # why denials are not in force, or not written
    lists: str | None = None  # what is wrong with revocation lists that changed on disk
    callers_seen: CallersSeen | None = None  # where nginx notes them
    in_force: Mapping[str, TrustMaterial] = field(
        default_factory=dict
    )  # with the lists that callers are held to by now

    @property
    def served(self) -> bool:
        """Whether nginx serves the plan in effect."""
        serving = self.lifecycle.state in (State.SERVING, State.RELOADING)
        supervised = self.applied.prepared.spec.nginx.mode == "own"
        return serving and (bool(self.worker_pids) or not supervised)

    @property
    def ready(self) -> bool:
        """Whether it does, none of its keys is in a token that is away, and no certificate has ended."""
        return self.served and not self._token_outage and not self._ended

    @property
    def _ended(self) -> list[str]:
        """Identities in use whose certificates have."""
        used = [name for name, _ in self.applied.plan.identities]
        return [name for name in used if self._has_ended(name)]

    def _has_ended(self, identity: str) -> bool:
        leaf = self.applied.prepared.material.identities[identity].leaf
        return leaf is not None and leaf.not_valid_after_utc < self.now

    @property
    def _token_outage(self) -> Outage | None:
        return self.token_news[0] if self.applied.plan.tokens is not None else None

    def as_json(self) -> dict[str, Any]:
        """The stable JSON form (docs/reference/json.md)."""
        prepared, plan = self.applied.prepared, self.applied.plan
        return {
            "name": plan.name,
            "ready": self.ready,
            "agent": {"pid": self.agent_pid, "started": self.started.isoformat()},
            "nginx": {
                "state": self.lifecycle.state.value,
                "pid": self.master_pid,
                "workers": list(self.worker_pids),
                "version": prepared.facts.version_text,
                "binary": str(prepared.binary),
                "tls": f"{prepared.facts.tls_library.name} {prepared.facts.tls_library.running}",
            },
            "generation": self.applied.generation,
            "refused_change": self.refused_change,
            "not_taken": dict(self.not_taken),
            "awaited": {unit: one.as_json() for unit, one in self.awaited.items()},
            "tokens": self._tokens(),
            "callers": {
                "answers": dict(self.answers),
                "denied": self.denied,
                "denials": self.denials,
                "lists": self.lists,
            },
            "callers_seen": callers_report(self.applied.prepared, self.callers_seen, self.now),
            "links": self.links(),
            "identities": self._identities(),
            "findings": [
                finding.as_json()
                for finding in (*prepared.findings, *self._not_renewed(), *self._not_heard())
                if finding.severity != "info"
            ],
        }

    def _not_renewed(self) -> Iterable[Finding]:
        """Identities whose issuer gives nothing, or not what is asked for."""
        for name, renewal in self.renewals.items():
            if (why := renewal["last_error"]) is not None:
                yield found("renewal-failing", f"identity '{name}' is not renewed: {why}")

    def _not_heard(self) -> Iterable[Finding]:
        """Trusts whose SPIFFE bundle may not be the newest, and tokens of issuers that may end."""
        for name, why in self.bundles.items():
            seen = f"the SPIFFE bundle of trust '{name}' may be out of date: {why}"
            yield found("spiffe-bundle-not-heard", seen)
        for name, why in self.tokens_not_kept.items():
            yield found(
                "issuer-token-not-kept", f"the token of issuer '{name}' is not kept alive: {why}"
            )

    def _tokens(self) -> dict[str, Any] | None:
        """How keys in tokens are reached; None where there is none."""
        tokens = self.applied.plan.tokens
        if tokens is None:
            return None
        outage, restarts = self.token_news
        return {
            "way": tokens.leading.way.value,
            "library": str(tokens.leading.library),
            "module": str(tokens.module),
            "outage": outage.seen if outage else None,
            "outage_since": outage.since.isoformat() if outage else None,
            "restarts": restarts,
        }

    def links(self) -> list[dict[str, Any]]:
        """Each link in the form of `as_json`."""
        plan = self.applied.plan
        links: list[dict[str, Any]] = []
        upstreams = {one.name: one for one in plan.upstreams}
        for server in plan.egress:
            used = [upstreams[route.upstream] for route in server.routes if route.upstream]
            links.append(
                {
                    "name": server.link,
                    "kind": "egress",
                    "listen": [str(server.listen)],
                    "to": sorted(
                        {f"{one.scheme}://{one.tls.name if one.tls else ''}" for one in used}
                    ),
                    "identities": (
                        identities := sorted(
                            {one.tls.identity for one in used if one.tls and one.tls.identity}
                        )
                    ),
                    "down": [
                        *self._unsigned(identities),
                        *(
                            reason
                            for route in server.routes
                            if (
                                reason := route.reason
                                or self._unreachable(upstreams, route.upstream)
                            )
                            and not route.exact
                        ),
                    ],
                    "insecure": any(one.tls and one.tls.trust is None for one in used),
                }
            )
        for ingress in plan.ingress:
            links.append(
                {
                    "name": ingress.link,
                    "kind": "ingress",
                    "listen": [str(address) for address in ingress.listen],
                    "server_names": list(ingress.server_names),
                    "identities": [ingress.identity],
                    "clients": ingress.verify,
                    "allow": sorted(
                        {
                            str(rule).removesuffix(":")
                            for rule_set in ingress.rules
                            for rule in rule_set.rule.allow
                        }
                    ),
                    "asks_agent": ingress.authorizer is not None,
                    "down": [
                        *self._unsigned([ingress.identity]),
                        *filter(None, [self._unreachable(upstreams, ingress.backend)]),
                    ],
                    "insecure": False,
                }
            )
        return links

    def _unsigned(self, identities: Iterable[str]) -> list[str]:
        """Why handshakes with these identities fail: their keys are in a token that is away, or their
        certificates have ended."""
        reasons: list[str] = []
        outage = self._token_outage
        for name in identities:
            if outage is not None and name in outage.reasons:
                reasons.append(
                    f"the key of {name} in its token does not work: {outage.reasons[name]}"
                )
            if self._has_ended(name):
                reasons.append(f"the certificate of {name} has expired")
        return reasons

    def _unreachable(self, upstreams: Mapping[str, Upstream], name: str | None) -> str | None:
        """Why requests to this upstream go nowhere: none of its names has an address."""
        servers = upstreams[name].servers if name else ()
        hosts = {server.address.rpartition(":")[0] for server in servers}
        # A server that is written as an address is no name, and so not among the unresolved.
        if not hosts or hosts - self.unresolved:
            return None
        return f"upstream name {', '.join(sorted(hosts))} cannot be resolved at present"

    def _identities(self) -> list[dict[str, Any]]:
        identities: list[dict[str, Any]] = []
        for name, version in self.applied.plan.identities:
            leaf = self.applied.prepared.material.identities[name].leaf
            assert leaf is not None
            end = leaf.not_valid_after_utc
            identities.append(
                {
                    "name": name,
                    "subject": subject_text(leaf),
                    "not_after": end.isoformat(),
                    "days_left": (end - self.now).days,
                    "ended": self._has_ended(name),
                    "version": version[:16],
                    "renewal": self.renewals.get(name),
                }
            )
        return identities
