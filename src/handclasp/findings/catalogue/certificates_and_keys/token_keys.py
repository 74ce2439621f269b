"""HC2xx: keys that stay in a token."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="pkcs11-object-not-found",
        code="HC231",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The key lives in a hardware token, and the PKCS#11 address given for it matches no "
            "object there."
        ),
        fix=(
            "List what the token holds (`pkcs11-tool --module MODULE --login --list-objects`) and "
            "correct token, object or id in the URI. Keys are invisible before login, so check the "
            "PIN too."
        ),
        references=(
            rfc(7512),
            nginx("http_ssl", "ssl_certificate_key"),
        ),
        see_also=(
            "pin-wrong",
            "engine-not-initialised",
        ),
    ),
    Entry(
        slug="engine-not-initialised",
        code="HC232",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The key is to be loaded through an OpenSSL engine that is not configured or not "
            "started in this process."
        ),
        fix=(
            "In the openssl.cnf that nginx uses, load the engine with `init = 1`, or set "
            "`ssl_engine` in nginx's main context; pass the environment on with `env "
            "OPENSSL_CONF;`."
        ),
        references=(
            nginx("core", "ssl_engine"),
            openssl("man5/config"),
            nginx("core", "env"),
        ),
        see_also=("engine-key-auth-needed",),
    ),
    Entry(
        slug="engine-key-auth-needed",
        code="HC233",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The key in the engine or TPM wants a password or PIN, and a background process has "
            "nobody to ask."
        ),
        fix=(
            "Give the PIN in a file of mode 0600: `?pin-source=file:/path/pin` in the PKCS#11 URI, "
            "or `PIN` in the engine's section of openssl.cnf; with `store:` keys "
            "`ssl_password_file`."
        ),
        references=(
            rfc(7512, "2.4"),
            nginx("http_ssl", "ssl_password_file"),
        ),
        see_also=(
            "password-file-ignored",
            "pin-wrong",
        ),
    ),
    Entry(
        slug="pin-wrong",
        code="HC234",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning="The hardware token refused the PIN.",
        fix=(
            "Correct the PIN in the file that holds it and try it once by hand (`pkcs11-tool "
            "--module MODULE --login --list-objects`); do not let a service repeat a wrong PIN, "
            "tokens lock after a few attempts."
        ),
        references=(
            rfc(7512, "2.4"),
            link(
                "PKCS #11 3.1, CKR_PIN_INCORRECT",
                "https://docs.oasis-open.org/pkcs11/pkcs11-spec/v3.1/pkcs11-spec-v3.1.html",
            ),
        ),
        see_also=("pin-locked",),
    ),
    Entry(
        slug="pin-locked",
        code="HC235",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The hardware token has locked its PIN after too many wrong attempts and no longer "
            "accepts even the right one."
        ),
        fix=(
            "Stop whatever sends the wrong PIN, then have the security officer set a new user PIN "
            "(`pkcs11-tool --module MODULE --login --login-type so --init-pin`)."
        ),
        references=(
            link(
                "PKCS #11 3.1, CKR_PIN_LOCKED",
                "https://docs.oasis-open.org/pkcs11/pkcs11-spec/v3.1/pkcs11-spec-v3.1.html",
            ),
        ),
    ),
)
