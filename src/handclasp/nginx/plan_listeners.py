"""Deciding the addresses ingress links share: what nginx settles per address must suit every link on it.

A connection begins in the address's default server; its link is known only once the name has been
read. OpenSSL takes certificates, CAs and cipher suites from the link then (SSL_set_SSL_CTX), but keeps
groups, the suites of TLS 1.3 and the session store of the context it began with.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from handclasp.findings import found
from handclasp.nginx.features import Feature
from handclasp.nginx.parts import TlsListener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from handclasp.nginx.parts import IngressServer
    from handclasp.nginx.plan import Draft, Inputs
    from handclasp.nginx.tls_profiles import TlsSettings
    from handclasp.spec.values import ListenAddress


def plan_listeners(
    servers: Iterable[IngressServer], inputs: Inputs, draft: Draft
) -> tuple[TlsListener, ...]:
    """One per address, in the order of their text."""
    by_address: dict[ListenAddress, list[IngressServer]] = {}
    for server in servers:
        for address in server.listen:
            by_address.setdefault(address, []).append(server)
    return tuple(
        _listener(address, sharing, inputs, draft)
        for address, sharing in sorted(by_address.items(), key=lambda item: str(item[0]))
    )


def _listener(
    address: ListenAddress, sharing: list[IngressServer], inputs: Inputs, draft: Draft
) -> TlsListener:
    _agree_on_tls(address, sharing, inputs, draft)
    _agree_on_sessions(address, sharing, inputs, draft)
    resumes = all(server.session_reuse for server in sharing)
    return TlsListener(
        address=address,
        proxy_protocol=any(server.real_ip_header == "proxy_protocol" for server in sharing),
        http2=any(server.http2 for server in sharing) and inputs.facts.has(Feature.H2_MODULE),
        header=max(server.limits.header for server in sharing),
        settings=_widest(sharing),
        handshake=max(server.timeouts.header for server in sharing),
        sessions=_session_zone(address, sharing, inputs) if resumes else None,
        session_lifetime=min(server.session_lifetime for server in sharing),
    )


def _widest(sharing: list[IngressServer]) -> TlsSettings:
    """The settings for the address: where builds take them per server, the widest protocol range."""
    return max(
        (server.settings for server in sharing), key=lambda one: (len(one.protocols), repr(one))
    )


def _agree_on_tls(
    address: ListenAddress, sharing: list[IngressServer], inputs: Inputs, draft: Draft
) -> None:
    facts = inputs.facts
    if not facts.has(Feature.PER_SERVER_PROTOCOLS):
        _must_agree(
            address,
            sharing,
            lambda server: server.settings.protocols,
            ("tls", f"TLS versions; {facts.missing(Feature.PER_SERVER_PROTOCOLS)}"),
            inputs,
            draft,
        )
    _must_agree(
        address,
        sharing,
        lambda server: (server.settings.groups, server.settings.suites),
        ("tls", "groups or TLS 1.3 suites, which hold for a whole address"),
        inputs,
        draft,
    )
    if facts.has(Feature.H2_MODULE) and not facts.has(Feature.HTTP2_DIRECTIVE):
        _must_agree(
            address,
            sharing,
            lambda server: server.http2,
            ("http2", f"`http2`; {facts.missing(Feature.HTTP2_DIRECTIVE)}"),
            inputs,
            draft,
        )


def _agree_on_sessions(
    address: ListenAddress, sharing: list[IngressServer], inputs: Inputs, draft: Draft
) -> None:
    """One session store serves the address. On builds before 1.27.4 (CVE-2025-23419) a session made at
    one link opens another: so resumption is for links that would have accepted the same certificates."""
    if any(server.session_reuse for server in sharing):
        _must_agree(
            address,
            sharing,
            lambda server: (
                server.session_reuse,
                server.session_lifetime,
                server.trust,
                server.verify,
                server.depth,
            ),
            (
                "session_reuse",
                (
                    "`session_reuse`, `session_lifetime` or client verification, and sessions are"
                    " kept for the whole address"
                ),
            ),
            inputs,
            draft,
        )


def _must_agree(
    address: ListenAddress,
    sharing: list[IngressServer],
    trait: Callable[[IngressServer], object],
    told: tuple[str, str],
    inputs: Inputs,
    draft: Draft,
) -> None:
    """A finding at the first link that differs from the first of the address."""
    key, subject = told
    different = next((one for one in sharing if trait(one) != trait(sharing[0])), None)
    if different is None:
        return
    index = next(
        position
        for position, link in enumerate(inputs.loaded.spec.ingress)
        if link.name == different.link
    )
    draft.findings.append(
        found(
            "tls-policy-conflict-on-listener",
            f"links {sharing[0].link} and {different.link} share {address} and differ in {subject}",
            where=inputs.loaded.where("ingress", index, key),
            fix=f"Give both the same `{key}`, or an address of its own to each.",
        )
    )


def _session_zone(address: ListenAddress, sharing: Iterable[IngressServer], inputs: Inputs) -> str:
    """Its name changes with the identities and trusts of the address: when one of them is replaced, the
    sessions made before are gone."""
    material = inputs.material
    parts = [str(address)]
    for server in sharing:
        identity, trust = material.identities.get(server.identity), material.trust.get(server.trust)
        parts += [
            identity.fingerprint() if identity and identity.usable else "",
            trust.fingerprint(lists=server.crl) if trust and trust.usable else "",
        ]
    return f"hc_tls_{hashlib.sha256(' '.join(parts).encode()).hexdigest()[:12]}"
