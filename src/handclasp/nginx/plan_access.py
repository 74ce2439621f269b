"""Deciding who decides about a caller: nginx by itself, or the agent that it asks and remembers."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from handclasp.backend.dialects import DIALECTS
from handclasp.certs.dn import subject_text
from handclasp.certs.names import subject_alt_names
from handclasp.nginx.parts import Authorizer, Composed, RuleSet
from handclasp.spec.access import access_rules
from handclasp.spec.values import AllowKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography import x509

    from handclasp.certs.material import TrustMaterial
    from handclasp.nginx.plan import Inputs
    from handclasp.spec import links
    from handclasp.spec.access import AccessRule
    from handclasp.spec.values import AllowRule

_SHA256 = hashes.SHA256()
_NATIVE_KINDS = frozenset((AllowKind.ANY, AllowKind.CN, AllowKind.DN))
"""What nginx compares by itself (render.allow)."""


def rule_sets(link: links.IngressLink, inputs: Inputs) -> tuple[RuleSet, ...]:
    """The rules of a link with their ids."""
    return tuple(RuleSet(_id(link, rule, inputs), rule) for rule in access_rules(link.clients))


def _id(link: links.IngressLink, rule: AccessRule, inputs: Inputs) -> str:
    """All that an answer depends on, but the caller and what is denied or revoked."""
    clients, hop = link.clients, link.original_certificate
    leaf = identity.leaf if (identity := inputs.material.identities.get(link.identity)) else None
    parts = [
        *(link.name, rule.path, rule.methods, rule.anonymous, clients.depth),
        [str(one) for one in rule.allow],
        [(forward.dialect, forward.append) for forward in link.forward],
        [str(one) for one in hop.trusted] if hop else [],
        [clients.certificate_size, str(clients.answers.fresh), str(clients.answers.outage)],
        [one.fingerprint(_SHA256).hex() for one in known_authorities(link, inputs)],
        subject_alt_names(leaf) if leaf else (),  # By= of XFCC
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def authorizer(
    link: links.IngressLink, sets: Iterable[RuleSet], inputs: Inputs
) -> Authorizer | None:
    """What the agent is asked; None where nginx can decide and write everything by itself."""
    hops = tuple(link.original_certificate.trusted) if link.original_certificate else ()
    composed = [forward for forward in link.forward if not DIALECTS[forward.dialect].native]
    asked = [one for rule_set in sets for one in rule_set.rule.allow]
    hops_asked = not _native(hops)
    lists_asked = keeps_lists(inputs.material.trust.get(link.clients.trust))
    if not composed and not hops_asked and not lists_asked and _native(asked):
        return None
    return Authorizer(
        headers=tuple(
            Composed(name, forward.append)
            for forward in composed
            for name in DIALECTS[forward.dialect].composed
        ),
        dialects=tuple(forward.dialect for forward in composed),
        hops=hops if hops_asked else (),
        certificate_size=link.clients.certificate_size,
        fresh=link.clients.answers.fresh,
        outage=link.clients.answers.outage,
    )


def keeps_lists(trust: TrustMaterial | None) -> bool:
    """Whether lists are honoured past their end, which nginx's own check of them cannot do
    (X509_V_ERR_CRL_HAS_EXPIRED): then it is given none, and the agent decides."""
    return trust is not None and bool(trust.crls) and trust.lists_kept is not None


def issuer_names(link: links.IngressLink, inputs: Inputs) -> tuple[str, ...]:
    """CAs that may have issued a caller's certificate, as far as they are known here."""
    return tuple(sorted({subject_text(one) for one in known_authorities(link, inputs)}))


def known_authorities(link: links.IngressLink, inputs: Inputs) -> tuple[x509.Certificate, ...]:
    """The trust anchors of a link and the intermediates its spec names."""
    return inputs.material.authorities(link.clients.trust, link.name)


def _native(rules: Iterable[AllowRule]) -> bool:
    return all(rule.kind in _NATIVE_KINDS for rule in rules)
