"""Envoy's X-Forwarded-Client-Cert, by its documentation and source (mutateXfccRequestHeader).

Envoy itself neither quotes By and URI nor escapes Subject. Here a value that holds a delimiter is quoted,
the subject is written without any sign that means something, and names that hold a quote, a backslash or
anything unprintable, or a delimiter and one of the keys after it, are left out: readers differ about
escapes inside quotes, and some split without looking at quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from handclasp.identity.encoders.escaping import guarded_name, listable, nginx_escaped
from handclasp.identity.encoders.style import Detail

if TYPE_CHECKING:
    from handclasp.identity.caller import Caller
    from handclasp.identity.encoders.style import Style

HEADER = "X-Forwarded-Client-Cert"
_DELIMITERS = ",;="
_QUOTED = ("Cert", "Chain", "Subject")
_PAIR_INSIDE = re.compile(r"[,;]\s*(?:by|hash|cert|chain|subject|uri|dns)=", re.IGNORECASE)
# A quote after an even run of backslashes: readers differ on whether the quote is escaped.
_DISPUTED = re.compile(r'(?<!\\)(?:\\\\)+"')


def xfcc(caller: Caller | None, style: Style) -> list[tuple[str, str]]:
    """One element, after those of `style.xfcc_previous` if there are any.

    Raises ValueError when what came before is not well formed: appended to an open quote, our element
    would be part of it.
    """
    previous = style.xfcc_previous
    if previous is not None and not well_formed(previous):
        raise ValueError("the X-Forwarded-Client-Cert of the earlier hop is not well formed")
    parts = [part for part in (previous, element(caller, style)) if part]
    return [(HEADER, ",".join(parts))]


def element(caller: Caller | None, style: Style) -> str:
    """`By=…;Hash=…;…` in Envoy's order; empty without a caller."""
    if caller is None:
        return ""
    details = style.xfcc_details
    pairs = [("By", uri) for uri in style.xfcc_by] if _listable(style.xfcc_by) else []
    pairs.append(("Hash", caller.sha256))
    if Detail.CERT in details:
        pairs.append(("Cert", nginx_escaped([caller.certificate])))
    if Detail.CHAIN in details and caller.chain is not None:
        links = [caller.certificate, *caller.chain.intermediates]
        pairs.append(("Chain", nginx_escaped(links)))
    if Detail.SUBJECT in details:
        pairs.append(("Subject", guarded_name(caller.subject)))
    for detail, key in ((Detail.URI, "URI"), (Detail.DNS, "DNS")):
        names = caller.alternative_names(detail)
        if detail in details and _listable(names):
            pairs += [(key, name) for name in names]
    return ";".join(f"{key}={_value(value, always=key in _QUOTED)}" for key, value in pairs)


def _listable(names: tuple[str, ...]) -> bool:
    return listable(names) and not any(_PAIR_INSIDE.search(unquote(name)) for name in names)


def well_formed(value: str) -> bool:
    """Printable ASCII, every quote closed by all ways of reading, nothing but `Key=Value` pairs."""
    if not value.isascii() or not value.isprintable() or _DISPUTED.search(value):
        return False
    pairs = _split(value)
    return pairs is not None and all("=" in pair and pair[0] not in '="' for pair in pairs)


def _split(value: str) -> list[str] | None:
    """Cut at `,` and `;` outside of quotes; None for an open quote or an empty part."""
    parts, current, quoted, position = [], "", False, 0
    while position < len(value):
        sign = value[position]
        if quoted and sign == "\\" and position + 1 < len(value):
            current += value[position : position + 2]
            position += 2
            continue
        if sign == '"':
            quoted = not quoted
        if sign in ",;" and not quoted:
            parts.append(current.strip(" "))
            current = ""
        else:
            current += sign
        position += 1
    parts.append(current.strip(" "))
    return None if quoted or not all(parts) else parts


def _value(value: str, *, always: bool) -> str:
    if always or any(sign in value for sign in _DELIMITERS):
        return f'"{value}"'
    return value
