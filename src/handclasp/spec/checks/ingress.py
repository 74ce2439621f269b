"""Ingress links: who may enter, what the backend is told, how the backend is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.backend.dialects import DIALECTS
from handclasp.findings import Finding, Severity, found
from handclasp.spec.values import AllowKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.links import IngressLink
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.positions import Path

    Findings = Iterator[Finding]

# What stock nginx can decide and write; everything else asks the agent.
_NATIVE_RULES = frozenset((AllowKind.ANY, AllowKind.CN, AllowKind.DN))
_NATIVE_DIALECTS = frozenset(("x-client-cert", "x-ssl-cert"))
_HOP_RULES = frozenset((AllowKind.CN, AllowKind.DN))
# Headers that nginx itself sets for the backend or that frame the request.
_TAKEN = frozenset(
    (
        "host",
        "connection",
        "content-length",
        "expect",
        "forwarded",
        "keep-alive",
        "proxy",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    )
)


def check_ingress(loaded: LoadedSpec) -> Findings:
    """All rules of ingress links."""
    for index, link in enumerate(loaded.spec.ingress):
        place: Path = ("ingress", index)
        yield from _clients(loaded, link, place)
        yield from _dialects(loaded, link, place)
        yield from _headers(loaded, link, place)
        yield from _original(loaded, link, place)
        yield from _backend(loaded, link, place)
        yield from _backend_tls(loaded, link, place)
        yield from _connection(loaded, link, place)


def _clients(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    clients = link.clients
    trust = loaded.spec.trust.get(clients.trust)
    if trust is not None and trust.public is not None:
        yield found(
            "client-ca-public-bundle",
            f"`clients.trust` names '{clients.trust}', which is the public CAs of the system",
            where=loaded.where(*place, "clients", "trust"),
        )
    if clients.verify == "optional" and not link.forward:
        yield found(
            "optional-without-decision",
            f"link {link.name} lets callers without certificate in and tells the backend nothing",
            where=loaded.where(*place, "clients", "verify"),
        )
    for position, rule in enumerate(clients.allow):
        where = loaded.where(*place, "clients", "allow", position)
        if rule.kind is AllowKind.ANY:
            yield found(
                "allow-any",
                f"every certificate under '{clients.trust}' may use link {link.name}",
                where=where,
                severity=Severity.WARNING,
            )
        elif rule.kind not in _NATIVE_RULES:
            yield found(
                "needs-authorizer",
                f"the rule {rule} needs the authorizer; nginx itself compares cn: and dn: only",
                where=where,
            )


def _dialects(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    seen: set[str] = set()
    for position, forward in enumerate(link.forward):
        where = loaded.where(*place, "forward", position, "dialect")
        if forward.dialect not in _NATIVE_DIALECTS:
            yield found(
                "needs-authorizer",
                f"the dialect {forward.dialect} needs the authorizer; nginx itself writes"
                " x-client-cert and x-ssl-cert only",
                where=where,
            )
        if forward.dialect in seen:
            yield found(
                "spec-duplicate-name", f"the dialect {forward.dialect} is listed twice", where=where
            )
        seen.add(forward.dialect)


def _headers(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    """Header names must differ from each other and from those nginx sets."""
    written: list[tuple[str, Path]] = []
    dialects: set[str] = set()
    for position, forward in enumerate(link.forward):
        path = (*place, "forward", position)
        names = {str(field): name for field, name in DIALECTS[forward.dialect].fields.items()}
        if forward.dialect in dialects:
            continue  # said already
        dialects.add(forward.dialect)
        names |= {str(field): name for field, name in forward.headers.items()}
        for field, name in names.items():
            written.append((name, (*path, "headers", field)))
    if link.original_certificate is not None:
        written.append((link.original_certificate.to, (*place, "original_certificate", "to")))
    first: set[str] = set()
    for name, path in written:
        if name.lower() in _TAKEN:
            seen = f"the header {name} is set by nginx itself and cannot carry the identity"
            yield found("header-name-taken", seen, where=loaded.where(*path))
        elif name.lower() in first:
            seen = f"the header {name} would be written twice, with different values"
            yield found("header-name-taken", seen, where=loaded.where(*path))
        first.add(name.lower())


def _original(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    if link.original_certificate is None:
        return
    for position, rule in enumerate(link.original_certificate.trusted):
        if rule.kind not in _HOP_RULES:
            yield found(
                "needs-authorizer",
                f"the hop {rule} needs the authorizer; nginx itself compares cn: and dn: only",
                where=loaded.where(*place, "original_certificate", "trusted", position),
                fix="Name the trusted hop by cn: or dn:.",
            )


def _backend(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    backend, where = link.backend, loaded.where(*place, "backend")
    if backend.scheme.startswith("grpc") and not link.http2:
        yield found(
            "spec-inconsistent",
            f"the backend is {backend.scheme}://, which callers reach over HTTP/2 only, and"
            " `http2` is false",
            where=loaded.where(*place, "http2"),
            fix="Remove `http2: false`.",
        )
    if backend.path is not None or backend.is_tls:
        return
    if backend.is_loopback:
        yield found(
            "backend-on-loopback-tcp",
            f"any local user can call {backend} directly and write the identity headers himself",
            where=where,
        )
    else:
        yield found("backend-in-clear", f"requests go to {backend} without TLS", where=where)


def _backend_tls(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    backend, where = link.backend, loaded.where(*place, "backend")
    if link.backend_tls is None:
        if backend.is_tls:
            yield found(
                "spec-missing-key",
                f"the backend is {backend.scheme}://, and no `backend_tls` says whom to believe",
                where=where,
                fix="Add `backend_tls: {trust: NAME}`.",
            )
        return
    if not backend.is_tls:
        yield found(
            "spec-inconsistent",
            f"`backend_tls` is set, and the backend is {backend.scheme}://",
            where=loaded.key(*place, "backend_tls"),
            fix="Write https:// or grpcs://, or remove `backend_tls`.",
        )
    elif not backend.is_named and link.backend_tls.verify.name is None:
        yield found(
            "verify-name-missing",
            f"the backend {backend} has no DNS name its certificate could be compared with",
            where=where,
            fix="Write the name its certificate carries: `backend_tls: {verify: {name: NAME}}`.",
        )


def _connection(loaded: LoadedSpec, link: IngressLink, place: Path) -> Findings:
    if link.proxy_protocol is not None and link.real_ip is not None:
        yield found(
            "spec-inconsistent",
            "`proxy_protocol` and `real_ip` both say where the caller's address comes from",
            where=loaded.key(*place, "real_ip"),
            fix="Keep one of the two.",
        )
    if "session_lifetime" in link.model_fields_set and not link.session_reuse:
        yield found(
            "spec-without-effect",
            "`session_lifetime` has no effect without `session_reuse: true`",
            where=loaded.key(*place, "session_lifetime"),
            severity=Severity.INFO,
        )
