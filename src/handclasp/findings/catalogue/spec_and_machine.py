"""HC7xx: what can be wrong with the spec file, the nginx build and the machine."""

from __future__ import annotations

from handclasp.findings.entry import Entry, Kind
from handclasp.findings.model import Severity


def _check(
    slug: str,
    code: str,
    meaning: str,
    fix: str,
    severity: Severity = Severity.ERROR,
    *references: str,
) -> Entry:
    return Entry(
        slug=slug,
        code=code,
        kinds=frozenset({Kind.CHECK}),
        severity=severity,
        meaning=meaning,
        fix=fix,
        references=references,
    )


ENTRIES: tuple[Entry, ...] = (
    _check(
        "spec-unreadable",
        "HC700",
        "The spec file cannot be read.",
        "Give the path of a readable file with -c FILE.",
    ),
    _check(
        "spec-not-yaml",
        "HC701",
        "The spec file is not valid YAML.",
        "Mend the YAML at the place named; `handclasp init` writes a file to start from.",
    ),
    _check(
        "spec-unknown-key",
        "HC702",
        "The spec has a key that handclasp does not know.",
        "Remove the key or correct its name; `handclasp schema` lists all keys.",
    ),
    _check(
        "spec-invalid-value",
        "HC703",
        "A value in the spec is not of the form its key takes.",
        "Write a value of the form named; docs/reference/spec.md has every key.",
    ),
    _check(
        "spec-missing-key",
        "HC704",
        "A key that must be there is missing.",
        "Add the key.",
    ),
    _check(
        "spec-duplicate-key",
        "HC705",
        "A key stands twice in one mapping; YAML loaders would let the last one win silently.",
        "Keep one of the two.",
    ),
    _check(
        "spec-unknown-name",
        "HC706",
        "The spec refers to an identity or trust that it does not define.",
        "Define the name under identities: or trust:, or correct the reference.",
    ),
    _check(
        "spec-duplicate-name",
        "HC707",
        "Two links have the same name, or two listeners claim the same address and name.",
        "Give each its own name or address.",
    ),
    _check(
        "spec-unused",
        "HC708",
        "An identity or trust is defined and no link uses it.",
        "Remove it, or name it in the link that was meant to use it.",
        Severity.INFO,
    ),
    _check(
        "spec-inconsistent",
        "HC709",
        "Two keys of the spec contradict each other.",
        "Change one of the two; the sentence names both.",
    ),
    _check(
        "verify-name-missing",
        "HC710",
        "The upstream or backend has no single DNS name to compare its certificate with:"
        " it is an IP address or a socket, or several servers have different names.",
        "Write the name its certificate carries under `verify: {name: NAME}`;"
        " it becomes SNI and Host.",
        Severity.ERROR,
        "nginx, proxy_ssl_name: https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ssl_name",
    ),
    _check(
        "spec-no-links",
        "HC711",
        "The spec has neither an egress nor an ingress link, so there is nothing to run.",
        "Add a link; `handclasp init egress` and `handclasp init ingress` write one to start from.",
    ),
    _check(
        "status-exposed",
        "HC712",
        "The status listener would tell links, identities and failures to other machines.",
        "Listen on loopback, as in `status: {listen: 127.0.0.1:9180}`.",
    ),
    _check(
        "host-preserved",
        "HC713",
        "The upstream gets the caller's Host with a server name (SNI) that stays the upstream's;"
        " a server that compares the two answers 421.",
        "Leave `host: preserve` out unless the upstream expects the caller's Host.",
        Severity.INFO,
    ),
    _check(
        "spec-without-effect",
        "HC714",
        "A key is set that changes nothing where it stands.",
        "Remove it, or set what it depends on.",
        Severity.WARNING,
    ),
    _check(
        "backend-in-clear",
        "HC715",
        "Requests go on to another machine without TLS: others on that network can read them, and"
        " whoever reaches the backend directly can write the identity headers himself.",
        "Use an https:// backend with `backend_tls`, or let the backend accept this machine only.",
        Severity.INFO,
    ),
    _check(
        "header-name-taken",
        "HC716",
        "A header that carries the client's identity has the name of another header.",
        "Give each its own name under `headers` or `to`.",
    ),
)
