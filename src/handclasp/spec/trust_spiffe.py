"""Trust anchors that the SPIFFE Workload API gives. docs/reference/spec.md is generated from it."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from handclasp.spec.links import Name
from handclasp.spec.policy import Section

if TYPE_CHECKING:
    from handclasp.spec.model import Spec

TRUST_DOMAIN_PATTERN = r"^[a-z0-9._-]{1,255}$"
_SCHEME = "spiffe://"


class SpiffeBundle(Section):
    """The bundle of one trust domain; it vouches for SPIFFE IDs of that domain and for nothing else."""

    issuer: Name
    """One of `issuers`, of type spiffe: where its Workload API is."""
    trust_domain: Annotated[str, Field(pattern=TRUST_DOMAIN_PATTERN)] | None = None
    """The trust domain, such as example.org, our own or one that ours is federated with; default: that of
    the SPIFFE IDs in `names` of identities of this issuer."""


def with_trust_domains(spec: "Spec") -> "Spec":
    """The same with the trust domain of each bundle, as far as our own SPIFFE IDs say it."""
    named = {}
    for name, trust in spec.trust.items():
        bundle = trust.spiffe
        if bundle is None or bundle.trust_domain is not None:
            continue
        domains = {
            trust_domain_in(one.value)
            for identity in spec.identities.values()
            if identity.issuer == bundle.issuer
            for one in identity.names or ()
            if one.value.startswith(_SCHEME)
        }
        if len(domains) == 1:
            told = bundle.model_copy(update={"trust_domain": domains.pop()})
            named[name] = trust.model_copy(update={"spiffe": told})
    return spec.model_copy(update={"trust": {**spec.trust, **named}}) if named else spec


def trust_domain_in(identifier: str) -> str:
    """That of a SPIFFE ID, or of a rule for some."""
    return identifier.removeprefix(_SCHEME).partition("/")[0].lower()
