"""HC2xx: the names in a certificate, and which a CA may issue."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="hostname-not-in-san",
        code="HC215",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning="The name the client asked for is not among the names in the server's certificate.",
        fix=(
            "Ask for a name the certificate has, or have a certificate issued with the missing "
            "name in subjectAltName. nginx as client takes the name from `proxy_ssl_name`, "
            "handclasp from `verify.name`."
        ),
        references=(
            rfc(9525),
            rfc(5280, "4.2.1.6"),
        ),
        see_also=(
            "upstream-name-mismatch",
            "san-missing",
            "name-not-covered",
            "ip-san-missing",
        ),
    ),
    Entry(
        slug="ip-san-missing",
        code="HC216",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The client connects by IP address, and the server's certificate does not list this "
            "address as an IP address."
        ),
        fix=(
            "Connect by a name that the certificate has, or have it issued with `subjectAltName = "
            "IP:192.0.2.1`. nginx as client never matches IP addresses: set `proxy_ssl_name` to a "
            "DNS name of the certificate, handclasp `verify.name`."
        ),
        references=(
            rfc(5280, "4.2.1.6"),
            rfc(9110, "4.3.5"),
        ),
        see_also=(
            "ip-sans-only-upstream",
            "san-ip-as-dns",
        ),
    ),
    Entry(
        slug="san-missing",
        code="HC217",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The certificate has its name only in the old common name field and no subjectAltName, "
            "which current clients no longer read as a host name."
        ),
        fix=(
            "Have the certificate issued with every name in subjectAltName (`subjectAltName = "
            "DNS:host.example.com`)."
        ),
        references=(
            rfc(9525),
            rfc(9110, "4.3.4"),
        ),
    ),
    Entry(
        slug="san-ip-as-dns",
        code="HC270",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "An IP address is written in the certificate as if it were a DNS name, where clients "
            "that check addresses do not look."
        ),
        fix="Have it issued with `subjectAltName = IP:192.0.2.1` instead of `DNS:192.0.2.1`.",
        references=(
            rfc(5280, "4.2.1.6"),
            rfc(9110, "4.3.5"),
        ),
    ),
    Entry(
        slug="name-not-covered",
        code="HC271",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The certificate lacks a name under which this link is to be reached.",
        fix=(
            "Have the certificate issued with that name in subjectAltName, or take the name out of "
            "`server_names`."
        ),
        references=(
            rfc(5280, "4.2.1.6"),
            rfc(9525),
        ),
    ),
    Entry(
        slug="name-constraint-violated",
        code="HC281",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "A CA of the chain may issue for certain names only, and the certificate has one that is not "
            'among them, so verifiers refuse the chain ("permitted subtree violation").'
        ),
        fix=(
            "Have the certificate issued with names that the CA is allowed, or by a CA without that "
            "constraint; `handclasp cert show` prints the names."
        ),
        references=(rfc(5280, "4.2.1.10"),),
    ),
)
