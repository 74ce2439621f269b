"""Keys in PKCS#11 tokens (HC254 to HC259, HC290 to HC299)."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, rfc

_STANDARD = link(
    "PKCS #11 3.1", "https://docs.oasis-open.org/pkcs11/pkcs11-spec/v3.1/pkcs11-spec-v3.1.html"
)
_PROVIDER = link("pkcs11-provider", "https://github.com/latchset/pkcs11-provider")
_ENGINE = link("libp11 and its engine", "https://github.com/OpenSC/libp11")
_CHECK = frozenset({Kind.CHECK})

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="pkcs11-module-failed",
        code="HC254",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="The vendor's PKCS#11 library cannot be loaded, crashes, hangs or answers with an error.",
        fix=(
            "Give the path of the library for this processor, set the environment variables its vendor "
            "names (SoftHSM: SOFTHSM2_CONF) and look whether this user may read what they name."
        ),
        references=(_STANDARD,),
        see_also=("pkcs11-token-absent",),
    ),
    Entry(
        slug="pkcs11-token-absent",
        code="HC255",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="The PKCS#11 library shows no token of the kind that is asked for.",
        fix=(
            "Look with `handclasp hsm list` what there is: connect the token, correct the URI, or give the "
            "library its configuration (SoftHSM: SOFTHSM2_CONF must name a directory this user may read)."
        ),
        references=(rfc(7512, "2.3"), _STANDARD),
        see_also=("pkcs11-object-not-found",),
    ),
    Entry(
        slug="pkcs11-label-not-unique",
        code="HC256",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="Several tokens, or several keys of the token, have the label that is asked for.",
        fix="Say more in the URI: `serial=` for a token, `id=%01` for a key (`handclasp hsm list` has both).",
        references=(rfc(7512, "2.3"),),
    ),
    Entry(
        slug="pin-last-try",
        code="HC257",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="The token was given a wrong PIN since its last login, and the next wrong one may lock it.",
        fix=(
            "Find out the right PIN first; then `handclasp hsm check --last-try` uses it once, which clears "
            "the count."
        ),
        references=(_STANDARD,),
        see_also=("pin-wrong", "pin-locked"),
    ),
    Entry(
        slug="pkcs11-key-exposed",
        code="HC258",
        kinds=_CHECK,
        severity=Severity.WARNING,
        meaning="The private key may leave the token, so it is no better kept than in a file.",
        fix=(
            "Make a new key in the token (`handclasp hsm keygen`: sensitive, not extractable) and have a "
            "certificate issued for it."
        ),
        references=(_STANDARD,),
    ),
    Entry(
        slug="pkcs11-signing-failed",
        code="HC259",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="The token makes no key or no valid signature, though it let us in.",
        fix=(
            "Look at the key's attributes (CKA_SIGN) and at what the token can do (`pkcs11-tool "
            "--list-mechanisms`): ECDSA or SHA256-RSA-PKCS are needed, and a second session for each worker."
        ),
        references=(_STANDARD,),
    ),
    Entry(
        slug="pkcs11-not-with-this-nginx",
        code="HC290",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="This nginx cannot use a key in a token: its OpenSSL loads neither a provider nor an engine.",
        fix=(
            "Use the distribution's nginx, which is linked to the system's OpenSSL, and install "
            "libengine-pkcs11-openssl or, where there is none, pkcs11-provider."
        ),
        references=(_PROVIDER, _ENGINE, nginx("http_ssl", "ssl_certificate_key")),
    ),
    Entry(
        slug="pkcs11-worker-locked-out",
        code="HC291",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning=(
            "nginx's workers, which open the token anew after they are forked, may not use it under their "
            "account, so every handshake would fail."
        ),
        fix=(
            "Let the account of the workers use the token (SoftHSM: the directory of directories.tokendir "
            "and its files belong to that account), or name another one under `nginx: {user: …}`."
        ),
        references=(_ENGINE, nginx("core", "user")),
        see_also=("worker-cannot-read-key",),
    ),
    Entry(
        slug="pkcs11-several-modules",
        code="HC292",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="The keys of one spec need different PKCS#11 libraries, and OpenSSL loads one of them.",
        fix="Name p11-kit's proxy as the module (it speaks for all of them), or run two instances.",
        references=(link("p11-kit", "https://p11-glue.github.io/p11-glue/p11-kit.html"),),
    ),
    Entry(
        slug="pkcs11-several-pins",
        code="HC295",
        kinds=_CHECK,
        severity=Severity.ERROR,
        meaning="Keys of one spec need different PINs, and OpenSSL's PKCS#11 provider is given one.",
        fix="Keep the keys in one token, give the tokens one PIN, or run two instances.",
        references=(_PROVIDER,),
    ),
    Entry(
        slug="pkcs11-service-environment",
        code="HC296",
        kinds=_CHECK,
        severity=Severity.WARNING,
        meaning=(
            "An nginx that somebody else starts reaches a token only if its service has the variables "
            "OpenSSL and the PKCS#11 library look at."
        ),
        fix="Set the variables for the service (systemd: `Environment=`), and restart it.",
        references=(nginx("core", "env"),),
        see_also=("pkcs11-not-with-this-nginx",),
    ),
    Entry(
        slug="pkcs11-provider-after-fork",
        code="HC297",
        kinds=_CHECK,
        severity=Severity.WARNING,
        meaning=(
            "OpenSSL's PKCS#11 provider was seen to leave a worker of nginx unable to sign after it was "
            "forked; handclasp notices that and restarts nginx, and handshakes fail until then."
        ),
        fix="Install libengine-pkcs11-openssl, which lost none; it is taken where both are installed.",
        references=(
            link(
                "pkcs11-provider issue 559",
                "https://github.com/openssl-projects/pkcs11-provider/issues/559",
            ),
            _ENGINE,
        ),
        see_also=("pkcs11-not-with-this-nginx",),
    ),
)
