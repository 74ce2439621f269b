"""HC3xx: what keeps two sides from agreeing on a TLS connection: versions, ciphers, ports."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_page, openssl, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="alpn-mismatch",
        code="HC301",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "Client and server negotiate the application protocol during the handshake and have "
            "none in common, so the server breaks off (alert no_application_protocol)."
        ),
        fix=(
            "Let both offer a common one: nginx serves HTTP/2 after `http2 on;` (`listen 443 ssl "
            "http2` before 1.25.1) and HTTP/1.1 always; a stream proxy names its own with "
            "`ssl_alpn` (1.21.4) and, towards upstreams, `proxy_ssl_alpn` (1.31.0). gRPC needs h2: "
            "handclasp `protocol: grpc`."
        ),
        references=(
            rfc(7301, "3.2"),
            nginx("http_v2", "http2"),
            nginx("stream_ssl", "ssl_alpn"),
        ),
    ),
    Entry(
        slug="legacy-renegotiation",
        code="HC302",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The server is so old that it lacks secure renegotiation, and OpenSSL 3 refuses to "
            "talk to such servers because an attacker could inject data."
        ),
        fix=(
            "Update the server's TLS library. Until then, for this one server only, the client can "
            "permit it: OpenSSL option `UnsafeLegacyServerConnect`, nginx `proxy_ssl_conf_command "
            "Options UnsafeLegacyServerConnect;`."
        ),
        references=(
            rfc(5746),
            openssl("man3/SSL_CONF_cmd"),
            nginx("http_proxy", "proxy_ssl_conf_command"),
        ),
    ),
    Entry(
        slug="no-shared-cipher",
        code="HC303",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "Client and server have no cipher suite in common, or none that fits the kind of key "
            "in the server's certificate."
        ),
        fix=(
            "Widen the list that was cut too short (nginx `ssl_ciphers` and `proxy_ssl_ciphers`, "
            "handclasp `tls: intermediate`); an ECDSA certificate needs ECDHE-ECDSA suites, an RSA "
            "one ECDHE-RSA suites, and nginx may be given one certificate of each kind."
        ),
        references=(
            nginx("http_ssl", "ssl_ciphers"),
            rfc(8446, "6.2"),
            openssl("man1/openssl-ciphers"),
        ),
        see_also=(
            "cipher-name-unknown",
            "weak-ciphers",
            "signature-algorithm-unsupported",
        ),
    ),
    Entry(
        slug="protocol-version-unsupported",
        code="HC304",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning="Client and server have no TLS version in common.",
        fix=(
            "Enable TLS 1.2 and 1.3 on both sides: nginx `ssl_protocols TLSv1.2 TLSv1.3;` and, "
            "towards upstreams, `proxy_ssl_protocols TLSv1.2 TLSv1.3;`, handclasp `tls: "
            "intermediate`. Before nginx 1.29.2 the default server's `ssl_protocols` counts for "
            "the whole address."
        ),
        references=(
            nginx("http_ssl", "ssl_protocols"),
            nginx("http_proxy", "proxy_ssl_protocols"),
            rfc(8446, "4.2.1"),
            rfc(8996),
        ),
        see_also=(
            "obsolete-protocols",
            "tls-policy-conflict-on-listener",
        ),
    ),
    Entry(
        slug="signature-algorithm-unsupported",
        code="HC305",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "One side cannot make, with its key and certificate, any kind of signature that the "
            "other side accepts, for instance because an old smart card cannot do RSA-PSS."
        ),
        fix=(
            "Use an ECDSA P-256 or an RSA key that is not tied to one padding and update the "
            "client's TLS library; as a stopgap for devices without RSA-PSS allow TLS 1.2 "
            "(`ssl_protocols TLSv1.2;`, handclasp `tls: {protocols: [TLSv1.2]}`)."
        ),
        references=(
            rfc(8446, "4.2.3"),
            rfc(8446, "4.4.3"),
            openssl("man3/SSL_CTX_set1_sigalgs"),
        ),
        see_also=("client-cert-filtered-by-acceptable-cas",),
    ),
    Entry(
        slug="session-cache-resumption-fault",
        code="HC306",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "Handshakes fail only when a client resumes an earlier session, because the server's "
            "shared session cache or ticket keys do not fit each other."
        ),
        fix=(
            "Switch resumption off where it fails and see the fault go: nginx "
            "`proxy_ssl_session_reuse off;` towards the upstream, `ssl_session_cache off; "
            "ssl_session_tickets off;` on the server; behind a load balancer give all servers the "
            "same `ssl_session_ticket_key`. handclasp does not resume unless `session_reuse: "
            "true`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_session_reuse"),
            nginx("http_ssl", "ssl_session_cache"),
            nginx("http_ssl", "ssl_session_ticket_key"),
        ),
    ),
    Entry(
        slug="no-certificate-for-vhost",
        code="HC307",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The proxy has no certificate for the name the client asked for and ends the handshake."
        ),
        fix=(
            "Add a server with this `server_name` and its `ssl_certificate`, or correct the name "
            "the client sends; in handclasp add it to `server_names` of the ingress link. If "
            "`ssl_reject_handshake on` answers, the name is unknown on purpose."
        ),
        references=(
            nginx("http_ssl", "ssl_reject_handshake"),
            nginx("http_core", "server_name"),
            rfc(6066, "3"),
        ),
        see_also=(
            "upstream-sni-not-sent",
            "hostname-not-in-san",
        ),
    ),
    Entry(
        slug="plain-http-to-tls-port",
        code="HC308",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning="The client sent plain HTTP to a port that expects TLS.",
        fix=(
            "Use `https://` for this address: in nginx `proxy_pass https://`, in handclasp "
            "`upstream: https://`. nginx answers such requests with 400 (its internal status 497), "
            "which `error_page 497 https://$host$request_uri;` turns into a redirect."
        ),
        references=(
            nginx_page(
                "http/ngx_http_ssl_module.html#errors", "error processing in ngx_http_ssl_module"
            ),
            nginx("http_proxy", "proxy_pass"),
        ),
        see_also=(
            "tls-to-plain-port",
            "proxy-ssl-on-plain-upstream",
        ),
    ),
    Entry(
        slug="tls-to-plain-port",
        code="HC309",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The client spoke TLS to a port that speaks plain text, so it read the answer as a "
            "broken TLS record (OpenSSL: wrong version number)."
        ),
        fix=(
            "Use the port that speaks TLS, or `http://` for this one, or add `ssl` to the `listen` "
            "line of the server if it was meant to speak TLS."
        ),
        references=(
            nginx("http_core", "listen"),
            openssl("man3/SSL_get_error"),
        ),
        see_also=(
            "listener-not-tls",
            "starttls-expected",
            "proxy-protocol-expected",
        ),
    ),
    Entry(
        slug="starttls-expected",
        code="HC310",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The server begins in plain text and switches to TLS only on request (STARTTLS), as "
            "mail, LDAP and PostgreSQL servers do, and the client began with TLS."
        ),
        fix=(
            "Tell the client the protocol (`openssl s_client -starttls smtp -connect HOST:25`, "
            "PostgreSQL `sslmode`), or use the port on which the server speaks TLS from the start "
            "(465, 993, 636)."
        ),
        references=(
            rfc(3207),
            openssl("man1/openssl-s_client"),
        ),
    ),
    Entry(
        slug="proxy-protocol-expected",
        code="HC311",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The server waits for a PROXY protocol line with the client's address before the "
            "handshake, or gets one that it did not expect."
        ),
        fix=(
            "Make both ends agree: nginx receives it with `listen 443 ssl proxy_protocol;` and "
            "sends it, in stream servers, with `proxy_protocol on;`; handclasp: `proxy_protocol: "
            "{trusted: [NETWORK]}` on the ingress link. Or switch it off at the load balancer."
        ),
        references=(
            nginx("http_core", "listen"),
            nginx("stream_proxy", "proxy_protocol"),
            link(
                "HAProxy, the PROXY protocol",
                "https://github.com/haproxy/haproxy/blob/master/doc/proxy-protocol.txt",
            ),
        ),
    ),
    Entry(
        slug="handshake-timeout",
        code="HC312",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT, Side.SERVER}),
        meaning=(
            "The connection was made but the other side did not finish the TLS handshake in time."
        ),
        fix=(
            "Look what listens there (`openssl s_client -connect HOST:PORT`): a port that is not "
            "TLS waits just so, as does an overloaded server or a firewall that drops large "
            "packets. The limit is nginx's `proxy_connect_timeout` towards upstreams and "
            "`client_header_timeout` for clients."
        ),
        references=(
            nginx("http_proxy", "proxy_connect_timeout"),
            nginx("http_core", "client_header_timeout"),
            nginx("stream_ssl", "ssl_handshake_timeout"),
        ),
        see_also=(
            "connection-timeout",
            "tls-to-plain-port",
        ),
    ),
    Entry(
        slug="client-software-bug",
        code="HC313",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "The files and settings are right, and a defect of the client program or its TLS "
            "library breaks the handshake."
        ),
        fix=(
            "Update the client; to be sure, make the same connection with `openssl s_client "
            "-connect HOST:PORT -cert CERT -key KEY -CAfile CA`: if that works, report it to the "
            "client's makers."
        ),
        references=(openssl("man1/openssl-s_client"),),
    ),
    Entry(
        slug="tls-interception-proxy",
        code="HC314",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CLIENT}),
        meaning=(
            "A proxy or security program between client and server decrypts the connection and "
            "presents a certificate of its own, so neither the server's nor the client's "
            "certificate gets through."
        ),
        fix=(
            "Exempt this host from inspection at the proxy; mutual TLS cannot work through it. To "
            "look at who answers: `openssl s_client -connect HOST:443 -servername HOST`, and read "
            "the issuer."
        ),
        references=(
            link(
                "CISA, HTTPS interception weakens TLS security",
                "https://www.cisa.gov/news-events/alerts/2017/03/16/https-interception-weakens-tls-security",
            ),
        ),
    ),
    Entry(
        slug="cipher-name-unknown",
        code="HC330",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "The cipher list contains names that OpenSSL does not know, which it skips without a "
            "word, so the list admits less than was meant."
        ),
        fix=(
            "Correct or remove them; `openssl ciphers -v 'LIST'` prints what is left. TLS 1.3 "
            "suites are set by `ssl_conf_command Ciphersuites`, not by `ssl_ciphers`; handclasp: "
            "`tls: intermediate`."
        ),
        references=(
            nginx("http_ssl", "ssl_ciphers"),
            nginx("http_ssl", "ssl_conf_command"),
            openssl("man1/openssl-ciphers"),
        ),
    ),
    Entry(
        slug="listener-not-tls",
        code="HC331",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A port that is meant for TLS lacks the `ssl` parameter, so it speaks plain HTTP and "
            "the certificates beside it are not used."
        ),
        fix="Write `listen 443 ssl;`; the old directive `ssl on` is gone since nginx 1.25.1.",
        references=(
            nginx("http_core", "listen"),
            link(
                "nginx, configuring HTTPS servers",
                "https://nginx.org/en/docs/http/configuring_https_servers.html",
            ),
        ),
    ),
    Entry(
        slug="obsolete-protocols",
        code="HC332",
        kinds=frozenset({Kind.RULE, Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "Versions of TLS or SSL older than TLS 1.2 are admitted, which have known weaknesses "
            "and are formally retired."
        ),
        fix=(
            "Set `ssl_protocols TLSv1.2 TLSv1.3;` (and `proxy_ssl_protocols` towards upstreams); "
            "nginx before 1.27.3 admits TLS 1.0 and 1.1 when the directive is missing. handclasp: "
            "`tls: intermediate` or `modern`."
        ),
        references=(
            nginx("http_ssl", "ssl_protocols"),
            rfc(8996),
            rfc(9325, "3.1.1"),
        ),
    ),
    Entry(
        slug="weak-ciphers",
        code="HC333",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "The cipher list admits suites that are broken or do not protect at all: RC4, 3DES, "
            "export grade, without encryption or without authentication."
        ),
        fix=(
            "Take a current list (handclasp `tls: intermediate`), or append "
            "`:!aNULL:!eNULL:!EXPORT:!RC4:!3DES:!MD5` to `ssl_ciphers` and `proxy_ssl_ciphers`."
        ),
        references=(
            nginx("http_ssl", "ssl_ciphers"),
            rfc(9325, "4.1"),
            rfc(7465),
        ),
    ),
    Entry(
        slug="tls-policy-conflict-on-listener",
        code="HC350",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Two links on one address ask for different TLS versions or groups, which this nginx "
            "decides once for the whole address, from the default server."
        ),
        fix=(
            "Give the links the same `tls:` setting, or addresses of their own; nginx from 1.29.2 "
            "can differ in versions."
        ),
        references=(
            nginx("http_ssl", "ssl_protocols"),
            nginx_page(
                "http/configuring_https_servers.html#name_based_https_servers",
                "name-based HTTPS servers",
            ),
        ),
    ),
)
