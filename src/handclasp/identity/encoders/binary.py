"""Dialects that carry base64 of DER: rfc9440, azure-arr and haproxy."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.backend.certificate import serial_text
from handclasp.identity.encoders.escaping import listable, plain_name
from handclasp.identity.names import COMMON_NAME

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509

    from handclasp.identity.caller import Caller
    from handclasp.identity.encoders.style import Style

Headers = list[tuple[str, str]]
_SPECIAL = '"\\,;%'
_SAN_LABELS = {"ip": "IP Address", "uri": "URI", "dns": "DNS", "email": "email"}


def rfc9440(caller: Caller | None, _: Style) -> Headers:
    """Client-Cert, and Client-Cert-Chain when the path is known and longer than the leaf.

    RFC 9440 sections 2.2 and 2.3: byte sequences of RFC 8941, the chain a list without the leaf; the
    trust anchor is left out, as it may be.
    """
    if caller is None:
        return []
    headers = [("Client-Cert", _byte_sequence(caller.certificate))]
    if caller.chain is not None and caller.chain.intermediates:
        links = ", ".join(_byte_sequence(one) for one in caller.chain.intermediates)
        headers.append(("Client-Cert-Chain", links))
    return headers


def azure_arr(caller: Caller | None, _: Style) -> Headers:
    """X-ARR-ClientCert as Azure App Service writes it: base64 of the DER and nothing else."""
    return [] if caller is None else [("X-ARR-ClientCert", _base64(caller.certificate))]


def haproxy(caller: Caller | None, _: Style) -> Headers:
    """The headers of HAProxy's examples and of the OpenShift router, names in the form `rfc2253`.

    X-SSL-Client-Verify is OpenSSL's code, 0 for verified. HAProxy sends 0 without a certificate as well;
    here it is left out then.
    """
    headers = [("X-SSL", "1")]
    if caller is None:
        return headers
    return [
        *headers,
        ("X-SSL-Client-Verify", "0"),
        ("X-SSL-Client-DN", plain_name(caller.subject)),
        ("X-SSL-Client-CN", _common_name(caller)),
        ("X-SSL-Issuer", plain_name(caller.issuer)),
        ("X-SSL-Client-Serial", serial_text(caller.serial)),
        ("X-SSL-Client-SHA1", caller.certificate.fingerprint(hashes.SHA1()).hex().upper()),  # noqa: S303
        ("X-SSL-Client-Version", str(caller.certificate.version.value + 1)),
        ("X-SSL-Client-NotBefore", _compact_date(caller.not_before)),
        ("X-SSL-Client-NotAfter", _compact_date(caller.not_after)),
        ("X-SSL-Client-SAN", _alternative_names(caller)),
        ("X-SSL-Client-DER", _base64(caller.certificate)),
    ]


def _common_name(caller: Caller) -> str:
    """The CN when there is exactly one and it is printable ASCII; a reader would have to guess else."""
    if caller.name is None or caller.name.count(COMMON_NAME) != 1:
        return ""
    value = "".join(caller.name.values(COMMON_NAME))
    plain = value.isascii() and value.isprintable() and value == value.strip(" ")
    return value if plain and not any(sign in value for sign in _SPECIAL) else ""


def _alternative_names(caller: Caller) -> str:
    """`DNS:…, URI:…` as `ssl_c_san` prints them; left out where a name could pass for two."""
    values = tuple(san.partition(":")[2] for san in caller.sans)
    if not listable(values, forbidden='",\\'):
        return ""
    known = (san.partition(":") for san in caller.sans)
    return ", ".join(
        f"{_SAN_LABELS[kind]}:{value}" for kind, _, value in known if kind in _SAN_LABELS
    )


def _byte_sequence(certificate: x509.Certificate) -> str:
    return f":{_base64(certificate)}:"


def _base64(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _compact_date(moment: datetime) -> str:
    """YYMMDDhhmmssZ, as `ssl_c_notafter`."""
    return moment.strftime("%y%m%d%H%M%SZ")
