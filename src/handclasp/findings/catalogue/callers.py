"""HC4xx: who may use an ingress link, and whether the backend can be told who it is."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity
from handclasp.findings.references import link, nginx, rfc

ENTRIES: tuple[Entry, ...] = (
    Entry(
        slug="allow-rule-for-nobody",
        code="HC454",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="An allow rule has a value that no certificate can have, so it lets nobody in.",
        fix="Correct the value, or remove the rule; docs/how-to/callers.md has every kind.",
        see_also=("chain-not-known",),
    ),
    Entry(
        slug="chain-not-known",
        code="HC455",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "A rule or header needs the CA that issued a caller's certificate, and nginx hands on "
            "the leaf alone: a CA that only callers send is not known here, and a chain is never "
            "guessed."
        ),
        fix=(
            "Name the files of the CAs between the trust and the callers under "
            "`clients.intermediates`; they are not trusted by that."
        ),
        references=(
            nginx("http_ssl", "var_ssl_client_escaped_cert"),
            rfc(9440, "2.3"),
        ),
    ),
    Entry(
        slug="identity-header-too-large",
        code="HC456",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "The headers that tell the backend who is calling are so large with a usual "
            "certificate that nginx keeps no answer about it, or that servers refuse the request "
            "with their default limits."
        ),
        fix=(
            "Forward fewer dialects, or one without the chain; or raise the limit of the backend."
        ),
        references=(nginx("http_core", "large_client_header_buffers"),),
        see_also=("request-header-too-large",),
    ),
    Entry(
        slug="caller-not-allowed",
        code="HC457",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "A link of this spec calls another one with an identity that would be refused there."
        ),
        fix="Add a rule for that identity to `clients.allow`, or give the calling link another one.",
    ),
    Entry(
        slug="identity-dialects-conflict",
        code="HC458",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning="Two dialects of a link use one header name for different things.",
        fix=(
            "Keep the one that the backend understands, or give those headers of x-client-cert or "
            "x-ssl-cert other names under `headers`."
        ),
        see_also=("header-name-taken",),
    ),
    Entry(
        slug="paths-not-covered",
        code="HC459",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.INFO,
        meaning="A link has rules by path and none for `/`, so every path they do not name is refused.",
        fix="Keep it if that is meant; otherwise add `- {path: /}`, which takes the link's own `allow`.",
    ),
    Entry(
        slug="workers-locked-out",
        code="HC460",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.ERROR,
        meaning=(
            "nginx's workers run under an account that cannot reach what handclasp keeps for them: "
            "they could not ask who may enter, nor see what was denied."
        ),
        fix=(
            "Write `nginx: {user: NAME}` with the account of the `user` directive of that nginx, "
            "and run handclasp as root."
        ),
        references=(nginx("core", "user"),),
        see_also=("existing-mode-main-context",),
    ),
    Entry(
        slug="original-certificate-first-of-two",
        code="HC461",
        kinds=frozenset({Kind.CHECK}),
        severity=Severity.WARNING,
        meaning=(
            "This nginx sees only the first of two headers with one name: a trusted hop that adds its own "
            "to the one its client sent would have the client's believed."
        ),
        fix=(
            "Let the hop write one header of that name itself (`proxy_set_header` does, and Envoy with "
            "SANITIZE_SET or APPEND_FORWARD), or use nginx 1.23.0 or newer, which sees both, and then "
            "handclasp believes neither, in X-Forwarded-Client-Cert with `append` too."
        ),
        references=(link("nginx, changes with 1.23.0", "https://nginx.org/en/CHANGES"),),
    ),
)
