"""Certificates that are refused by serial from one request to the next, where nginx decides by itself.

A file per certificate: nginx looks whether it is there, on open connections and resumed sessions too. A
serial is unique under one issuer only, so the directory is the issuer's.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from handclasp.nginx.render.text import block, entry, identifier
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.nginx.parts import IngressServer
    from handclasp.nginx.render.context import Context


def issuer_directory(trust: str, name: str) -> str:
    """Name of an issuer's directory; ``name`` as nginx shows it in `$ssl_client_i_dn`. Each trust has its
    own: what one's revocation lists name is nothing to a link whose trust has none."""
    return hashlib.sha256(f"{trust}\n{name}".encode()).hexdigest()[:32]


def issuer_pattern(name: str) -> str:
    """Matches what OpenSSL takes for the same name: a certificate may spell its issuer in another case or
    with other blanks than the CA does (X509_NAME_cmp; RFC 5280 section 7.1)."""
    return " +".join(re.escape(part) for part in re.split(" +", name))


def issuer_map(server: IngressServer) -> list[str]:
    """`$hc_issuer_LINK`: the directory of the certificate's issuer; empty for one that is not known here."""
    if server.authorizer:
        return []
    body = ['default "";']
    body += [
        entry(rf"~*\A{issuer_pattern(name)}\z", issuer_directory(server.trust, name))
        for name in server.issuers
    ]
    return block("map", "$ssl_client_i_dn", _issuer_variable(server.link), body=body)


def denied_directives(
    server: IngressServer, context: Context, refuse: Callable[..., list[str]]
) -> list[str]:
    """The look at the file; `refuse` makes the `if` of a condition."""
    file = f"{context.layout.denied}/{_issuer_variable(server.link)}/$ssl_client_serial"
    return refuse("-f", file, reason=Reason.DENIED)


def _issuer_variable(link: str) -> str:
    return f"$hc_issuer_{identifier(link)}"
