"""HC2xx: when a certificate is valid, and for how long."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="cert-expired",
        code="HC201",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning="The certificate's last day of validity has passed, so the other side refuses it.",
        fix=(
            "Have the certificate renewed, put the new one in place and reload nginx (`nginx -s "
            "reload`); `openssl x509 -noout -enddate -in cert.pem` shows the date. If the date "
            "lies ahead, look at the clock of the machine that refused (clock-skew)."
        ),
        references=(
            rfc(5280, "4.1.2.5"),
            openssl("man3/X509_STORE_CTX_get_error"),
        ),
        see_also=(
            "cert-expires-soon",
            "clock-skew",
        ),
    ),
    Entry(
        slug="cert-not-yet-valid",
        code="HC202",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The certificate's validity begins later than the time shown by the clock of the "
            "machine that checks it."
        ),
        fix=(
            "Set the clock right on both machines; for fresh certificates let the CA date the "
            "start back by some minutes."
        ),
        references=(
            rfc(5280, "4.1.2.5"),
            openssl("man3/X509_STORE_CTX_get_error"),
        ),
        see_also=("clock-skew",),
    ),
    Entry(
        slug="clock-skew",
        code="HC203",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The clock of the machine that checks the certificate is wrong, so a certificate that "
            "is valid looks expired or not yet valid."
        ),
        fix=(
            "Synchronise the clock (`timedatectl set-ntp true`, or chrony) and check it with `date "
            "-u`; the certificate needs no change."
        ),
        references=(rfc(5280, "6.1.3"),),
    ),
    Entry(
        slug="cert-expires-soon",
        code="HC264",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning="The certificate is still valid but will not be for long.",
        fix="Have it renewed now and put the new certificate in place.",
        references=(rfc(5280, "4.1.2.5"),),
    ),
    Entry(
        slug="lifetime-too-long",
        code="HC272",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The certificate is valid for so long that a stolen key would serve the thief for "
            "years, and some clients refuse it."
        ),
        fix=(
            "Have it issued for a shorter time and renew it by machine; Apple's systems refuse "
            "server certificates that are valid for more than 825 days."
        ),
        references=(
            link(
                "Apple, requirements for trusted certificates",
                "https://support.apple.com/en-us/103769",
            ),
        ),
    ),
)
