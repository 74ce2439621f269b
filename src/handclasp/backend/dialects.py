"""Every header in which some proxy passes a client's identity, in one list.

The renderer strips these from what callers send, the encoders write them, tests attack with them.
Names are as their documentation spells them; matching is case-insensitive, and `_` counts as `-`,
because WSGI and CGI fold both into one key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Field(StrEnum):
    """What one header of a dialect says."""

    CERTIFICATE = "certificate"
    VERIFY = "verify"
    SUBJECT = "subject"
    ISSUER = "issuer"
    SERIAL = "serial"
    FINGERPRINT = "fingerprint"
    NOT_AFTER = "not_after"


@dataclass(frozen=True, slots=True)
class Dialect:
    """A named set of headers. `fields` are those that stock nginx can write; `others` the rest.

    `composed` are the names that the encoder of a dialect without `fields` writes.
    """

    name: str
    fields: dict[Field, str] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    composed: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[str, ...]:
        """Every header name of the dialect."""
        return (*self.fields.values(), *self.composed, *self.others)

    @property
    def native(self) -> bool:
        """Whether stock nginx can write all of it."""
        return bool(self.fields)


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "x-client-cert",
            fields={
                Field.CERTIFICATE: "X-Client-Cert",
                Field.VERIFY: "X-Client-Verify",
                Field.SUBJECT: "X-Client-Subject",
                Field.ISSUER: "X-Client-Issuer",
                Field.SERIAL: "X-Client-Serial",
                Field.FINGERPRINT: "X-Client-Fingerprint",
                Field.NOT_AFTER: "X-Client-Not-After",
            },
            # Puppet and others
            others=("X-Client-DN", "X-Client-CN", "X-Client-SAN", "X-Client-Certificate"),
        ),
        Dialect(
            "x-ssl-cert",
            fields={
                Field.CERTIFICATE: "X-SSL-CERT",
                Field.VERIFY: "X-SSL-Client-Verify",
                Field.SUBJECT: "X-SSL-Client-S-DN",
                Field.ISSUER: "X-SSL-Client-I-DN",
                Field.SERIAL: "X-SSL-Client-Serial",
                Field.FINGERPRINT: "X-SSL-Client-Fingerprint",
                Field.NOT_AFTER: "X-SSL-Client-V-End",
            },
            others=(
                "X-SSL-Client-Cert",
                "X-SSL-Client-Cert-Chain",
                "X-SSL-Client-Certificate",
                "X-SSL-Client-Chain",
                "X-SSL-Client-Escaped-Cert",
                "X-SSL-Client-Issuer",
                "X-SSL-Client-Issuer-DN",
                "X-SSL-Client-Raw-Cert",
                "X-SSL-Client-S-DN-CN",
                "X-SSL-Client-Subject",
                "X-SSL-Client-Subject-DN",
                "X-SSL-Client-V-Remain",
                "X-SSL-Client-V-Start",
                "SSL-Client-Cert-Chain",
            ),
        ),
        # RFC 9440 section 2
        Dialect("rfc9440", composed=("Client-Cert", "Client-Cert-Chain")),
        # Envoy, Istio; Cloud Foundry uses the same name for bare base64 DER
        Dialect("xfcc", composed=("X-Forwarded-Client-Cert",)),
        Dialect(
            "traefik",
            composed=("X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info"),
        ),
        Dialect(
            "aws-alb",
            others=("X-Amzn-Mtls-Clientcert",),
            composed=(
                "X-Amzn-Mtls-Clientcert-Serial-Number",
                "X-Amzn-Mtls-Clientcert-Issuer",
                "X-Amzn-Mtls-Clientcert-Subject",
                "X-Amzn-Mtls-Clientcert-Validity",
                "X-Amzn-Mtls-Clientcert-Leaf",
            ),
        ),
        Dialect("azure-arr", composed=("X-ARR-ClientCert",)),
        # HAProxy's examples and the twelve names of the OpenShift router (CVE-2026-46579)
        Dialect(
            "haproxy",
            others=("X-SSL-Client-Session-ID", "X-SSL-Subject", "X-SSL-Server-Verify"),
            composed=(
                "X-SSL",
                "X-SSL-Client-Verify",
                "X-SSL-Client-DN",
                "X-SSL-Client-CN",
                "X-SSL-Issuer",
                "X-SSL-Client-Serial",
                "X-SSL-Client-SHA1",
                "X-SSL-Client-Version",
                "X-SSL-Client-NotBefore",
                "X-SSL-Client-NotAfter",
                "X-SSL-Client-SAN",
                "X-SSL-Client-DER",
            ),
        ),
        Dialect(
            "ingress-nginx",
            composed=(
                "SSL-Client-Cert",
                "SSL-Client-Verify",
                "SSL-Client-Subject-DN",
                "SSL-Client-Issuer-DN",
            ),
        ),
        Dialect("handclasp", composed=("X-Handclasp-Identity",)),
    )
}

OTHER_IDENTITY_HEADERS: tuple[str, ...] = (
    "X-Forwarded-Tls-Client-Cert-Infos",
    "X-Client-Verified",
    "X-SSL-Client-Verified",
    "X-TLS-Client-Cert",
    "X-SSL-Cert-Chain",
    "X-Client-Cert-Subject",
    "X-Client-Cert-Issuer",
    "X-Client-Cert-Fingerprint",
    "X-Client-Cert-DN",
    "X-Client-Cert-Verified",
    "Remote-User",
    "X-Remote-User",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Original-Client-Cert",
    # Apache's and Tomcat's (SSLValve) names, as CGI spells them
    "SSL-Client-Escaped-Cert",
    "SSL-Client-I-DN",
    "SSL-Client-S-DN",
    "SSL-Client-S-DN-CN",
    "SSL-Client-M-Serial",
    "SSL-Client-Serial",
    "SSL-Client-Fingerprint",
    "SSL-Client-V-End",
    "SSL-Client-V-Start",
    "WL-Proxy-Client-Cert",  # WebLogic
    "X-SPIFFE-ID",
    "X-Forwarded-mTLS-Client-Cert",  # Airlock
    "Cf-Client-Cert-Der-Base64",  # Cloudflare
    "CloudFront-Viewer-Cert-Serial-Number",
    "CloudFront-Viewer-Cert-Issuer",
    "CloudFront-Viewer-Cert-Subject",
    "CloudFront-Viewer-Cert-Present",
    "CloudFront-Viewer-Cert-Sha256",
    "CloudFront-Viewer-Cert-Validity",
    "CloudFront-Viewer-Cert-Pem",
    "X-Client-Cert-Leaf",  # usual names of Google Cloud's custom headers
    "X-Client-Cert-Chain",
    "X-Client-Cert-Present",
    "X-Client-Cert-Chain-Verified",
    "X-Client-Cert-Error",
    "X-Client-Cert-Hash",
    "X-Client-Cert-Serial-Number",
    "X-Client-Cert-SPIFFE",
    "X-Client-Cert-URI-SANs",
    "X-Client-Cert-DNSName-SANs",
    "X-Client-Cert-Valid-Not-Before",
    "X-Client-Cert-Valid-Not-After",
    "X-Client-Cert-Issuer-DN",
    "X-Client-Cert-Subject-DN",
    "l5d-client-id",  # Linkerd
    # Users and groups, as a proxy that authenticates them is to pass them on
    "X-Remote-Group",  # Kubernetes, authenticating proxy
    "X-Remote-Uid",
    "X-WEBAUTH-USER",  # Grafana and Gitea, authentication by proxy
    "X-WEBAUTH-NAME",
    "X-WEBAUTH-FULLNAME",
    "X-WEBAUTH-EMAIL",
    "X-WEBAUTH-GROUPS",
    "X-WEBAUTH-ROLE",
    "X-Authenticated-User",  # Blue Coat, Websense; Etherpad's ep_headerauth
    "X-Authenticated-Userid",  # Kong, OAuth 2.0
    "X-Authenticated-Scope",
    "X-Authenticated-Groups",  # Kong, LDAP
    "X-Consumer-Username",  # Kong
    "X-Consumer-ID",
    "X-Consumer-Custom-ID",
    "X-Consumer-Groups",
    "X-Credential-Identifier",
    "X-Anonymous-Consumer",
    "X-Amzn-Oidc-Identity",  # AWS ALB
    "X-Amzn-Oidc-Accesstoken",
    "X-Amzn-Oidc-Data",
    "X-User",  # Ory Oathkeeper's mutator, CloudBeaver
    "X-Auth-Request-Groups",  # oauth2-proxy
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Access-Token",
    "Remote-Groups",  # Authelia
    "Remote-Name",
    "Remote-Email",
    "X-Goog-Authenticated-User-Email",  # Google's Identity-Aware Proxy
    "X-Goog-Authenticated-User-ID",
    "X-MS-Client-Principal",  # Azure App Service
    "X-MS-Client-Principal-ID",
    "X-MS-Client-Principal-Name",
    "X-MS-Client-Principal-IDP",
    "Cf-Access-Authenticated-User-Email",  # Cloudflare Access
    "Tailscale-User-Login",  # tailscale serve
    "Tailscale-User-Name",
)

FORWARDING_HEADERS: tuple[str, ...] = (
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "HTTP2-Settings",
    "Forwarded",
    "X-Forwarded-Access-Token",
    "X-Forwarded-By",
    "X-Forwarded-Client-IP",
    "X-Forwarded-Email",
    "X-Forwarded-For",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Real-IP",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-URL",
    "X-Original-URI",  # nginx's documentation of auth_request
    "X-Original-Method",  # ingress-nginx, external authentication
    "X-Rewrite-URL",
    "X-Script-Name",  # Radicale, Werkzeug's recipe of a proxied application
    "X-Scheme",  # ingress-nginx
    "X-Url-Scheme",  # Drupal and older Python servers
    "Front-End-Https",  # Microsoft's ISA Server and Exchange, Ruby's Rack
    "X-Envoy-Original-Path",  # Envoy, as all of them
    "X-Envoy-Original-Host",
    "X-Envoy-External-Address",
    "X-Envoy-Internal",
    "X-Middleware-Subrequest",  # Next.js skips its middleware for it (CVE-2025-29927)
    "Proxy",  # becomes HTTP_PROXY in CGI (httpoxy)
)

INSIDE_HEADERS: tuple[str, ...] = (
    "X-Handclasp-Link",
    "X-Handclasp-Rule",
    "X-Handclasp-Policy",
    "X-Handclasp-Verify",
    "X-Handclasp-Certificate",
    "HC-Reason",
    "HC-Hop",
)
"""Ours between nginx and the agent (nginx.render.authorizer): no caller has any business with them."""


def stripped_headers(extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names removed from what callers send, each in its hyphen and underscore spelling, sorted.

    `extra` are names that a spec configures. Lower-case, since matching ignores case.
    """
    names = {
        name.lower()
        for name in (
            *(header for dialect in DIALECTS.values() for header in dialect.headers),
            *OTHER_IDENTITY_HEADERS,
            *FORWARDING_HEADERS,
            *INSIDE_HEADERS,
            *extra,
        )
    }
    return tuple(sorted(names | {name.replace("-", "_") for name in names}))
