"""What the agent answers when nginx asks about a caller. Values in, values out; the socket is `authorizer`.

An answer depends on the rules asked about, whose id is a digest of them and of the certificates they are
judged with (nginx.plan_access), on the certificate, and on what is denied or revoked. The last is the policy:
its digest is part of the key nginx keeps answers under, and moving on to another one is what ends them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.agent.list_lives import ListLives, Standing
from handclasp.certs.names import subject_alt_names
from handclasp.certs.private_keys import UNREADABLE
from handclasp.certs.trust_checks import signed_crl
from handclasp.identity.caller import (
    UnreadableCertificateError,
    certificate_from_escaped,
    read_caller,
)
from handclasp.identity.chain import Authorities
from handclasp.identity.denied import Denied, Same, joined, listed_by
from handclasp.identity.encoders.encode import WITH_CHAIN, encode_all, line_size
from handclasp.identity.encoders.style import Style
from handclasp.identity.policy import Decision, judge
from handclasp.identity.rules import compile_rules, needs_chain
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from handclasp.certs.material import Material, TrustMaterial
    from handclasp.identity.caller import Caller
    from handclasp.identity.rules import Rule
    from handclasp.nginx.parts import Authorizer, IngressServer, Plan

_VERIFIED, _ABSENT = "SUCCESS", "NONE"
_NOT_KEPT = timedelta()
_ON_ITS_WAY = timedelta(seconds=3)
"""nginx counts from when an answer comes, for which it waits two seconds, and all times are whole ones."""
_MOST_FORMER = 1000
_REMEMBERED = 32


@dataclass(frozen=True, slots=True)
class Question:
    """What nginx asks, as its variables have it. `certificate` is percent-encoded PEM, or empty."""

    rule: str
    policy: str
    verify: str
    certificate: str


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` are identity headers; `hop`: the caller is a trusted earlier hop. `fresh` and `outage`
    are zero for an answer that must not be kept."""

    decision: Decision
    headers: tuple[tuple[str, str], ...] = ()
    hop: bool = False
    fresh: timedelta = _NOT_KEPT
    outage: timedelta = _NOT_KEPT


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPolicy:
    """What all rules of a link have in common. `by` are the URI names of our own certificate, for XFCC."""

    link: str
    asked: Authorizer
    authorities: Authorities
    refused: Denied
    lists: ListLives | None
    hops: tuple[Rule, ...]
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RulePolicy:
    """A set of rules of a link, ready to be asked. `chained`: the path to the trust bundle matters."""

    link: LinkPolicy
    allow: tuple[Rule, ...]
    anonymous: bool
    chained: bool


@dataclass(frozen=True, slots=True)
class Policies:
    """Everything in force. `rules` by the id that nginx sends, those of configurations before included, for
    workers that still drain; `digest` is that of what is denied and revoked, `name` what stands for it in
    nginx's keys."""

    rules: Mapping[str, RulePolicy]
    digest: str
    name: str

    def answer(self, question: Question, *, now: datetime) -> Answer:
        """The decision, and for how long nginx may believe it. Never raises: what is odd is a denial."""
        rule = self.rules.get(question.rule)
        if rule is None:
            # Of a configuration that is no longer known; the next request comes from the new one.
            return Answer(
                _refused(Reason.AUTHORIZER_UNAVAILABLE, "the rules asked about are unknown")
            )
        if question.verify == _ABSENT and not question.certificate:
            return self._anonymous(rule, question, now)
        if question.verify != _VERIFIED:
            return Answer(_refused(Reason.NO_CERTIFICATE, "the certificate was not verified"))
        try:
            certificate = certificate_from_escaped(question.certificate)
            caller = self._read(certificate, rule, now)
        except UnreadableCertificateError as error:
            return self._kept(
                Answer(_refused(Reason.CERTIFICATE_UNREADABLE, str(error))),
                rule,
                question,
                None,
                now,
            )
        link = rule.link
        barred = link.authorities.bars(certificate, now=now)
        decision = judge(rule.allow, caller, now=now, denied=link.refused, barred=barred)
        standing = _standing(link, certificate, now) if decision.allowed else Standing()
        if standing.reason is not None:
            # Not kept: the list that ends it may come at any moment, and need not move the policy.
            return Answer(_refused(standing.reason, standing.sentence))
        answer = Answer(decision)
        if decision.allowed:
            answer = _described(link, caller, decision)
        return self._kept(answer, rule, question, caller, now, until=standing.until)

    def _anonymous(self, rule: RulePolicy, question: Question, now: datetime) -> Answer:
        answer = Answer(_refused(Reason.NO_CERTIFICATE, "the caller showed no certificate"))
        if rule.anonymous:
            told = "callers without certificate may enter here"
            answer = _described(rule.link, None, Decision(True, Reason.ALLOWED, told))
        return self._kept(answer, rule, question, None, now)

    def _read(self, certificate: x509.Certificate, rule: RulePolicy, now: datetime) -> Caller:
        chain = rule.link.authorities.chain(certificate, now=now) if rule.chained else None
        return read_caller(certificate, chain=chain)

    def _kept(
        self,
        answer: Answer,
        rule: RulePolicy,
        question: Question,
        caller: Caller | None,
        now: datetime,
        until: datetime | None = None,
    ) -> Answer:
        if question.policy != self.name:
            # Asked under another policy than the one that answers: it would be kept under the wrong name.
            return answer
        fresh, outage = rule.link.asked.fresh, rule.link.asked.outage
        if caller is not None:
            change = _until_change(caller, now)
            if until is not None:
                change = min(change, until - now)
            left = max(_NOT_KEPT, change - _ON_ITS_WAY)
            fresh, outage = min(fresh, left), max(_NOT_KEPT, min(outage, left - fresh))
        return Answer(answer.decision, answer.headers, answer.hop, fresh, outage)


def make_policies(
    plan: Plan, material: Material, denied: Denied, former: Policies | None = None
) -> Policies:
    """The policies of a plan. The plan has been checked: its rules can be compiled."""
    links = {
        server.link: _link_policy(server, server.authorizer, material, denied)
        for server in plan.ingress
        if server.authorizer is not None
    }
    refused = joined((denied, *(link.refused for link in links.values())))
    rules = _former_rules(former, refused, links) if former else {}
    for server in plan.ingress:
        if server.authorizer is None:
            continue
        link = links[server.link]
        for rule_set in server.rules:
            allow = compile_rules(rule_set.rule.allow)
            rules.pop(rule_set.id, None)
            rules[rule_set.id] = RulePolicy(
                link=link,
                allow=allow,
                anonymous=rule_set.rule.anonymous,
                chained=needs_chain((*allow, *link.hops))
                or not WITH_CHAIN.isdisjoint(server.authorizer.dialects),
            )
    digest = refused.digest()
    return Policies(rules, digest, digest)


def _former_rules(
    former: Policies, refused: Denied, now: Mapping[str, LinkPolicy]
) -> dict[str, RulePolicy]:
    """Rules of before, which refuse what they did and what is refused now. All share one set of that.
    How long lists count is as it is `now` for a link of that name."""
    kept = list(former.rules.items())[-_MOST_FORMER:]
    links = {id(rule.link): rule.link for _, rule in kept}
    refused = joined({refused, *(link.refused for link in links.values())})
    replaced = {
        known: replace(
            link,
            refused=refused,
            lists=now[link.link].lists if link.link in now else link.lists,
            authorities=link.authorities.refusing(refused),
        )
        for known, link in links.items()
    }
    return {name: replace(rule, link=replaced[id(rule.link)]) for name, rule in kept}


def genuine_lists(
    trust: TrustMaterial, between: Iterable[x509.Certificate] = ()
) -> tuple[x509.CertificateRevocationList, ...]:
    """The revocation lists of a trust that a CA known here has signed; others say nothing."""
    authorities = [*trust.all_anchors(), *between]
    return tuple(crl for crl in trust.crls if any(genuine(one, crl) for one in authorities))


def genuine(authority: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    """Whether a list is this CA's; one that cannot be read is nobody's."""
    try:
        return crl.issuer == authority.subject and _signed(authority, Same(crl))
    except UNREADABLE:
        return False


@functools.lru_cache(_REMEMBERED)
def _signed(authority: x509.Certificate, crl: Same) -> bool:
    assert isinstance(crl.value, x509.CertificateRevocationList)
    return signed_crl(authority, crl.value)


def _link_policy(
    server: IngressServer, asked: Authorizer, material: Material, denied: Denied
) -> LinkPolicy:
    trust, intermediates = material.trust[server.trust], material.between(server.link)
    leaf = material.identities[server.identity].leaf
    names = subject_alt_names(leaf) if leaf else ()
    unlisted = Denied(listed=frozenset([trust.withdrawn]))
    refused = joined((denied, listed_by(genuine_lists(trust, intermediates)), unlisted))
    return LinkPolicy(
        link=server.link,
        asked=asked,
        authorities=Authorities(
            trust.all_anchors(), intermediates, depth=server.depth, refused=refused
        ),
        refused=refused,
        lists=ListLives.of(trust, (*trust.all_anchors(), *intermediates)),
        hops=compile_rules(asked.hops),
        by=tuple(name.removeprefix("uri:") for name in names if name.startswith("uri:")),
    )


def _standing(link: LinkPolicy, certificate: x509.Certificate, now: datetime) -> Standing:
    if link.lists is None:
        return Standing()
    chain = link.authorities.chain(certificate, now=now)
    return link.lists.standing(certificate, chain, now=now)


def _described(link: LinkPolicy, caller: Caller | None, decision: Decision) -> Answer:
    style = Style(xfcc_by=link.by)
    headers = tuple(encode_all([(dialect, style) for dialect in link.asked.dialects], caller))
    size = sum(line_size(name, value) for name, value in headers)
    if size > (room := link.asked.header_room):
        told = f"the identity headers have {size} bytes, and {room} are admitted"
        return Answer(_refused(Reason.HEADERS_TOO_LARGE, told))
    hop = caller is not None and any(rule.holds(caller) for rule in link.hops)
    return Answer(decision, headers, hop)


def _until_change(caller: Caller, now: datetime) -> timedelta:
    """How long the certificates concerned stay as valid, or as invalid, as they are.

    The last second of a certificate is one of its life (RFC 5280, 4.1.2.5).
    """
    chain = caller.chain
    above = (*chain.intermediates, chain.anchor) if chain else ()
    begins = [caller.not_before, *(one.not_valid_before_utc for one in above)]
    ends = [caller.not_after, *(one.not_valid_after_utc for one in above)]
    ahead = [moment - now for moment in begins if moment > now]
    ahead += [moment - now for moment in ends if moment >= now]
    return min(ahead, default=timedelta.max)


def _refused(reason: Reason, sentence: str) -> Decision:
    return Decision(False, reason, sentence)
