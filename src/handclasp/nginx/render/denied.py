"""Certificates that are refused by serial from one request to the next, where nginx decides by itself.

A file per certificate: nginx looks whether it is there, on open connections and resumed sessions too. A
serial is unique under one issuer only, so the directory is the issuer's.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from typing import TYPE_CHECKING

from handclasp.certs.dn import DistinguishedNameError, escape_value, parse
from handclasp.certs.dn_attributes import SHORT_NAMES
from handclasp.nginx.render.text import block, entry, identifier
from handclasp.spec.access import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from handclasp.certs.dn import Attribute
    from handclasp.nginx.parts import IngressServer
    from handclasp.nginx.render.context import Context

_BLANKS = re.compile(r"[ \t\n\v\f\r]+")
_BLANK = r"(?:\\?\x20|\\0[9A-D])"
"""A blank as nginx shows it."""
_MOST_TURNED = 4


def issuer_directory(trust: str, name: str) -> str:
    """Name of an issuer's directory; ``name`` as nginx shows it in `$ssl_client_i_dn`. Each trust has its
    own: what one's revocation lists name is nothing to a link whose trust has none."""
    return hashlib.sha256(f"{trust}\n{name}".encode()).hexdigest()[:32]


def issuer_pattern(name: str) -> str:
    """Matches, without case, what OpenSSL takes for the same name: a certificate may spell its issuer in
    another case or with other blanks than the CA does, before, between and after words (X509_NAME_cmp;
    RFC 5280 section 7.1). nginx shows a tab or a line end as `\\09` or `\\0A`, and the first and last blank
    of a value as `\\ `."""
    try:
        parsed = parse(name)
    except DistinguishedNameError:
        return re.escape(name)
    return ",".join(
        _relative_pattern([_attribute_pattern(one) for one in rdn]) for rdn in parsed.rdns
    )


def _relative_pattern(attributes: Sequence[str]) -> str:
    """The attributes of one relative name are a set, which nginx shows in the order of their encoding: it
    depends on the spelling (X.690 section 11.6)."""
    if not 1 < len(attributes) <= _MOST_TURNED:
        return r"\+".join(attributes)
    orders = (r"\+".join(order) for order in itertools.permutations(attributes))
    return f"(?:{'|'.join(orders)})"


def _attribute_pattern(attribute: Attribute) -> str:
    kind, _, _ = str(attribute).partition("=")
    if isinstance(attribute.value, bytes) or attribute.oid not in SHORT_NAMES:
        return re.escape(str(attribute))
    words = [_word_pattern(one) for one in _BLANKS.split(attribute.value) if one]
    return rf"{re.escape(kind)}={_BLANK}*{f'{_BLANK}+'.join(words)}{_BLANK}*"


def _word_pattern(word: str) -> str:
    # A `#` is escaped where the value begins with it, which blanks before it change.
    rest = word.removeprefix("#")
    return (r"\\?\#" if rest != word else "") + re.escape(escape_value(f"-{rest}-")[1:-1])


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
