"""HC680 to HC699: certificates that handclasp has issued and renews."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity


def _check(
    slug: str,
    code: str,
    meaning: str,
    fix: str,
    severity: Severity = Severity.ERROR,
    *,
    see_also: tuple[str, ...] = (),
) -> Entry:
    return Entry(
        slug=slug,
        code=code,
        kinds=frozenset({Kind.CHECK}),
        severity=severity,
        meaning=meaning,
        fix=fix,
        see_also=see_also,
    )


ENTRIES: tuple[Entry, ...] = (
    _check(
        "identity-not-issued-yet",
        "HC680",
        "An identity has an issuer, and nothing that it issued is there to be used.",
        "Nothing needs to be done: `handclasp run` asks the issuer before it starts nginx.",
        Severity.INFO,
    ),
    _check(
        "issuer-unusable",
        "HC681",
        "An issuer of the spec cannot issue anything as it is.",
        "Correct the issuer's section, or what it names; the sentence says what is missing.",
    ),
    _check(
        "issued-names-missing",
        "HC682",
        "An issuer gave a certificate without a name that it was asked for.",
        "Let the issuer's policy (role, profile, template) grant the name, or leave it out of `names`.",
    ),
    _check(
        "issued-lifetime-too-short",
        "HC683",
        "An issuer gave a certificate that ends before it could be renewed.",
        "Let the issuer give more than a few seconds, or ask for more with `lifetime`.",
        see_also=("cert-expired",),
    ),
    _check(
        "issued-older-than-current",
        "HC684",
        "An issuer gave the certificate in use once more, or an older one.",
        "Have the issuer make a new certificate for each request; a cache before it may hold the old one.",
    ),
    _check(
        "issued-for-another-key",
        "HC685",
        "An issuer gave a certificate for another key than the one in the request.",
        "Look whether the issuer mixes up requests that come at once, or answers from a cache.",
        see_also=("key-cert-mismatch",),
    ),
    _check(
        "renewal-failing",
        "HC686",
        "An identity could not be renewed, or what was issued for it is not taken, and what it has goes on"
        " serving until it ends; once it has ended this is an error.",
        "Mend what the last error names; handclasp goes on trying, more often as the end comes near.",
        Severity.WARNING,
    ),
    _check(
        "acme-for-clients",
        "HC687",
        "A certificate for a client is asked of an ACME server that most likely is a public CA's.",
        "Write `use: server`; for clients choose a private CA: `local`, `vault`, `spiffe`, or an ACME server"
        " that gives clientAuth, with its CA in `ca`.",
        Severity.WARNING,
        see_also=("client-auth-eku-public-ca",),
    ),
    _check(
        "acme-http01-not-port-80",
        "HC688",
        "Challenges are answered at another port than 80, where every CA looks (RFC 8555, section 8.3).",
        "Listen on port 80, or have port 80 of the names led there (by a load balancer, or a container's port"
        " mapping); a CA for tests may be set to another port.",
        Severity.WARNING,
        see_also=("expose-missing",),
    ),
    _check(
        "spiffe-bundle-not-received",
        "HC689",
        "A trust is the bundle of a SPIFFE trust domain, and the Workload API never gave it on this machine;"
        " without it nobody is believed, so nothing is started.",
        "Look whether the API's agent runs, whether this workload is registered, and whether its entry is"
        " federated with the trust domain. Before a first `handclasp run` this is no mistake: it is asked for"
        " before nginx starts.",
        see_also=("identity-not-issued-yet",),
    ),
    _check(
        "spiffe-bundle-not-heard",
        "HC690",
        "The Workload API cannot be heard, or says of a trust domain's bundle what cannot be used; the one"
        " that was received last stays.",
        "Mend what the sentence names; it is tried again all the time.",
        Severity.WARNING,
    ),
    _check(
        "spiffe-bundle-withdrawn",
        "HC691",
        "The Workload API gives the bundle of a trust domain no more, so nobody of that domain is believed"
        " (SPIFFE Workload API, section 4.4).",
        "If that is a mistake, federate this workload's entry with the trust domain again; else remove the"
        " links and the trust.",
        Severity.WARNING,
    ),
    _check(
        "allow-outside-trust-domain",
        "HC692",
        "A link lets callers in under the bundle of a SPIFFE trust domain by a rule that does not ask for a"
        " SPIFFE ID of that domain, though the domain's CAs can sign every other name too, also SPIFFE IDs of"
        " ours.",
        "Write `spiffe://DOMAIN/*` for all of the trust domain, or IDs of it. Callers with certificates of"
        " another kind need a link and a trust of their own.",
        see_also=("allow-any",),
    ),
    _check(
        "upstream-not-by-spiffe-id",
        "HC693",
        "An upstream is verified under the bundle of a SPIFFE trust domain by its DNS name: nginx compares no"
        " SPIFFE IDs, so whatever the domain's CAs sign for that name is believed.",
        "See that only the workload that is meant gets an SVID with this DNS name.",
        Severity.WARNING,
    ),
    _check(
        "issuer-token-not-kept",
        "HC694",
        "The token for an issuer could not be renewed in time, or not be looked at; when it ends, the issuer"
        " gives no more certificates.",
        "Put a valid token in its place (it is read anew), with the policy `default` so that it may renew"
        " itself; or let handclasp log in: `approle` or `cert`.",
        Severity.WARNING,
        see_also=("renewal-failing",),
    ),
    _check(
        "issued-ca-certificate",
        "HC695",
        "An issuer gave a CA certificate for our key in the place of a leaf: whoever has the key could issue"
        " certificates.",
        "Let the issuer use a profile, role or template for servers or clients, with CA:FALSE.",
        see_also=("ca-used-as-client-identity",),
    ),
    _check(
        "issued-chain-wrong",
        "HC696",
        "An issuer gave a certificate with CAs beside it, and none of them issued it: its peers would find no"
        " way up to a root.",
        "Have the issuer print the CA that signs, and those above it; after a change of that CA a file with"
        " the old one may still be in its place.",
        see_also=("chain-not-known",),
    ),
)
