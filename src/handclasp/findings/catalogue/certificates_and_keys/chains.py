"""HC2xx: the way from a leaf to a trust anchor, and the CAs on it."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="ca-keyusage-missing-certsign",
        code="HC207",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The CA certificate has a key usage extension that does not permit signing "
            "certificates, so nothing it signed is accepted."
        ),
        fix=(
            "Have the CA certificate issued anew with `keyUsage = critical, keyCertSign, cRLSign` "
            "and have the certificates under it reissued if the CA's key changes."
        ),
        references=(
            rfc(5280, "4.2.1.3"),
            openssl("man5/x509v3_config"),
        ),
        see_also=("ca-not-a-ca",),
    ),
    Entry(
        slug="ca-not-a-ca",
        code="HC208",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The certificate used as CA does not say that it is one, so nothing it signed is "
            "accepted."
        ),
        fix=(
            "Issue the CA certificate with `basicConstraints = critical, CA:TRUE` (OpenSSL: "
            "section v3_ca), or name the real CA in the trust file."
        ),
        references=(
            rfc(5280, "4.2.1.9"),
            openssl("man5/x509v3_config"),
        ),
        see_also=("trust-contains-leaf",),
    ),
    Entry(
        slug="chain-order-wrong",
        code="HC210",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The first certificate in the file is not the leaf, so the private key does not fit it."
        ),
        fix=(
            "Order the file leaf first, then its issuer, then the next one (`cat leaf.pem "
            "intermediate.pem > chain.pem`); `openssl crl2pkcs7 -nocrl -certfile chain.pem | "
            "openssl pkcs7 -print_certs -noout` shows the order."
        ),
        references=(
            nginx("http_ssl", "ssl_certificate"),
            rfc(8446, "4.4.2"),
        ),
        see_also=(
            "key-cert-mismatch",
            "server-chain-incomplete",
        ),
    ),
    Entry(
        slug="server-chain-incomplete",
        code="HC211",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The server presents its own certificate without the intermediate certificates that "
            "connect it to a CA the client knows."
        ),
        fix=(
            "Put the leaf and then the intermediates into one file and name it: nginx "
            "`ssl_certificate`, handclasp `identities: {NAME: {certificate: chain.pem}}`. The "
            "client can bridge the gap by adding the intermediate to its trust file."
        ),
        references=(
            nginx("http_ssl", "ssl_certificate"),
            rfc(8446, "4.4.2"),
            link(
                "nginx, SSL certificate chains",
                "https://nginx.org/en/docs/http/configuring_https_servers.html#chains",
            ),
        ),
    ),
    Entry(
        slug="leaf-and-ca-same-subject",
        code="HC218",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The certificate and its CA carry the same subject, so the certificate looks as if it "
            "were self-signed and its issuer is not searched."
        ),
        fix=(
            "Issue one of the two anew under another subject, for instance `CN=Example CA` for the "
            "CA and `CN=host` for the leaf."
        ),
        references=(
            rfc(5280, "6.1"),
            openssl("man3/X509_STORE_CTX_get_error"),
        ),
    ),
    Entry(
        slug="trust-anchor-not-configured",
        code="HC237",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "Certificates are to be verified, but no CA is configured against which that could be "
            "done, or the list of CAs is empty."
        ),
        fix=(
            "Name the CA file: nginx `proxy_ssl_trusted_certificate` for upstreams and "
            "`ssl_client_certificate` for clients, handclasp `trust:` on the link; elsewhere "
            "install the ca-certificates package."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_trusted_certificate"),
            nginx("http_ssl", "ssl_client_certificate"),
        ),
        see_also=(
            "upstream-verify-no-trust-anchor",
            "trust-bundle-empty",
        ),
    ),
    Entry(
        slug="trust-anchor-wrong",
        code="HC238",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The CA file the client checks against is not the one of the CA that signed the "
            "server's certificate."
        ),
        fix=(
            "Find the issuer (`openssl s_client -connect HOST:443 -showcerts`), obtain that CA's "
            "root from its owner by a way you trust, and name it: nginx "
            "`proxy_ssl_trusted_certificate`, handclasp `trust:`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_trusted_certificate"),
            rfc(5280, "6.1.1"),
        ),
        see_also=(
            "tls-interception-proxy",
            "server-chain-incomplete",
        ),
    ),
    Entry(
        slug="chain-contains-root",
        code="HC263",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning=(
            "The certificate file includes the root CA, which costs bytes in every handshake and "
            "which no peer takes on trust because it was sent."
        ),
        fix=(
            "Remove the last, self-signed certificate from the file; leaf and intermediates are "
            "enough."
        ),
        references=(rfc(8446, "4.4.2"),),
    ),
    Entry(
        slug="trust-bundle-empty",
        code="HC265",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The trust file holds no certificate, so nobody could be verified against it.",
        fix=(
            "Put the root certificate of the CA, as PEM or DER, into the file named under `trust: "
            "{NAME: {certificates: [PATH]}}`."
        ),
    ),
    Entry(
        slug="trust-contains-leaf",
        code="HC266",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The trust file holds a certificate that is not a CA, which vouches for nobody else."
        ),
        fix=(
            "Replace it by the certificate of the CA that issued it, under `trust: {NAME: "
            "{certificates: [PATH]}}`."
        ),
        references=(rfc(5280, "4.2.1.9"),),
    ),
    Entry(
        slug="path-length-exceeded",
        code="HC280",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "A CA of the chain says how many intermediates may follow below it, and there are more, so "
            'verifiers refuse the chain ("path length constraint exceeded").'
        ),
        fix=(
            "Have the leaf issued by a CA nearer to the root, or the CA made anew with a larger "
            "pathLenConstraint (`basicConstraints = critical, CA:TRUE, pathlen:1`)."
        ),
        references=(rfc(5280, "4.2.1.9"),),
    ),
    Entry(
        slug="unrelated-certificate",
        code="HC283",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning="Among the certificates is one that is not part of the leaf's chain.",
        fix="Leave it out of the file that nginx is given: it is sent to every peer and serves nobody.",
        references=(rfc(8446, "4.4.2"),),
    ),
    Entry(
        slug="certificate-given-twice",
        code="HC285",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning="The same certificate stands there more than once.",
        fix="Leave the others out; `handclasp cert bundle` writes each certificate of a chain once.",
        references=(rfc(8446, "4.4.2"),),
    ),
)
