"""HC4xx: how the client's identity reaches the application behind nginx, and who could forge it."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind, Side
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, nginx_source, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="ssl-client-cert-multiline-header",
        code="HC401",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.CONFIG}),
        meaning=(
            "The client certificate is passed on in a header with its line breaks, and the "
            "receiver refuses the request (400), because headers must be single lines."
        ),
        fix=(
            "Send `proxy_set_header X-Client-Cert $ssl_client_escaped_cert;` (nginx 1.13.5) and "
            "let the receiver URL-decode it; handclasp: `forward: [x-client-cert]`."
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_escaped_cert"),
            rfc(9112, "5.2"),
        ),
        see_also=(
            "ssl-client-cert-header-deprecated",
            "ssl-client-raw-cert-header",
        ),
    ),
    Entry(
        slug="request-header-too-large",
        code="HC402",
        kinds=frozenset({Kind.CAUSE}),
        severity=Severity.ERROR,
        sides=frozenset({Side.SERVER}),
        meaning=(
            "A request header, often a forwarded certificate or chain, is larger than the receiver "
            "admits, which answers 400, 414 or 431."
        ),
        fix=(
            "Forward less (the leaf instead of the chain, or only subject and fingerprint), or "
            "raise the receiver's limit: nginx `large_client_header_buffers 4 16k;`, gunicorn "
            "`--limit-request-field_size`, Node `--max-http-header-size`."
        ),
        references=(
            nginx("http_core", "large_client_header_buffers"),
            rfc(6585, "5"),
        ),
    ),
    Entry(
        slug="cert-in-response-header",
        code="HC420",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "The client's certificate is put into the response, which goes back to the client, "
            "instead of into the request that goes to the backend."
        ),
        fix=(
            "Replace `add_header` by `proxy_set_header X-Client-Cert $ssl_client_escaped_cert;`; "
            "handclasp: `forward: [x-client-cert]`."
        ),
        references=(
            nginx("http_headers", "add_header"),
            nginx("http_proxy", "proxy_set_header"),
        ),
    ),
    Entry(
        slug="fingerprint-is-sha1",
        code="HC421",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.INFO,
        meaning=(
            "The fingerprint that nginx offers is a SHA-1 digest, which does not match the SHA-256 "
            "ones that tools print and should not be relied on in new designs."
        ),
        fix=(
            "Forward `$ssl_client_escaped_cert` and let the backend compute SHA-256, or compare "
            "subject and serial."
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_fingerprint"),
            nginx_source("src/event/ngx_event_openssl.c"),
            rfc(6194),
        ),
    ),
    Entry(
        slug="identity-header-from-inbound",
        code="HC422",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "Who the client is gets read from a request header on a listener that anybody can "
            "reach, so anybody can claim to be somebody."
        ),
        fix=(
            "Set the header from nginx's own result (`proxy_set_header X-SSL-Client-Verify "
            "$ssl_client_verify;`), or accept it only from a hop that proves itself; handclasp: "
            "`original_certificate:` with the hops named under `trusted:`."
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_verify"),
            rfc(9440, "4"),
        ),
        see_also=("loopback-trusted",),
    ),
    Entry(
        slug="identity-header-not-cleared",
        code="HC423",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "On a path to the backend nginx neither sets nor removes a header that the backend "
            "reads as the client's identity, so a client can send it itself."
        ),
        fix=(
            'Set or clear it in every location that proxies: `proxy_set_header X-Client-Cert "";`; '
            "handclasp clears every known identity header on every listener."
        ),
        references=(
            nginx("http_proxy", "proxy_set_header"),
            rfc(9440, "4"),
        ),
        see_also=("identity-header-from-inbound",),
    ),
    Entry(
        slug="set-header-inheritance-lost",
        code="HC424",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A block with a `proxy_set_header` of its own inherits none from above, so the "
            "identity headers set or cleared there do not apply here."
        ),
        fix=(
            "Repeat all of them at this level, best through one `include` used by every location; "
            "handclasp renders them so."
        ),
        references=(nginx("http_proxy", "proxy_set_header"),),
        see_also=("identity-header-not-cleared",),
    ),
    Entry(
        slug="ssl-client-cert-header-deprecated",
        code="HC425",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.WARNING,
        meaning=(
            "`$ssl_client_cert` goes into a request header: it spans several lines, which many "
            "backends refuse, and nginx calls it deprecated."
        ),
        fix=(
            "Use `proxy_set_header X-Client-Cert $ssl_client_escaped_cert;` (nginx 1.13.5) and let "
            "the backend URL-decode it; handclasp: `forward: [x-client-cert]`."
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_cert"),
            rfc(9112, "5.2"),
        ),
        see_also=("ssl-client-raw-cert-header",),
    ),
    Entry(
        slug="ssl-client-raw-cert-header",
        code="HC426",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "`$ssl_client_raw_cert` goes into a request header with bare line breaks, which breaks "
            "the request to the backend into pieces."
        ),
        fix=(
            "Use `proxy_set_header X-Client-Cert $ssl_client_escaped_cert;` (nginx 1.13.5); "
            "handclasp: `forward: [x-client-cert]`."
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_raw_cert"),
            rfc(9112, "5"),
        ),
    ),
    Entry(
        slug="verify-result-hardcoded",
        code="HC427",
        kinds=frozenset({Kind.RULE}),
        severity=Severity.ERROR,
        meaning=(
            "A header tells the backend that the client was verified as a fixed text, whatever "
            "really happened."
        ),
        fix=(
            "Send the result itself: `proxy_set_header X-SSL-Client-Verify $ssl_client_verify;`; "
            "handclasp writes it with `forward: [x-client-cert]`."
        ),
        references=(nginx("http_ssl", "var_ssl_client_verify"),),
    ),
    Entry(
        slug="loopback-trusted",
        code="HC450",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "Requests from this machine's own loopback address may tell who the original client "
            "was, so every local user and every program that can be made to send requests can "
            "forge it."
        ),
        fix=(
            "Trust a unix socket in a directory for one group (`trusted: [unix]`) or a named "
            "client certificate instead of `loopback`."
        ),
        see_also=("unix-directory-world-traversable",),
    ),
    Entry(
        slug="unix-directory-world-traversable",
        code="HC451",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "The directory of the unix socket is open to every local user, and nginx creates the "
            "socket itself writable for everybody."
        ),
        fix=(
            "Run `chown OWNER:GROUP DIR; chmod 0750 DIR` with the group that may connect, or name "
            "it as the egress link's `group:` and let handclasp make the directory."
        ),
        references=(
            link(
                "unix(7), pathname socket ownership and permissions",
                "https://man7.org/linux/man-pages/man7/unix.7.html",
            ),
        ),
    ),
    Entry(
        slug="unix-directory-not-ours",
        code="HC453",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "Somebody else may remove or replace the unix socket, and so receive the requests meant "
            "for it: its directory, or one above, belongs to or can be written by others."
        ),
        fix=(
            "Name a directory that does not exist yet below one of this user or of root (/run is "
            "one), or give it to this user and take the right to write from everybody else."
        ),
        references=(
            link(
                "unix(7), pathname socket ownership and permissions",
                "https://man7.org/linux/man-pages/man7/unix.7.html",
            ),
        ),
        see_also=("unix-directory-world-traversable",),
    ),
    Entry(
        slug="backend-on-loopback-tcp",
        code="HC452",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning=(
            "The backend listens on a loopback port, where any local user can call it without "
            "going through nginx and can occupy its port while it is down."
        ),
        fix=(
            "Let the backend listen on a unix socket in a closed directory and write `backend: "
            "http://unix:PATH`."
        ),
        see_also=("loopback-trusted",),
    ),
)
