"""Ingress links: how the backend is reached, and what belongs to the connection (callers: `callers`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import Finding, Severity, found
from handclasp.spec.checks.callers import check_callers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.links import IngressLink
    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.positions import Path

    Findings = Iterator[Finding]


def check_ingress(loaded: LoadedSpec) -> Findings:
    """All rules of ingress links."""
    for index, link in enumerate(loaded.spec.ingress):
        place: Path = ("ingress", index)
        yield from check_callers(loaded, link, place)
        yield from _backend(loaded, link, place)
        yield from _backend_tls(loaded, link, place)
        yield from _connection(loaded, link, place)


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
