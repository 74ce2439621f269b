"""HC5xx: the connection from nginx to a TLS upstream: names, trust, identities, pools."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_source, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="upstream-name-mismatch",
        code="HC501",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "nginx compares the upstream's certificate with a name that is not in it, usually the "
            "name of the upstream group or an IP address, because it was not told the right one."
        ),
        fix=(
            "Set `proxy_ssl_name host.example.com;` (or `grpc_ssl_name`) to a DNS name of the "
            "upstream's certificate; handclasp: `verify.name`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_name"),
            nginx("http_grpc", "grpc_ssl_name"),
            nginx_source("src/http/ngx_http_upstream.c"),
        ),
        see_also=("upstream-name-missing",),
    ),
    Entry(
        slug="upstream-sni-not-sent",
        code="HC502",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "nginx does not tell the upstream which host it wants during the handshake (SNI), and "
            "the upstream picks its certificate, or refuses, by that name."
        ),
        fix=(
            "Set `proxy_ssl_server_name on;` (off by default) and `proxy_ssl_name` where the name "
            "is not the one in `proxy_pass`; handclasp sends it always."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_server_name"),
            rfc(6066, "3"),
        ),
        see_also=("upstream-sni-off",),
    ),
    Entry(
        slug="no-live-upstreams",
        code="HC503",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "Every server of the upstream group failed a moment ago and is left out for "
            "`fail_timeout`, so this line tells of a consequence and the cause stands in the log "
            "up to some ten seconds earlier."
        ),
        fix=(
            "Look for the first `while connecting to upstream` or `while SSL handshaking to "
            "upstream` line before it and mend that. `max_fails=0` or a shorter `fail_timeout` on "
            "the `server` lines changes how quickly a server is left out."
        ),
        references=(
            nginx("http_upstream", "server"),
            nginx_source("src/http/ngx_http_upstream_round_robin.c"),
        ),
        see_also=(
            "connection-refused",
            "upstream-closed-early",
        ),
    ),
    Entry(
        slug="upstream-closed-early",
        code="HC504",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "The upstream accepted the connection and closed it before the handshake or the answer "
            "was complete."
        ),
        fix=(
            "Read the upstream's own log at that time. Usual reasons: it refuses the client "
            "certificate without saying so, it restarted, the port is not TLS, or it had already "
            "closed an idle connection that nginx took from its pool (make `keepalive_timeout` in "
            "the `upstream` block shorter than the upstream's)."
        ),
        references=(
            nginx("http_upstream", "keepalive_timeout"),
            nginx("http_proxy", "proxy_next_upstream"),
        ),
        see_also=("connection-reset",),
    ),
    Entry(
        slug="keepalive-mixes-client-identities",
        code="HC520",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The client certificate is chosen by a variable while connections to the upstream are "
            "kept open, so a connection opened with one identity carries the requests of another."
        ),
        fix=(
            "Use one `upstream` block for each identity, each with its own location and fixed "
            "`proxy_ssl_certificate`; handclasp renders one per connection policy."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_certificate"),
            nginx("http_upstream", "keepalive"),
            nginx_source("src/http/modules/ngx_http_upstream_keepalive_module.c"),
        ),
        see_also=(
            "session-reuse-mixes-client-identities",
            "keepalive-mixes-verification",
        ),
    ),
    Entry(
        slug="keepalive-mixes-verification",
        code="HC521",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "Two locations share an upstream group that keeps connections open but check the "
            "upstream by different names, CAs or settings, so a connection accepted under one rule "
            "serves requests of the other unchecked."
        ),
        fix=(
            "Use one `upstream` block for each combination of `proxy_ssl_name`, "
            "`proxy_ssl_trusted_certificate`, SNI and `proxy_ssl_verify`; handclasp renders one "
            "per connection policy."
        ),
        references=(
            nginx("http_upstream", "keepalive"),
            nginx("http_proxy", "proxy_ssl_verify"),
            nginx_source("src/http/modules/ngx_http_upstream_keepalive_module.c"),
        ),
    ),
    Entry(
        slug="session-reuse-mixes-client-identities",
        code="HC522",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The client certificate is chosen by a variable while TLS sessions with the upstream "
            "are reused, so a session opened with one identity is resumed for another."
        ),
        fix=(
            "Set `proxy_ssl_session_reuse off;`, or use one `upstream` block for each identity; "
            "handclasp does both by default."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_session_reuse"),
            nginx("http_proxy", "proxy_ssl_certificate"),
            rfc(8446, "4.6.1"),
        ),
    ),
    Entry(
        slug="open-listener-uses-client-identity",
        code="HC523",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A listener that others can reach and that asks nobody who they are sends every "
            "request on with this machine's client certificate, so it lends its identity to "
            "everybody."
        ),
        fix=(
            "Let it listen on `127.0.0.1` or a unix socket, or verify its clients "
            "(`ssl_verify_client on`); handclasp listens on loopback unless `expose: true`."
        ),
        references=(
            nginx("http_core", "listen"),
            nginx("http_proxy", "proxy_ssl_certificate"),
        ),
        see_also=(
            "expose-missing",
            "identity-lent-to-local-users",
        ),
    ),
    Entry(
        slug="proxy-ssl-on-plain-upstream",
        code="HC524",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "TLS settings for the upstream stand here, but the address begins with `http://`, so "
            "nothing is encrypted and no certificate is presented or checked."
        ),
        fix=(
            "Write `proxy_pass https://NAME` (`grpc_pass grpcs://NAME`), or remove the "
            "`proxy_ssl_` directives; handclasp: `upstream: https://NAME`."
        ),
        references=(
            nginx("http_proxy", "proxy_pass"),
            nginx("http_grpc", "grpc_pass"),
        ),
    ),
    Entry(
        slug="upstream-keepalive-missing",
        code="HC525",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.INFO,
        meaning=(
            "Connections to the TLS upstream are not kept open, so every request pays for a full "
            "handshake."
        ),
        fix=(
            "Put the servers into an `upstream` block with `keepalive 64;` and set "
            '`proxy_http_version 1.1; proxy_set_header Connection "";` (defaults from nginx '
            "1.29.7); handclasp renders this."
        ),
        references=(
            nginx("http_upstream", "keepalive"),
            nginx("http_proxy", "proxy_http_version"),
        ),
    ),
    Entry(
        slug="upstream-name-from-client-header",
        code="HC526",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The name that the upstream's certificate must match comes from a request header, so "
            "whoever sends the request chooses which server counts as the right one."
        ),
        fix="Write the name out: `proxy_ssl_name host.example.com;`; handclasp: `verify.name`.",
        references=(
            nginx("http_proxy", "proxy_ssl_name"),
            nginx("http_core", "var_http_"),
        ),
        see_also=("upstream-name-from-client-sni",),
    ),
    Entry(
        slug="upstream-name-from-client-sni",
        code="HC527",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The name that the upstream's certificate must match comes from the name the client "
            "sent in its own handshake, so the client chooses which server counts as the right "
            "one."
        ),
        fix=(
            "Write the name out: `proxy_ssl_name host.example.com;`, or turn the client's name "
            "into known ones by a `map` whose default refuses; handclasp: `verify.name`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_name"),
            nginx("stream_ssl_preread", "var_ssl_preread_server_name"),
            nginx("http_ssl", "var_ssl_server_name"),
        ),
    ),
    Entry(
        slug="upstream-name-missing",
        code="HC528",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The upstream is a group or an IP address and no name is given to check its "
            "certificate against, so nginx checks against (and sends) a name that the certificate "
            "cannot have."
        ),
        fix=(
            "Set `proxy_ssl_name host.example.com;` (or `grpc_ssl_name`); handclasp: `verify.name`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_name"),
            nginx("http_grpc", "grpc_ssl_name"),
        ),
        see_also=("ip-sans-only-upstream",),
    ),
    Entry(
        slug="upstream-sni-off",
        code="HC529",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "nginx does not send the host name in the handshake with the upstream, which it leaves "
            "out by default, so an upstream with several names answers with the wrong certificate "
            "or not at all."
        ),
        fix=(
            "Set `proxy_ssl_server_name on;` (or `grpc_ssl_server_name on;`); handclasp sends it "
            "always."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_server_name"),
            nginx("http_grpc", "grpc_ssl_server_name"),
        ),
    ),
    Entry(
        slug="upstream-verify-no-trust-anchor",
        code="HC530",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The upstream's certificate is to be verified but no CA is named for it, and nginx "
            "does not start."
        ),
        fix=(
            "Set `proxy_ssl_trusted_certificate /path/ca.pem;` beside `proxy_ssl_verify on;` "
            "(Debian's public bundle: /etc/ssl/certs/ca-certificates.crt); handclasp: `trust:`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_trusted_certificate"),
            nginx("http_proxy", "proxy_ssl_verify"),
        ),
        see_also=("upstream-verify-off",),
    ),
    Entry(
        slug="upstream-verify-off",
        code="HC531",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The upstream's certificate is not checked, which is nginx's default, so anybody who "
            "can stand in the way is taken for the upstream."
        ),
        fix=(
            "Set `proxy_ssl_verify on;` with `proxy_ssl_trusted_certificate`, `proxy_ssl_name` and "
            "`proxy_ssl_verify_depth 4;` (or the `grpc_ssl_` ones); handclasp always verifies."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_verify"),
            nginx("http_grpc", "grpc_ssl_verify"),
            rfc(9525),
        ),
        see_also=("insecure-accept-any",),
    ),
    Entry(
        slug="ip-sans-only-upstream",
        code="HC550",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The upstream's certificate lists IP addresses only, and nginx compares DNS names "
            "only, so it can never accept it."
        ),
        fix=(
            "Have the certificate issued with a DNS name as well and write that name under "
            "`verify.name`."
        ),
        references=(
            nginx("http_proxy", "proxy_ssl_name"),
            link("nginx issue 1363", "https://github.com/nginx/nginx/issues/1363"),
        ),
    ),
    Entry(
        slug="upstream-unresolvable",
        code="HC551",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The upstream's name has no address at the moment, so its link is down until it has."
        ),
        fix=(
            "Correct the name in `upstream:`, or the machine's resolver (`getent hosts NAME`); the "
            "link comes up by itself once the name resolves."
        ),
        see_also=("dns-not-found",),
    ),
    Entry(
        slug="insecure-accept-any",
        code="HC552",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "This link talks to whoever answers at the upstream's address, because verification "
            "was switched off for a test."
        ),
        fix=(
            "Remove `insecure_accept_any`; if the upstream is then refused, mend `trust:` or "
            "`verify.name`."
        ),
    ),
    Entry(
        slug="dns-rebinding-hosts",
        code="HC553",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "This egress link answers to any host name, so a web page opened on this machine could "
            "send requests through it under your identity by letting its own name point here."
        ),
        fix='Replace `"*"` under `accept_hosts` by the names that your applications use.',
    ),
    Entry(
        slug="identity-lent-to-local-users",
        code="HC554",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning=(
            "Every user and program of this machine can send requests through this link and so act "
            "under its identity."
        ),
        fix=(
            "Listen on a unix socket for one group (`listen: unix:PATH`, `group: GROUP`) if not "
            "all local users are meant."
        ),
        see_also=("dns-rebinding-hosts",),
    ),
)
