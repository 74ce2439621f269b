"""HC2xx: revoked certificates, revocation lists and stapled answers."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import nginx, nginx_source, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="cert-revoked",
        code="HC204",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The CA has withdrawn the certificate before its end and a revocation list or an OCSP "
            "answer says so."
        ),
        fix=(
            "Have a new certificate with a new key issued; if the revocation was a mistake, have "
            "the CA publish a list without it and load that list (nginx `ssl_crl` or "
            "`proxy_ssl_crl`, handclasp `trust: {NAME: {crl: [PATH]}}`)."
        ),
        references=(
            rfc(5280, "5"),
            nginx("http_ssl", "ssl_crl"),
            rfc(6960),
        ),
        see_also=("crl-expired",),
    ),
    Entry(
        slug="crl-expired",
        code="HC205",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The revocation list is older than its announced next update, and nginx then refuses "
            "every certificate of that CA."
        ),
        fix=(
            "Fetch the CA's current list, put it in place as a new file and reload nginx: "
            "`ssl_crl` or `proxy_ssl_crl`, handclasp `trust: {NAME: {crl: [PATH]}}`. Fetch it "
            "regularly, well before nextUpdate."
        ),
        references=(
            rfc(5280, "5.1.2.5"),
            nginx("http_ssl", "ssl_crl"),
        ),
        see_also=("crl-missing-for-chain",),
    ),
    Entry(
        slug="crl-missing-for-chain",
        code="HC206",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "Revocation is checked, and for one of the CAs in the chain there is no revocation "
            "list in the file, so every certificate under it is refused."
        ),
        fix=(
            "Put one list per CA of the chain, root included, into the file (`cat root.crl "
            "intermediate.crl > all.crl`): nginx `ssl_crl` or `proxy_ssl_crl`, handclasp `trust: "
            "{NAME: {crl: [root.crl, intermediate.crl]}}`."
        ),
        references=(
            nginx("http_ssl", "ssl_crl"),
            rfc(5280, "6.3"),
            nginx_source("src/event/ngx_event_openssl.c"),
        ),
        see_also=("crl-for-other-ca",),
    ),
    Entry(
        slug="ocsp-stapling-issuer-missing",
        code="HC236",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.WARNING,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The server cannot check the revocation answers it wants to pass on with its "
            "certificate, because the issuer's certificate is not at hand, while the handshakes "
            "themselves go on."
        ),
        fix=(
            "Append the issuer to `ssl_certificate`, or name a file with issuer and root in "
            "`ssl_trusted_certificate`; if the CA no longer offers OCSP set `ssl_stapling off`."
        ),
        references=(
            nginx("http_ssl", "ssl_stapling"),
            nginx("http_ssl", "ssl_trusted_certificate"),
            rfc(6066, "8"),
        ),
    ),
    Entry(
        slug="crl-for-other-ca",
        code="HC267",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The revocation list was issued by a CA that is not in the trust it belongs to.",
        fix=(
            "Where that CA stands below one of the trust, name its certificate too: "
            "`certificates: [root.pem, issuing.pem]`. Else name the list of a CA of this trust under "
            "`trust: {NAME: {crl: [PATH]}}`; `openssl crl -noout -issuer -in ca.crl` shows whose it is."
        ),
        references=(rfc(5280, "6.3.3"),),
        see_also=("crl-signature-invalid",),
    ),
    Entry(
        slug="crl-signature-invalid",
        code="HC268",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The revocation list names the right CA but was not signed with that CA's key, or was "
            "changed afterwards."
        ),
        fix=(
            "Fetch the list again from the CA; if the CA's key was renewed, take the new CA "
            "certificate into the trust."
        ),
        references=(rfc(5280, "6.3.3"),),
    ),
    Entry(
        slug="crl-unreadable",
        code="HC278",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The file named as revocation list is there but no revocation list can be read from it."
        ),
        fix=(
            "Give the CA's list in PEM or DER form; `openssl crl -noout -issuer -in ca.crl` must "
            "accept a PEM one."
        ),
        references=(
            rfc(5280, "5.1"),
            rfc(7468, "6"),
        ),
        see_also=("crl-for-other-ca",),
    ),
    Entry(
        slug="crl-not-usable",
        code="HC287",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The revocation list is for a part of the certificates only, or has a critical extension the "
            "verifier does not know, so certificates of that CA that are not of this part are refused, "
            'mostly all ("Different CRL scope").'
        ),
        fix=(
            "Get the CA's full list: one without issuingDistributionPoint restrictions, as nginx's `ssl_crl` "
            "needs it."
        ),
        references=(rfc(5280, "5.2.5"), nginx("http_ssl", "ssl_crl")),
    ),
    Entry(
        slug="crl-not-fetched",
        code="HC246",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "A revocation list is named by its URL, it was never fetched on this machine, and it is not to "
            "be had now; without it nobody could tell who is revoked, so nothing is started."
        ),
        fix=(
            "Make the URL reachable from here and answer with the CA's list, or put the list on this machine "
            "and name the file: `trust: {NAME: {crl: [PATH]}}`. Before a first `handclasp run` this is no "
            "mistake: it fetches the list before nginx starts."
        ),
        references=(rfc(5280, "4.2.1.13"),),
        see_also=("crl-expired",),
    ),
    Entry(
        slug="crl-honoured-late",
        code="HC247",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning=(
            "With `keep_last` a revocation list goes on to count after its end, which nginx cannot do, so it "
            "is given no lists for these callers and the agent is asked about each certificate."
        ),
        fix=(
            "Nothing, if that is meant: what is revoked after the last list was made is not known until a "
            "newer one comes, for as long as the bound says. Leave `crl_expired` out to refuse callers "
            "instead."
        ),
        references=(rfc(5280, "5.1.2.5"), nginx("http_ssl", "ssl_crl")),
        see_also=("crl-expired",),
    ),
    Entry(
        slug="ca-ledger-not-followed",
        code="HC248",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "A revocation list lies in the directory of a CA that handclasp made, and the CA's ledger cannot "
            "be read: what `handclasp ca revoke` is told reaches callers with the CA's next list only."
        ),
        fix=(
            "Let the account of `handclasp run` read ledger.sqlite in that directory, or make and give out "
            "the list after each revocation: `handclasp ca crl`."
        ),
        references=(),
        see_also=("crl-not-fetched",),
    ),
    Entry(
        slug="crl-not-taken",
        code="HC249",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "A revocation list in the files is not as good as the one last in force here (it is older, "
            "has not begun, has run out, or is gone), so the one last in force stays, of which the state "
            "directory has a copy."
        ),
        fix=(
            "Put the CA's newest list there. If the older one is meant, say so: `handclasp take --force`; or "
            "stop the agent, and remove the directory of the trust below `lists` in the state directory."
        ),
        references=(rfc(5280, "5.2.3"),),
        see_also=("crl-expired", "certificate-older-than-current"),
    ),
)
