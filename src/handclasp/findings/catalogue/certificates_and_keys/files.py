"""HC2xx: files: whether they can be read, and in which format."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import nginx, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="csr-given-as-cert",
        code="HC212",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The file named as certificate is a signing request, which asks for a certificate but "
            "is none."
        ),
        fix=(
            "Name the certificate that the CA returned for this request (a file that starts with "
            "BEGIN CERTIFICATE), not the request (BEGIN CERTIFICATE REQUEST)."
        ),
        references=(
            rfc(2986),
            rfc(7468, "7"),
        ),
    ),
    Entry(
        slug="keystore-wrong-password",
        code="HC222",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.APP}),
        meaning="The password given for the key store (PKCS#12 or JKS) does not open it.",
        fix=(
            "Try it by hand (`openssl pkcs12 -info -noout -in store.p12`, or `keytool -list "
            "-keystore store.jks`) and correct the password in the program, in handclasp "
            "`password: {file: PATH}`. The key inside may have a password of its own."
        ),
        references=(
            rfc(7292),
            openssl("man1/openssl-pkcs12"),
        ),
        see_also=("pkcs12-legacy-algorithm",),
    ),
    Entry(
        slug="not-pem",
        code="HC223",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "A program that reads PEM, the text form with BEGIN and END lines, was given a file in "
            "another form, for instance binary DER or text saved with a byte order mark."
        ),
        fix=(
            "Convert it: `openssl x509 -inform DER -in cert.der -out cert.pem` for a certificate, "
            "`openssl pkey -inform DER -in key.der -out key.pem` for a key. handclasp reads DER, "
            "PKCS#7 and PKCS#12 itself."
        ),
        references=(
            rfc(7468),
            nginx("http_ssl", "ssl_certificate"),
        ),
        see_also=(
            "certificate-not-pem",
            "pkcs12-given-as-pem",
            "pem-empty-or-corrupt",
        ),
    ),
    Entry(
        slug="pem-empty-or-corrupt",
        code="HC224",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The PEM file is empty, cut off, damaged, or two blocks in it are glued together "
            "without a line break."
        ),
        fix=(
            "Fetch or export the file again; each BEGIN and END line must stand on a line of its "
            "own (`openssl x509 -noout -text -in cert.pem` reads it back). Write files under a "
            "temporary name and rename them, so that nobody reads half of one."
        ),
        references=(
            rfc(7468, "2"),
            openssl("man3/PEM_read_bio_PrivateKey"),
        ),
    ),
    Entry(
        slug="pem-given-pkcs12-expected",
        code="HC225",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning="The client reads key stores in PKCS#12 form only and was given a PEM file.",
        fix="Make one: `openssl pkcs12 -export -inkey key.pem -in chain.pem -out client.p12`.",
        references=(
            rfc(7292),
            openssl("man1/openssl-pkcs12"),
        ),
        see_also=("pkcs12-given-as-pem",),
    ),
    Entry(
        slug="pkcs12-given-as-pem",
        code="HC226",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "A PKCS#12 file, a binary container of certificate and key, was given to a program "
            "that expects PEM text."
        ),
        fix=(
            "Unpack it: `openssl pkcs12 -in client.p12 -out client.pem -nodes` (the key is then "
            "unencrypted: mode 0600). handclasp reads PKCS#12 itself."
        ),
        references=(
            rfc(7292),
            openssl("man1/openssl-pkcs12"),
        ),
    ),
    Entry(
        slug="pkcs12-legacy-algorithm",
        code="HC227",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The PKCS#12 file is encrypted with an old algorithm such as RC2-40, which OpenSSL 3 "
            "no longer loads by default."
        ),
        fix=(
            "Convert it once with the old algorithms switched on: `openssl pkcs12 -legacy -in "
            "old.p12 -nodes -out all.pem`, then `openssl pkcs12 -export -in all.pem -out new.p12`; "
            "delete all.pem."
        ),
        references=(
            openssl("man1/openssl-pkcs12"),
            openssl("man7/OSSL_PROVIDER-legacy"),
        ),
    ),
    Entry(
        slug="permission-denied",
        code="HC228",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The process may not read the certificate or key file, or may not enter a directory "
            "above it."
        ),
        fix=(
            "Give the reading user access and nobody else: `chown root:GROUP key.pem; chmod 0640 "
            "key.pem`, and execute permission on each directory (`namei -l PATH` shows them). "
            "nginx reads static paths as the master's user and paths with variables as the "
            "worker's."
        ),
        references=(
            nginx("http_ssl", "ssl_certificate"),
            nginx("core", "user"),
        ),
        see_also=(
            "worker-cannot-read-key",
            "key-unreadable",
            "file-not-found",
        ),
    ),
    Entry(
        slug="file-not-found",
        code="HC229",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning="There is no certificate, key or CA file at the path given.",
        fix=(
            "Correct the path; nginx reads relative ones from the directory of nginx.conf, "
            "handclasp from that of the spec. Inside a container look whether the file is mounted."
        ),
        references=(nginx("http_ssl", "ssl_certificate"),),
    ),
    Entry(
        slug="path-is-directory",
        code="HC230",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning="The path given for a certificate, key or CA file is a directory.",
        fix=(
            "Name the file in it. Docker creates an empty directory where a file that was to be "
            "mounted does not exist on the host."
        ),
        references=(nginx("http_ssl", "ssl_certificate"),),
    ),
    Entry(
        slug="certificate-not-pem",
        code="HC251",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A certificate or key directive names a file that is not PEM text, judged by its "
            "content or its suffix, and nginx does not start with it."
        ),
        fix=(
            "Convert the file to PEM (`openssl x509 -inform DER -in cert.der -out cert.pem`, "
            "`openssl pkcs12 -in store.p12 -nodes -out all.pem`) and name the result; handclasp "
            "reads DER, PKCS#7 and PKCS#12 itself."
        ),
        references=(
            nginx("http_ssl", "ssl_certificate"),
            rfc(7468),
        ),
    ),
    Entry(
        slug="certificate-unreadable",
        code="HC274",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The file named as certificate is there but no certificate can be read from it.",
        fix=(
            "Give a certificate in PEM, DER, PKCS#7 or PKCS#12 form (`openssl x509 -noout -subject "
            "-in cert.pem` must accept a PEM one)."
        ),
        references=(
            rfc(7468),
            rfc(5280, "4.1"),
        ),
        see_also=("pem-empty-or-corrupt",),
    ),
)
