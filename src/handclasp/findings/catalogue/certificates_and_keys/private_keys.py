"""HC2xx: private keys, and whether they open and fit."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="cert-key-swapped",
        code="HC209",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "Certificate and key are exchanged: the file named as key holds a certificate, or the "
            "other way round."
        ),
        fix=(
            "Swap the two paths: nginx `ssl_certificate` and `ssl_certificate_key` (or "
            "`proxy_ssl_`), handclasp `certificate:` and `key:`."
        ),
        references=(
            nginx("http_ssl", "ssl_certificate_key"),
            rfc(7468),
        ),
        see_also=(
            "key-cert-mismatch",
            "csr-given-as-cert",
        ),
    ),
    Entry(
        slug="key-cert-mismatch",
        code="HC219",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning="The private key is not the one the certificate was issued for.",
        fix=(
            "Compare `openssl x509 -noout -pubkey -in cert.pem` with `openssl pkey -pubout -in "
            "key.pem`; name the matching key (nginx `ssl_certificate_key` or "
            "`proxy_ssl_certificate_key`, handclasp `key:`), or have a certificate issued for this "
            "one. Replace both files of a pair together."
        ),
        references=(
            nginx("http_ssl", "ssl_certificate_key"),
            openssl("man3/SSL_CTX_use_certificate"),
        ),
    ),
    Entry(
        slug="key-encrypted-no-passphrase",
        code="HC220",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The private key is encrypted and the program that loads it has no password and nobody "
            "to ask."
        ),
        fix=(
            "Name a file with the password: nginx `ssl_password_file` or "
            "`proxy_ssl_password_file`, handclasp `password: {file: PATH}`; or decrypt the key "
            "into a file of mode 0600 (`openssl pkey -in key.pem -out plain.pem`)."
        ),
        references=(
            nginx("http_ssl", "ssl_password_file"),
            nginx("http_proxy", "proxy_ssl_password_file"),
        ),
        see_also=(
            "key-wrong-passphrase",
            "password-file-ignored",
        ),
    ),
    Entry(
        slug="key-wrong-passphrase",
        code="HC221",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.APP}),
        meaning="The private key is encrypted and the password given for it does not open it.",
        fix=(
            "Try it by hand (`openssl pkey -noout -in key.pem`) and correct the password given to "
            "the program: nginx `ssl_password_file`, handclasp `password: {file: PATH}`. One "
            "password a line, without trailing spaces."
        ),
        references=(
            nginx("http_ssl", "ssl_password_file"),
            openssl("man1/openssl-pkey"),
        ),
        see_also=("keystore-wrong-password",),
    ),
    Entry(
        slug="password-file-ignored",
        code="HC252",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "A password file is set for a key that is loaded from an engine or token, which does "
            "not read it."
        ),
        fix=(
            "Give the PIN where that kind of key looks for it (`?pin-source=file:PATH` in the "
            "PKCS#11 URI, or `PIN` in openssl.cnf); `ssl_password_file` serves PEM keys and, from "
            "nginx 1.29.0, `store:` keys."
        ),
        references=(
            nginx("http_ssl", "ssl_password_file"),
            rfc(7512, "2.4"),
        ),
    ),
    Entry(
        slug="key-decrypted-at-rest",
        code="HC260",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning=(
            "The key was given encrypted, but nginx can only read it this way unencrypted, so "
            "handclasp keeps a plain copy with closed file permissions in its state directory."
        ),
        fix=(
            "Leave it so if the state directory's disk is trusted; otherwise give the key as "
            "encrypted PEM, which is staged encrypted where the nginx build can read it so."
        ),
        see_also=("key-encrypted-no-passphrase",),
    ),
    Entry(
        slug="key-file-mode-too-wide",
        code="HC261",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Users other than the owner, or others than the owner's group, may read or change the "
            "private key file."
        ),
        fix=(
            "Run `chmod 0600 PATH` (0640 if a group must read it); `allow_wide_key_mode: true` on "
            "the identity accepts the file as it is."
        ),
        see_also=("key-file-owner-odd",),
    ),
    Entry(
        slug="key-file-owner-odd",
        code="HC262",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The private key belongs to a user who is neither root nor the one who runs handclasp, "
            "and that user can read and replace it."
        ),
        fix="Run `chown root PATH`, or make the file belong to the user who runs handclasp.",
    ),
    Entry(
        slug="key-unreadable",
        code="HC273",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The file named as private key is there but no key can be read from it.",
        fix=(
            "Give a key in PEM, DER or PKCS#12 form (`openssl pkey -noout -in key.pem` must accept "
            "it), and its password if it is encrypted."
        ),
        references=(
            rfc(7468),
            rfc(5958),
        ),
        see_also=("certificate-unreadable",),
    ),
    Entry(
        slug="several-keys-in-file",
        code="HC275",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The file holds more than one private key and it is not clear which is meant.",
        fix="Split the file and name the one with the key that fits the certificate.",
        see_also=("key-not-found-in-file",),
    ),
    Entry(
        slug="key-not-found-in-file",
        code="HC276",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The file is readable but holds no private key.",
        fix=(
            "Name the file with the key under `key:`; if certificate and key were in one file, "
            "look whether the key was left out when it was written."
        ),
    ),
    Entry(
        slug="secret-unreadable",
        code="HC279",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The file or environment variable that should hold a password or PIN is missing, empty "
            "or not readable."
        ),
        fix=(
            "Write the password as the only line of the file named under `{file: PATH}` with mode "
            "0600, or set the variable named under `{env: NAME}`."
        ),
        see_also=("key-encrypted-no-passphrase",),
    ),
    Entry(
        slug="secret-file-mode-too-wide",
        code="HC282",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning="A file with a password or PIN can be read by other users of the machine.",
        fix="Give it to the user handclasp runs as, and to nobody else: chmod 0600.",
        references=(
            link(
                "CWE-732, incorrect permission assignment",
                "https://cwe.mitre.org/data/definitions/732.html",
            ),
        ),
    ),
)
