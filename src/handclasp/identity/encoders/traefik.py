"""Traefik's passTLSClientCert: the certificates without armour, and the fields as escaped text.

Formats from pkg/middlewares/passtlsclientcert (v3): the PEM header is not URL-escaped since 2.9.4, the
info header is, by Go's QueryEscape. Traefik puts names in quotes unescaped; here they are RFC 4514 text
without any sign that could close the quote.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs.dn import DistinguishedNameError, escape_value, issuer_text, subject_text
from handclasp.identity.encoders.escaping import go_query_escaped, guarded_name, listable
from handclasp.identity.names import Name, read_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography import x509

    from handclasp.identity.caller import Caller
    from handclasp.identity.encoders.style import Style

# The attributes that Traefik shows, in its order, by its labels; OU is the subject's only.
_SHOWN = {
    "DC": "0.9.2342.19200300.100.1.25",
    "C": "2.5.4.6",
    "ST": "2.5.4.8",
    "L": "2.5.4.7",
    "O": "2.5.4.10",
    "OU": "2.5.4.11",
    "SN": "2.5.4.5",
    "CN": "2.5.4.3",
}
_SINGLE = ("SN", "CN")  # Go keeps the last one of these


def traefik(caller: Caller | None, style: Style) -> list[tuple[str, str]]:
    """Leaf first; the intermediates when the path is known."""
    if caller is None:
        return []
    above = caller.chain.intermediates if caller.chain is not None else ()
    headers = []
    if style.pem:
        bodies = ",".join(_body(one) for one in (caller.certificate, *above))
        headers.append(("X-Forwarded-Tls-Client-Cert", bodies))
    if style.info:
        headers.append(("X-Forwarded-Tls-Client-Cert-Info", go_query_escaped(_info(caller))))
    return headers


def _body(certificate: x509.Certificate) -> str:
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _info(caller: Caller) -> str:
    """Of the leaf alone: what Traefik says of intermediates tells a backend nothing it can use."""
    certificate = caller.certificate
    fields = {
        "Subject": _names(subject_text(certificate), list(_SHOWN)),
        "Issuer": _names(issuer_text(certificate), [one for one in _SHOWN if one != "OU"]),
        "SerialNumber": str(caller.serial),
        "NB": str(int(caller.not_before.timestamp())),
        "NA": str(int(caller.not_after.timestamp())),
        "SAN": _alternative_names(caller),
    }
    return ";".join(f'{key}="{value}"' for key, value in fields.items() if value)


def _names(text: str, labels: Sequence[str]) -> str:
    try:
        name = read_name(text)
    except DistinguishedNameError:
        return ""
    return ",".join(part for label in labels for part in _attributes(name, label))


def _attributes(name: Name, label: str) -> list[str]:
    # Text order is most specific first; a certificate's own order is the reverse.
    values = [value for value in reversed(name.values(_SHOWN[label])) if value]
    if label in _SINGLE:
        values = values[-1:]
    return [f"{label}={guarded_name(escape_value(value))}" for value in values]


def _alternative_names(caller: Caller) -> str:
    names = tuple(
        name for kind in ("dns", "email", "ip", "uri") for name in caller.alternative_names(kind)
    )
    return ",".join(names) if listable(names, forbidden='",;\\') else ""
