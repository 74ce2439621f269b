"""HC2xx: what a certificate may be used for, and how it is made."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="digest-too-weak",
        code="HC213",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "A certificate in the chain is signed with MD5 or SHA-1, which OpenSSL refuses at its "
            "present security level because such signatures can be forged."
        ),
        fix=(
            "Have the certificate issued anew with SHA-256 or better. Lowering the level "
            '(`ssl_ciphers "DEFAULT:@SECLEVEL=0"`) admits forged certificates and is a stopgap '
            "only."
        ),
        references=(
            openssl("man3/SSL_CTX_set_security_level"),
            rfc(8446, "4.4.2.4"),
        ),
        see_also=("key-too-small",),
    ),
    Entry(
        slug="key-too-small",
        code="HC214",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The key in the certificate, or in its CA's, is shorter than the security level "
            "allows, for instance RSA below 2048 bits."
        ),
        fix=(
            "Create a new key (`openssl ecparam -name prime256v1 -genkey -noout`, or RSA with 2048 "
            "bits or more) and have the certificate issued for it."
        ),
        references=(
            openssl("man3/SSL_CTX_set_security_level"),
            rfc(9325, "4.5"),
        ),
    ),
    Entry(
        slug="curve-not-offered",
        code="HC288",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The key of the certificate is on an elliptic curve that peers do not offer, as secp256k1 or "
            "secp224r1, or brainpool before OpenSSL 3.2 and in TLS 1.2, so the handshake "
            'ends with "no suitable signature algorithm" or '
            '"illegal parameter".'
        ),
        fix=(
            "Create a key on P-256 (`openssl ecparam -name prime256v1 -genkey -noout`) and have the "
            "certificate issued for it. Where both sides are in one hand and keep to TLS 1.2, the curve can "
            "be added on each (nginx `ssl_ecdh_curve`, OpenSSL `Groups`)."
        ),
        references=(
            rfc(8446, "4.2.3"),
            rfc(8422, "5.1"),
            nginx("http_ssl", "ssl_ecdh_curve"),
        ),
        see_also=("explicit-ec-parameters",),
    ),
    Entry(
        slug="explicit-ec-parameters",
        code="HC289",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The key of a certificate gives its elliptic curve in numbers instead of by name, which "
            'verifiers refuse ("Certificate public key has explicit ECC parameters").'
        ),
        fix=(
            "Write the key with its curve named (`openssl pkey -in old.key -ec_param_enc named_curve -out "
            "new.key`) and have the certificate, or the CA's, issued anew for it."
        ),
        references=(
            rfc(5480, "2.1.1"),
            openssl("man3/X509_STORE_CTX_get_error"),
        ),
        see_also=("curve-not-offered",),
    ),
    Entry(
        slug="wrong-eku-or-purpose",
        code="HC239",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The certificate says what it may be used for, and the role it is used in, server or "
            "client, is not among that."
        ),
        fix=(
            "Have it issued with the right extended key usage: `serverAuth` for the side that "
            "listens, `clientAuth` for the side that connects, both only if it really does both."
        ),
        references=(
            rfc(5280, "4.2.1.12"),
            openssl("man1/openssl-verification-options"),
        ),
        see_also=(
            "same-cert-both-roles",
            "client-auth-eku-public-ca",
        ),
    ),
    Entry(
        slug="x509-strict-violation",
        code="HC240",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The verifier applies the standard to the letter, and a certificate of the chain lacks "
            "something it demands, such as an authority key identifier or a CA flag that is marked "
            "critical."
        ),
        fix=(
            "Have the certificate issued anew with `authorityKeyIdentifier = keyid`, "
            "`subjectKeyIdentifier = hash` and, for CAs, `basicConstraints = critical, CA:TRUE`. "
            "Python 3.13 verifies so by default; taking `ssl.VERIFY_X509_STRICT` out of "
            "`verify_flags` is a stopgap."
        ),
        references=(
            rfc(5280, "4.2.1.1"),
            openssl("man1/openssl-verification-options"),
            link(
                "Python, ssl.create_default_context",
                "https://docs.python.org/3/library/ssl.html#ssl.create_default_context",
            ),
        ),
        see_also=("serial-invalid",),
    ),
    Entry(
        slug="ca-used-as-client-identity",
        code="HC250",
        kinds=frozenset({Kind.RULE, Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The CA's own certificate and key are used to log in at an upstream, so whoever takes "
            "this machine's key can issue certificates to anybody."
        ),
        fix=(
            "Issue a client certificate under the CA and name that: `proxy_ssl_certificate` and "
            "`proxy_ssl_certificate_key` (or `grpc_ssl_`), handclasp `identity:`. Keep the CA's "
            "key off this machine."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_certificate"),
            rfc(5280, "4.2.1.9"),
        ),
    ),
    Entry(
        slug="same-cert-both-roles",
        code="HC253",
        kinds=frozenset({Kind.RULE, Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "One certificate serves both as the server's and as the client identity towards "
            "upstreams, so it needs both usages and its theft opens both directions."
        ),
        fix=(
            "Issue two certificates: one with `serverAuth` for `ssl_certificate`, one with "
            "`clientAuth` for `proxy_ssl_certificate`; handclasp: two entries under `identities:`."
        ),
        references=(rfc(5280, "4.2.1.12"),),
    ),
    Entry(
        slug="serial-invalid",
        code="HC269",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The certificate's serial number is zero, negative or longer than 20 bytes, which the "
            "standard forbids and some programs refuse."
        ),
        fix="Have it issued anew with a positive random serial of at most 20 bytes.",
        references=(rfc(5280, "4.1.2.2"),),
    ),
    Entry(
        slug="client-auth-eku-public-ca",
        code="HC277",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The client certificate comes from a public CA, and those are ceasing to issue "
            "certificates for client use, so the next renewal will not work as an identity."
        ),
        fix="Issue client certificates from a private CA and let the other side trust that one.",
        references=(
            link(
                "Let's Encrypt, ending TLS client authentication certificate support",
                "https://letsencrypt.org/2025/05/14/ending-tls-client-authentication",
            ),
        ),
    ),
    Entry(
        slug="ca-used-as-server-identity",
        code="HC284",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The server presents a CA certificate as its own; OpenSSL and nginx take it, Firefox and rustls "
            "refuse it, and its key can issue certificates."
        ),
        fix=(
            "Issue a server certificate below the CA (`basicConstraints = CA:FALSE`) and keep the CA's key "
            "off this machine."
        ),
        references=(
            rfc(5280, "4.2.1.9"),
            link(
                "rustls-webpki, CaUsedAsEndEntity",
                "https://docs.rs/rustls-webpki/latest/webpki/enum.Error.html",
            ),
        ),
        see_also=("ca-used-as-client-identity",),
    ),
    Entry(
        slug="critical-extension-unknown",
        code="HC286",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "A certificate has an extension that is marked critical and that the verifier does not know, so "
            'it has to refuse the certificate ("unhandled critical extension").'
        ),
        fix="Have the certificate issued without that extension, or with it not marked critical.",
        references=(rfc(5280, "4.2"),),
    ),
)
