"""Private certificate authorities (HC241 to HC249)."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity
from handclasp.findings.references import link, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="csr-unusable",
        code="HC241",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="What was given as a signing request is none, or there are several in one file.",
        fix=(
            "Give one PKCS#10 request a file, PEM or DER; `handclasp cert show FILE` says what a file "
            "holds."
        ),
        references=(rfc(2986, "4"), openssl("man1/openssl-req")),
        see_also=("csr-given-as-cert",),
    ),
    Entry(
        slug="csr-signature-invalid",
        code="HC242",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "A signing request is not signed by the key in it, so whoever made it may not have that key, "
            "or it was changed on the way."
        ),
        fix=(
            "Have the request made again by the owner of the key and sent unchanged; `openssl req -verify "
            "-noout -in FILE` says whether it is right."
        ),
        references=(rfc(2986, "4.2"), openssl("man1/openssl-req")),
        see_also=("csr-unusable",),
    ),
    Entry(
        slug="csr-key-unsuitable",
        code="HC243",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The key in a signing request is too weak, or of a kind that the programs which would verify "
            "its certificate do not take, or limited in a way that the certificate would not repeat (RSA for "
            "RSA-PSS alone), or on a curve that is written out in numbers."
        ),
        fix=(
            "Make a P-256 key and a new request: `openssl req -new -newkey ec -pkeyopt "
            "ec_paramgen_curve:P-256 -nodes -keyout KEY -out CSR`."
        ),
        references=(
            openssl("man3/SSL_CTX_set_security_level"),
            rfc(4055, "1.2"),
            rfc(5480, "2.1.1"),
            link("NIST SP 800-57 part 1", "https://doi.org/10.6028/NIST.SP.800-57pt1r5"),
        ),
        see_also=("csr-unusable",),
    ),
    Entry(
        slug="lifetime-beyond-issuer",
        code="HC244",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "A certificate is asked for that would outlive the CA that signs it, and would then fail on "
            "the day the CA ends."
        ),
        fix=(
            "Ask for a shorter --lifetime, or leave it out to have it end with the CA; make a new CA in "
            "good time before the old one ends."
        ),
        references=(rfc(5280, "6.1.3"),),
        see_also=("cert-expired",),
    ),
    Entry(
        slug="ca-key-not-here",
        code="HC245",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The key of a CA is needed to sign a revocation list, and it is not in the CA's directory.",
        fix=(
            "Bring the key back to its place for this one command; a long --root-next-update makes that "
            "a rare event."
        ),
        references=(rfc(5280, "5.1.2.5"),),
        see_also=("crl-missing-for-chain",),
    ),
)
