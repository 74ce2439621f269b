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
        "An identity could not be renewed, and what it has goes on serving until it ends.",
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
)
