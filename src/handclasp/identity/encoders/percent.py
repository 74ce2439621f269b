"""Dialects that carry URL-encoded PEM: x-client-cert, x-ssl-cert, ingress-nginx and aws-alb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes

from handclasp.backend.certificate import serial_text
from handclasp.backend.dialects import DIALECTS, Field
from handclasp.identity.encoders.escaping import (
    aws_escaped,
    month,
    nginx_escaped,
    plain_name,
)

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.identity.caller import Caller
    from handclasp.identity.encoders.style import Style

Headers = list[tuple[str, str]]


def native(dialect: str, caller: Caller | None, style: Style) -> Headers:
    """What stock nginx writes for `dialect`, to the byte, so that a link may change over.

    Only a blank at the end of a name is a hex pair here: receivers cut it off.
    """
    names = DIALECTS[dialect].fields | dict(style.names)
    if caller is None:
        return [(names[Field.VERIFY], "NONE")]
    values = {
        Field.CERTIFICATE: nginx_escaped([caller.certificate]),
        Field.VERIFY: "SUCCESS",
        Field.SUBJECT: plain_name(caller.subject),
        Field.ISSUER: plain_name(caller.issuer),
        Field.SERIAL: serial_text(caller.serial),
        # SHA-1, since that is what $ssl_client_fingerprint is and what backends compare.
        Field.FINGERPRINT: caller.certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303
        Field.NOT_AFTER: _openssl_date(caller.not_after),
    }
    return [(names[field], values[field]) for field in names]


def ingress_nginx(caller: Caller | None, _: Style) -> Headers:
    """The four headers of the retired ingress-nginx (its nginx.tmpl)."""
    if caller is None:
        return [("SSL-Client-Verify", "NONE")]
    return [
        ("SSL-Client-Cert", nginx_escaped([caller.certificate])),
        ("SSL-Client-Verify", "SUCCESS"),
        ("SSL-Client-Subject-DN", plain_name(caller.subject)),
        ("SSL-Client-Issuer-DN", plain_name(caller.issuer)),
    ]


def aws_alb(caller: Caller | None, _: Style) -> Headers:
    """The five headers of an Application Load Balancer in verify mode."""
    if caller is None:
        return []
    valid = f"NotBefore={_iso(caller.not_before)};NotAfter={_iso(caller.not_after)}"
    return [
        ("X-Amzn-Mtls-Clientcert-Serial-Number", serial_text(caller.serial)),
        ("X-Amzn-Mtls-Clientcert-Issuer", plain_name(caller.issuer)),
        ("X-Amzn-Mtls-Clientcert-Subject", plain_name(caller.subject)),
        ("X-Amzn-Mtls-Clientcert-Validity", valid),
        ("X-Amzn-Mtls-Clientcert-Leaf", aws_escaped([caller.certificate])),
    ]


def _openssl_date(moment: datetime) -> str:
    """`Jan  1 00:00:00 2027 GMT` (ASN1_TIME_print)."""
    clock = f"{moment.hour:02}:{moment.minute:02}:{moment.second:02}"
    return f"{month(moment.month)} {moment.day:2} {clock} {moment.year} GMT"


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat() + "Z"
