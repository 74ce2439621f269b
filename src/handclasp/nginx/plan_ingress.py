"""Deciding ingress links: addresses with their rejecting default servers, and one server per link."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.backend.dialects import DIALECTS, Field
from handclasp.findings import found
from handclasp.nginx.features import Feature
from handclasp.nginx.parts import (
    ForwardedHeader,
    IngressServer,
    Original,
    Server,
    UpstreamTls,
)
from handclasp.nginx.plan_access import authorizer, issuer_names, keeps_lists, rule_sets
from handclasp.nginx.plan_listeners import plan_listeners
from handclasp.nginx.plan_upstreams import (
    add_upstream,
    limit_settings,
    pool_settings,
    servers_of,
    timeout_settings,
)
from handclasp.nginx.tls_profiles import tls_settings

if TYPE_CHECKING:
    from handclasp.nginx.parts import TlsListener
    from handclasp.nginx.plan import Draft, Inputs
    from handclasp.spec import links

_SILENT_STREAM = timedelta(hours=1)
# nginx refuses an upstream without servers, and with it every other link; this one answers 502 for
# its own link until the name resolves: nothing can listen below a device.
_NOWHERE = Server("unix:/dev/null/unresolved")
_BODY_LIMIT = 16 * 1024 * 1024
VARIABLES: dict[Field, str] = {
    Field.CERTIFICATE: "$ssl_client_escaped_cert",
    Field.VERIFY: "$ssl_client_verify",
    Field.SUBJECT: "$ssl_client_s_dn",
    Field.ISSUER: "$ssl_client_i_dn",
    Field.SERIAL: "$ssl_client_serial",
    Field.FINGERPRINT: "$ssl_client_fingerprint",
    Field.NOT_AFTER: "$ssl_client_v_end",
}


def plan_ingress(
    inputs: Inputs, draft: Draft
) -> tuple[tuple[IngressServer, ...], tuple[TlsListener, ...]]:
    """The parts of all ingress links and the addresses they share."""
    links_ = inputs.loaded.spec.ingress
    servers = tuple(_server(link, index, inputs, draft) for index, link in enumerate(links_))
    return servers, plan_listeners(servers, inputs, draft)


def _server(link: links.IngressLink, index: int, inputs: Inputs, draft: Draft) -> IngressServer:
    grpc = link.backend.scheme in ("grpc", "grpcs")
    _check_build(link, index, inputs, draft)
    draft.server_uses.setdefault(link.identity, []).extend(link.server_names)
    lookup = (
        link.rotation == "auto"
        and inputs.may_look_up(link.identity)
        and inputs.facts.has(Feature.SERVER_CERTIFICATE_VARIABLES)
    )
    if lookup:
        draft.lookups.add(link.identity)
    trust = inputs.material.trust.get(link.clients.trust)
    backend, backend_host = _backend(link, index, inputs, draft)
    real_ip = link.real_ip
    rules = rule_sets(link, inputs)
    source = link.proxy_protocol or real_ip
    return IngressServer(
        link=link.name,
        listen=tuple(link.listen),
        server_names=tuple(link.server_names),
        identity=link.identity,
        lookup=lookup,
        trust=link.clients.trust,
        crl=bool(trust and trust.crl_pem()) and not keeps_lists(trust),
        verify=link.clients.verify,
        depth=link.clients.depth,
        rules=rules,
        issuers=issuer_names(link, inputs),
        authorizer=authorizer(link, rules, inputs),
        backend=backend,
        backend_host=backend_host,
        grpc=grpc,
        headers=_headers(link),
        original=_original(link),
        http2=link.http2 or grpc,
        real_ip_header="proxy_protocol"
        if link.proxy_protocol
        else (real_ip.header if real_ip else None),
        real_ip_from=tuple(str(network) for network in source.trusted) if source else (),
        settings=tls_settings(link.tls or inputs.loaded.spec.tls),
        session_reuse=link.session_reuse and not _renews_sessions(link, inputs),
        session_lifetime=link.session_lifetime,
        buffering=link.buffering,
        timeouts=timeout_settings(link.timeouts, grpc=grpc, streaming=_SILENT_STREAM),
        limits=limit_settings(link.limits, body=0 if grpc else _BODY_LIMIT),
        connection_age=link.connection_age,
        health=link.health.listen if link.health else None,
        redirect=link.redirect.listen if link.redirect else None,
    )


def _renews_sessions(link: links.IngressLink, inputs: Inputs) -> bool:
    """Before 1.23.2 TLS 1.3 sessions renew for ever, past expiry and revocation: no resumption there.

    A session of TLS 1.2 keeps the time it was made at.
    """
    settings = tls_settings(link.tls or inputs.loaded.spec.tls)
    bounded = inputs.facts.has(Feature.TLS13_SESSION_TIMEOUT)
    return "TLSv1.3" in settings.protocols and not bounded


def _backend(
    link: links.IngressLink, index: int, inputs: Inputs, draft: Draft
) -> tuple[str, str | None]:
    url, tls = link.backend, link.backend_tls
    servers = servers_of(url, None, inputs, draft)
    if not servers:
        draft.findings.append(
            found(
                "upstream-unresolvable",
                f"the backend {url.host} of link {link.name} cannot be resolved",
                where=inputs.loaded.where("ingress", index, "backend"),
            )
        )
        servers = (_NOWHERE,)
    upstream_tls = None
    host = None
    if tls is not None:
        host = tls.verify.name or (url.host if url.is_named else None) or "invalid.invalid"
        if tls.identity:
            draft.client_uses.add(tls.identity)
        lookup = tls.identity is not None and (
            link.rotation == "auto"
            and inputs.may_look_up(tls.identity)
            and inputs.facts.has(Feature.UPSTREAM_CERTIFICATE_VARIABLES)
        )
        if lookup and tls.identity:
            draft.lookups.add(tls.identity)
        trust = inputs.material.trust.get(tls.trust)
        upstream_tls = UpstreamTls(
            identity=tls.identity,
            lookup=lookup,
            trust=tls.trust,
            crl=bool(trust and trust.crl_pem()),
            name=host,
            depth=tls.verify.depth,
            settings=tls_settings(link.tls or inputs.loaded.spec.tls),
            session_reuse=False,
        )
    name = add_upstream(
        draft,
        label=f"backend {link.name}",
        scheme=url.scheme,
        servers=servers,
        balance="round-robin",
        pool=pool_settings(link.pool),
        tls=upstream_tls,
    )
    return name, host


def _headers(link: links.IngressLink) -> tuple[ForwardedHeader, ...]:
    headers: dict[str, ForwardedHeader] = {}
    for forward in link.forward:
        for field, default in DIALECTS[forward.dialect].fields.items():
            name = dict(forward.headers).get(field.value, default)
            headers[name.lower()] = ForwardedHeader(name, VARIABLES[field])
    return tuple(headers.values())


def _original(link: links.IngressLink) -> Original | None:
    hop = link.original_certificate
    if hop is None:
        return None
    read = hop.header or (
        DIALECTS[hop.from_].fields[Field.CERTIFICATE] if hop.from_ else "X-Original-Client-Cert"
    )
    return Original(read=read, write=hop.to, rules=tuple(hop.trusted))


def _check_build(link: links.IngressLink, index: int, inputs: Inputs, draft: Draft) -> None:
    needs: list[tuple[Feature, str]] = []
    if link.backend.scheme in ("grpc", "grpcs"):
        needs += [(Feature.GRPC, "backend"), (Feature.H2_MODULE, "backend")]
    if link.proxy_protocol or link.real_ip:
        needs.append((Feature.REALIP, "proxy_protocol" if link.proxy_protocol else "real_ip"))
    if link.limits.rate:
        needs.append((Feature.LIMIT_REQ, "limits"))
    if authorizer(link, rule_sets(link, inputs), inputs):
        needs.append((Feature.AUTHORIZER, "clients"))
    if link.session_reuse and _renews_sessions(link, inputs):
        needs.append((Feature.TLS13_SESSION_TIMEOUT, "session_reuse"))
    # What is written must be done; what is not written is done where the build can.
    if "connection_age" in link.model_fields_set:
        needs.append((Feature.CLIENT_KEEPALIVE_TIME, "connection_age"))
    if "age" in link.pool.model_fields_set:
        needs.append((Feature.UPSTREAM_KEEPALIVE_TIME, "pool"))
    if link.original_certificate and not inputs.facts.has(Feature.JOINED_HEADERS):
        draft.findings.append(
            found(
                "original-certificate-first-of-two",
                f"nginx {inputs.facts.version_text} shows link {link.name} the first"
                " header of that name only",
                where=inputs.loaded.where("ingress", index, "original_certificate"),
            )
        )
    places: list[tuple[Feature, tuple[str | int, ...]]] = [
        (feature, ("ingress", index, key)) for feature, key in needs
    ]
    if tls_settings(link.tls or inputs.loaded.spec.tls).suites:
        own: tuple[str | int, ...] = ("ingress", index) if link.tls else ()
        places.append((Feature.SSL_CONF_COMMAND, (*own, "tls", "ciphers")))
    for feature, place in places:
        if missing := inputs.facts.missing(feature):
            where = inputs.loaded.where(*place)
            draft.findings.append(found("nginx-feature-missing", missing, where=where))
