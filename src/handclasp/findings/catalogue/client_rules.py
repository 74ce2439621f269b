"""HC1xx, rules and checks: whether clients are asked for a certificate, and whether the right ones get in."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_advisory, nginx_source, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="authz-missing-dn-check",
        code="HC120",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "A location meant for certain certificate holders admits everybody who holds any "
            "certificate of the same CA, because nothing looks at who the client is."
        ),
        fix=(
            "Compare the subject in a map with exact values and refuse the rest: `map "
            '$ssl_client_s_dn $known_client { default 0; "CN=svc-b,O=Example" 1; }` and `if '
            '($known_client = 0) { return 403; }`; handclasp: `clients.allow: ["cn:svc-b"]`.'
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_s_dn"),
            nginx("http_map", "map"),
        ),
        see_also=(
            "allow-any",
            "dn-regex-unanchored",
            "check-has-no-effect",
        ),
    ),
    Entry(
        slug="check-has-no-effect",
        code="HC121",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The configuration looks at the client's identity, but whatever the outcome the "
            "request goes on: the block is empty, the test is inverted or its result is "
            "overwritten."
        ),
        fix=(
            "Make the test end the request: `if ($ssl_client_verify != SUCCESS) { return 403; }`, "
            "with `return` as the only directive in the block; handclasp writes its own checks "
            "from `clients.allow`."
        ),
        references=(
            nginx("http_rewrite", "if"),
            nginx("http_rewrite", "return"),
        ),
        see_also=("verify-result-not-checked",),
    ),
    Entry(
        slug="client-ca-is-server-cert",
        code="HC122",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The server's own certificate is configured as the CA for client certificates, so no "
            "client's certificate can be traced to it."
        ),
        fix=(
            "Name the file with the CA that issues the client certificates in "
            "`ssl_client_certificate`; handclasp: `clients.trust`."
        ),
        references=(nginx("http_ssl", "ssl_client_certificate"),),
        see_also=(
            "client-ca-missing",
            "trust-contains-leaf",
        ),
    ),
    Entry(
        slug="client-ca-missing",
        code="HC123",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "Client certificates are to be verified, but no CA is named against which they could "
            "be verified."
        ),
        fix=(
            "Set `ssl_client_certificate /path/ca.pem;` beside `ssl_verify_client` (from nginx "
            "1.27.2 `ssl_trusted_certificate` alone is enough); handclasp: `clients.trust`."
        ),
        references=(
            nginx("http_ssl", "ssl_client_certificate"),
            nginx("http_ssl", "ssl_verify_client"),
        ),
        see_also=("trust-anchor-not-configured",),
    ),
    Entry(
        slug="client-ca-public-bundle",
        code="HC124",
        kinds=frozenset({Kind.RULE, Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The public CAs of the operating system decide which clients are let in, so anybody "
            "who can buy or obtain a certificate for any name at all is accepted."
        ),
        fix=(
            "Name only the CA that issues your clients' certificates: nginx "
            "`ssl_client_certificate /path/own-ca.pem`, handclasp `clients.trust` with a trust "
            "made of `certificates:`; `public: system` is for egress."
        ),
        references=(nginx("http_ssl", "ssl_client_certificate"),),
        see_also=("client-auth-eku-public-ca",),
    ),
    Entry(
        slug="client-cert-errors-not-logged",
        code="HC125",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.INFO,
        meaning=(
            "nginx writes the reason why it refused a client certificate at log level info, and "
            "the error log in force here drops that level."
        ),
        fix=(
            "Set `error_log /path/error.log info;` in the servers that verify clients (and in the "
            "default server, whose log counts when no name was sent); handclasp renders this."
        ),
        references=(
            nginx("core", "error_log"),
            nginx_source("src/http/ngx_http_request.c"),
        ),
    ),
    Entry(
        slug="default-server-without-verification",
        code="HC126",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The default server of this address does not verify clients although another server of "
            "the same address does, and both lead to the same backend, so a client that sends no "
            "name or an unknown one walks around the check."
        ),
        fix=(
            "Make the default server refuse: `server { listen 443 ssl default_server; "
            "ssl_reject_handshake on; }` (nginx 1.19.4; before that a server with a dummy "
            "certificate and `return 444`); handclasp renders one for every address."
        ),
        references=(
            nginx("http_ssl", "ssl_reject_handshake"),
            link(
                "nginx, how a request is processed",
                "https://nginx.org/en/docs/http/request_processing.html",
            ),
        ),
        see_also=(
            "no-rejecting-default-server",
            "host-routing-across-client-cas",
        ),
    ),
    Entry(
        slug="dn-regex-unanchored",
        code="HC127",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The client's subject is compared with a pattern that may match anywhere, so other "
            "subjects that merely contain the text are accepted too."
        ),
        fix=(
            "Compare whole subjects exactly in a `map`, or anchor the pattern at both ends and "
            "escape dots: `~^CN=svc-b,O=Example$`; handclasp: `clients.allow` compares exactly."
        ),
        references=(
            nginx("http_map", "map"),
            nginx("http_ssl", "var_ssl_client_s_dn"),
            rfc(2253),
        ),
    ),
    Entry(
        slug="early-data-with-client-certs",
        code="HC128",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "The server accepts data sent before the handshake is complete, which an eavesdropper "
            "can record and send again, and it would be counted as the certified client's request."
        ),
        fix=(
            "Remove `ssl_early_data on` from servers that verify clients; handclasp never renders "
            "it."
        ),
        references=(
            nginx("http_ssl", "ssl_early_data"),
            rfc(8446, "8"),
            rfc(8470),
        ),
    ),
    Entry(
        slug="host-routing-across-client-cas",
        code="HC129",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The Host header chooses between servers or tenants that trust different client CAs on "
            "one address, so a client admitted under one CA can reach what belongs to the other."
        ),
        fix=(
            "Refuse requests whose Host is not the name of the handshake (`if ($ssl_server_name != "
            "$host) { return 421; }`), let the default server reject absent names "
            "(`ssl_reject_handshake on`), and prefer one client CA per address; handclasp renders "
            "the first two."
        ),
        references=(
            nginx("http_ssl", "var_ssl_server_name"),
            nginx_source("src/http/ngx_http_request.c"),
        ),
    ),
    Entry(
        slug="no-rejecting-default-server",
        code="HC130",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "Several servers that verify clients share an address and none of them rejects "
            "connections that name no server or an unknown one, so such connections fall to "
            "whichever server comes first."
        ),
        fix=(
            "Add `server { listen 443 ssl default_server; ssl_reject_handshake on; }` (nginx "
            "1.19.4); handclasp renders one for every address."
        ),
        references=(
            nginx("http_ssl", "ssl_reject_handshake"),
            nginx("http_core", "listen"),
        ),
    ),
    Entry(
        slug="session-cache-shared-across-client-cas",
        code="HC131",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "Servers that trust different client CAs share a TLS session cache or ticket keys, so "
            "on nginx 1.11.4 to 1.27.3 a session accepted by one can be resumed at the other "
            "(CVE-2025-23419)."
        ),
        fix=(
            "Update to 1.26.3 or 1.27.4, and give each such server its own cache name or none: "
            "`ssl_session_tickets off; ssl_session_cache off;`; handclasp renders the latter by "
            "default."
        ),
        references=(
            nginx_advisory("CVE-2025-23419"),
            nginx("http_ssl", "ssl_session_cache"),
            nginx("http_ssl", "ssl_session_tickets"),
        ),
        see_also=("nginx-vulnerable",),
    ),
    Entry(
        slug="verify-client-not-enabled",
        code="HC132",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A CA for client certificates is configured, but the server never asks a client for "
            "one, so everybody is let in."
        ),
        fix=(
            "Add `ssl_verify_client on;` beside `ssl_client_certificate`; handclasp: an ingress "
            "link verifies by default (`clients.verify: required`)."
        ),
        references=(nginx("http_ssl", "ssl_verify_client"),),
        see_also=("client-ca-missing",),
    ),
    Entry(
        slug="verify-result-not-checked",
        code="HC133",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "Client certificates are asked for but optional, and nothing in nginx looks at the "
            "result, so clients without a certificate or with an unverified one pass."
        ),
        fix=(
            "Set `ssl_verify_client on;`, or refuse by hand where it matters: `if "
            "($ssl_client_verify != SUCCESS) { return 403; }`; handclasp: `clients.verify: "
            "required`."
        ),
        references=(
            nginx("http_ssl", "ssl_verify_client"),
            nginx("http_ssl", "var_ssl_client_verify"),
        ),
        see_also=(
            "optional-without-decision",
            "authz-missing-dn-check",
        ),
    ),
    Entry(
        slug="allow-missing",
        code="HC150",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="An ingress link does not say which verified clients may use it.",
        fix=(
            'List them under `clients.allow`, for instance `["cn:svc-b"]`, or write `allow: any` '
            "if every certificate of that CA shall be admitted."
        ),
        see_also=(
            "allow-any",
            "authz-missing-dn-check",
        ),
    ),
    Entry(
        slug="allow-any",
        code="HC151",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning=(
            "Every holder of a certificate issued under the trusted CA may use this link, whoever "
            "it is."
        ),
        fix="Keep it if that is meant; otherwise list the clients under `clients.allow`.",
    ),
    Entry(
        slug="optional-without-decision",
        code="HC152",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Client certificates are optional on this link and nothing after nginx is told to "
            "decide about clients that have none."
        ),
        fix=(
            "Set `clients.verify: required`, or hand the result on with `forward: [x-client-cert]` "
            "to a backend that refuses what was not verified."
        ),
    ),
)
