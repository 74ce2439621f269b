"""HC1xx, causes: why a client's certificate was not asked for, not sent or not accepted."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_advisory, nginx_source, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="client-cert-not-sent",
        code="HC101",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The server insists on a client certificate and the client finished the handshake "
            "without presenting one."
        ),
        fix=(
            "Give the client its certificate and key: nginx as client needs "
            "`proxy_ssl_certificate` and `proxy_ssl_certificate_key` (or `grpc_ssl_`) in the "
            "location, handclasp `identity:` on the egress link, curl `--cert` and `--key`. If it "
            "has them, look whether a load balancer in between ends the TLS connection, or whether "
            "the certificate does not fit what the server asks for "
            "(client-cert-filtered-by-acceptable-cas)."
        ),
        references=(
            nginx("http_ssl", "ssl_verify_client"),
            rfc(8446, "4.4.2.4"),
        ),
        see_also=(
            "client-cert-filtered-by-acceptable-cas",
            "client-key-missing",
            "client-cert-errors-not-logged",
            "verify-client-not-enabled",
        ),
    ),
    Entry(
        slug="client-cert-filtered-by-acceptable-cas",
        code="HC102",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The client owns a certificate but keeps it back, because no CA name or signature "
            "algorithm in the server's request fits it."
        ),
        fix=(
            "Use a certificate issued under one of the CAs the server lists (`openssl s_client "
            "-connect HOST:443` prints them as acceptable client certificate CA names), or let the "
            "server list the right one: nginx sends the subjects of `ssl_client_certificate`, "
            "never those of `ssl_trusted_certificate`; handclasp: `clients.trust`."
        ),
        references=(
            rfc(8446, "4.4.2.3"),
            rfc(8446, "4.2.4"),
            nginx("http_ssl", "ssl_client_certificate"),
        ),
        see_also=("server-does-not-trust-client-ca",),
    ),
    Entry(
        slug="client-chain-incomplete",
        code="HC103",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The client presents its own certificate without the intermediate certificates that "
            "connect it to a CA the server knows."
        ),
        fix=(
            "Write the leaf first and the intermediates after it into one file (`cat leaf.pem "
            "intermediate.pem > chain.pem`) and name that file: nginx `proxy_ssl_certificate`, "
            "handclasp `identities: {NAME: {certificate: chain.pem}}`. The root may be left out."
        ),
        references=(
            rfc(8446, "4.4.2"),
            nginx("http_proxy", "proxy_ssl_certificate"),
        ),
        see_also=(
            "server-chain-incomplete",
            "server-does-not-trust-client-ca",
        ),
    ),
    Entry(
        slug="client-key-missing",
        code="HC104",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The client was given a certificate but no private key, so it cannot prove that the "
            "certificate is its own."
        ),
        fix=(
            "Name the key as well: nginx `proxy_ssl_certificate_key`, handclasp `identities: "
            "{NAME: {key: PATH}}`, curl `--key`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_certificate_key"),
            rfc(8446, "4.4.3"),
        ),
        see_also=("key-not-found-in-file",),
    ),
    Entry(
        slug="client-ca-root-missing",
        code="HC105",
        kinds=frozenset({Kind.CAUSE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The file of CAs that the server accepts holds an intermediate CA only, and nginx "
            "accepts a chain only if it ends at a self-signed root that is in the file."
        ),
        fix=(
            "Append the root certificate: nginx `ssl_client_certificate` with root and "
            "intermediates, handclasp `trust: {NAME: {certificates: [root.pem, "
            "intermediate.pem]}}`."
        ),
        references=(
            nginx("http_ssl", "ssl_client_certificate"),
            openssl("man1/openssl-verification-options"),
        ),
        see_also=(
            "server-does-not-trust-client-ca",
            "client-ca-missing",
        ),
    ),
    Entry(
        slug="server-does-not-trust-client-ca",
        code="HC106",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The server does not know the CA that issued the client's certificate and refuses it "
            "(alert unknown_ca, or in nginx a 400 with verify error 18 to 21)."
        ),
        fix=(
            "Add the root of the client's CA to the server's list (nginx `ssl_client_certificate`, "
            "handclasp `clients.trust`), or have the client's certificate issued by a CA that is "
            "on it."
        ),
        references=(
            nginx("http_ssl", "ssl_client_certificate"),
            rfc(8446, "6.2"),
            openssl("man3/X509_STORE_CTX_get_error"),
        ),
        see_also=(
            "trust-anchor-wrong",
            "client-ca-public-bundle",
            "leaf-and-ca-same-subject",
        ),
    ),
    Entry(
        slug="verify-depth-too-low",
        code="HC107",
        kinds=frozenset({Kind.CAUSE, Kind.RULE, Kind.CHECK}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The certificate chain has more intermediate CAs between the leaf and the root than "
            "the configured verification depth admits."
        ),
        fix=(
            "Raise the depth to at least the number of intermediates: nginx `ssl_verify_depth 4` "
            "for clients, `proxy_ssl_verify_depth 4` for upstreams (default 1); handclasp "
            "`clients.depth` and `verify.depth`."
        ),
        references=(
            nginx("http_ssl", "ssl_verify_depth"),
            nginx("http_proxy", "proxy_ssl_verify_depth"),
            openssl("man3/SSL_CTX_set_verify"),
        ),
    ),
    Entry(
        slug="post-handshake-auth-unsupported",
        code="HC108",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The server finishes the TLS 1.3 handshake first and asks for a client certificate "
            "afterwards, and the client does not support that."
        ),
        fix=(
            "Let the server ask during the handshake (Apache: `SSLVerifyClient` for the whole "
            "virtual host, not in a directory), or switch the client on where it can (Python: "
            "`SSLContext.post_handshake_auth = True`). nginx as client never answers such a "
            "request: for that upstream use `proxy_ssl_protocols TLSv1.2`, handclasp `tls: "
            "{protocols: [TLSv1.2]}`."
        ),
        references=(
            rfc(8446, "4.6.2"),
            rfc(8740),
        ),
    ),
    Entry(
        slug="cross-vhost-session-resumption",
        code="HC109",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "A TLS session that was set up at one virtual host is resumed at another one that "
            "verifies clients differently, which lets a client in unverified (CVE-2025-23419) or, "
            "on a mended server, ends in a refusal."
        ),
        fix=(
            "Update nginx to 1.26.3, 1.27.4 or later (1.29.2 for clients that resume across "
            "names), and switch resumption off where client certificates count: "
            "`ssl_session_tickets off; ssl_session_cache off;`. handclasp renders this unless "
            "`session_reuse: true` is set."
        ),
        references=(
            nginx_advisory("CVE-2025-23419"),
            nginx("http_ssl", "ssl_session_cache"),
            rfc(8446, "4.6.1"),
        ),
        see_also=(
            "session-cache-shared-across-client-cas",
            "session-cache-resumption-fault",
            "session-id-context-unset",
        ),
    ),
    Entry(
        slug="session-id-context-unset",
        code="HC110",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "A server built on OpenSSL verifies clients and lets them resume sessions, but never "
            "named the context in which a session is valid, so resumption fails."
        ),
        fix=(
            "Call `SSL_CTX_set_session_id_context` in the server program, or switch resumption off "
            "there (`SSL_SESS_CACHE_OFF` and `SSL_OP_NO_TICKET`). nginx sets the context by "
            "itself."
        ),
        references=(openssl("man3/SSL_CTX_set_session_id_context"),),
        see_also=("session-cache-resumption-fault",),
    ),
    Entry(
        slug="spiffe-san-mismatch",
        code="HC111",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The peer's certificate is valid but carries another SPIFFE id, often of another trust "
            "domain, than the one that is expected."
        ),
        fix=(
            "Compare the URI in the certificate (`openssl x509 -noout -ext subjectAltName -in "
            "cert.pem`) with the rule; correct the expected id (handclasp `clients.allow: "
            '["spiffe://DOMAIN/PATH"]`) or have the workload registered under the right one.'
        ),
        references=(
            link(
                "SPIFFE X.509-SVID, section 2",
                "https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md",
            ),
            rfc(5280, "4.2.1.6"),
        ),
        see_also=("hostname-not-in-san",),
    ),
    Entry(
        slug="misdirected-request",
        code="HC112",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The request names another host in its Host header than the one the TLS connection was "
            "opened for, and the server answers 421 Misdirected Request."
        ),
        fix=(
            "Ask for the same name in TLS and in HTTP: nginx as client `proxy_ssl_server_name on;` "
            "with `proxy_ssl_name` and `proxy_set_header Host` of one value; handclasp does that "
            "unless `host: preserve` is set. Clients of an ingress link must do the same. An egress "
            "link of handclasp answers 421 to a Host it was not told of: add it to `accept_hosts`. "
            "HTTP/2 clients that reuse a connection for a second name need a certificate per name."
        ),
        references=(
            rfc(9110, "15.5.20"),
            nginx_source("src/http/ngx_http_request.c"),
        ),
        see_also=(
            "host-routing-across-client-cas",
            "upstream-sni-not-sent",
            "dns-rebinding-hosts",
        ),
    ),
)
