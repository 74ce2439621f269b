"""Every header in which some proxy passes a client's identity: the dialects, and with `believed` all that
is stripped.

The renderer strips these from what callers send, the encoders write them, tests attack with them.
Names are as their documentation spells them; matching is case-insensitive, and `_` counts as `-`,
because WSGI and CGI fold both into one key.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from handclasp.backend.believed import FORWARDING_HEADERS, OTHER_IDENTITY_HEADERS


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
