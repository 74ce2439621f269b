"""HC2xx: what is wrong with a certificate, key, chain, trust file or revocation list."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_source, openssl, rfc

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
        slug="cert-expires-soon",
        code="HC264",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning="The certificate is still valid but will not be for long.",
        fix="Have it renewed now and put the new certificate in place.",
        references=(rfc(5280, "4.1.2.5"),),
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
        slug="crl-for-other-ca",
        code="HC267",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="The revocation list was issued by a CA that is not in the trust it belongs to.",
        fix=(
            "Name the list published by the CA of this trust under `trust: {NAME: {crl: [PATH]}}`; "
            "`openssl crl -noout -issuer -in ca.crl` shows whose it is."
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
        slug="certificate-given-twice",
        code="HC285",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning="The same certificate stands there more than once.",
        fix="Leave the others out; `handclasp cert bundle` writes each certificate of a chain once.",
        references=(rfc(8446, "4.4.2"),),
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
    Entry(
        slug="crl-not-usable",
        code="HC287",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The revocation list is for a part of the certificates only, or has a critical extension the "
            "verifier does not know, so every certificate of that CA is refused."
        ),
        fix=(
            "Get the CA's full list: one without issuingDistributionPoint restrictions, as nginx's `ssl_crl` "
            "needs it."
        ),
        references=(rfc(5280, "5.2.5"), nginx("http_ssl", "ssl_crl")),
    ),
)
