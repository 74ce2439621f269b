"""`xfcc`: Envoy's X-Forwarded-Client-Cert.

Comma-separated elements, one for each hop, appended on the right; each `;`-separated `Key=Value`.
Envoy (source/common/http/conn_manager_utility.cc) puts the RFC 2253 subject between quotes as it is,
so `\\"` inside is the subject's own escape and stays; URI, DNS and By it does not quote at all.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from handclasp.backend.agreement import check_names, check_sha256, check_subject, identity_of
from handclasp.backend.certificate import check_certificate, read_leaf
from handclasp.backend.distinguished import parse_name
from handclasp.backend.encodings import pem_certificates, percent_decoded
from handclasp.backend.identity import (
    ClientIdentity,
    IdentityError,
    Reason,
    SubjectAltNames,
    shown,
)
from handclasp.backend.readers.reader import Reader, one_pem

if TYPE_CHECKING:
    from handclasp.backend.certificate import Leaf
    from handclasp.backend.readers.reader import Hop, Values

Pairs = list[tuple[str, str]]
"""Lower-case keys and values of one element, as they came."""
Element = dict[str, list[str]]
"""Lower-case key → its values."""

_NAME: Final = "x-forwarded-client-cert"
_REPEATABLE: Final = frozenset({"by", "uri", "dns"})
_KEYS: Final = _REPEATABLE | {"hash", "cert", "chain", "subject"}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def split(value: str) -> list[Pairs]:
    """The elements in header order, the nearest hop last: cut at commas and semicolons outside of quotes.

    Keys are looked at where an element is believed (`element`): one hop's mistake is not to deny what
    another says. Raises IdentityError.
    """
    found: list[Pairs] = [[]]
    position = 0
    while True:
        key, text, position = _pair(value, position)
        found[-1].append((key, text))
        if position >= len(value):
            return found
        if value[position] == ",":
            found.append([])
        position += 1


def element(pairs: Pairs) -> Element:
    """The values of each key. Raises IdentityError for an unknown key, or one that is there twice."""
    values: Element = defaultdict(list)
    for key, text in pairs:
        if key not in _KEYS:
            raise IdentityError(
                Reason.MALFORMED, f"no key of X-Forwarded-Client-Cert: {shown(key)}"
            )
        if key in values and key not in _REPEATABLE:
            raise IdentityError(Reason.DUPLICATE_KEY, f"{key} is there twice in one element")
        values[key].append(text)
    return dict(values)


def _pair(value: str, position: int) -> tuple[str, str, int]:
    equals = value.find("=", position)
    key = value[position:equals].strip(" \t").lower() if equals >= 0 else ""
    if not (key.isascii() and key.isalpha()):
        raise IdentityError(
            Reason.MALFORMED, f"no key of X-Forwarded-Client-Cert: {shown(value[position:])}"
        )
    start = equals + 1
    if value[start : start + 1] == '"':
        return key, *_quoted(value, start + 1)
    end = start
    while end < len(value) and value[end] not in ",;":
        if value[end] == '"':
            raise IdentityError(Reason.MALFORMED, f"a quote inside {key}, which is not quoted")
        end += 1
    return key, value[start:end].rstrip(" \t"), end


def _quoted(value: str, start: int) -> tuple[str, int]:
    """The text between the quotes, escapes kept, and the place of the separator after them."""
    end = start
    while end < len(value) and value[end] != '"':
        end += 2 if value[end] == "\\" else 1
    if end >= len(value):
        raise IdentityError(Reason.MALFORMED, "a quote is not closed")
    after = end + 1
    while value[after : after + 1] in (" ", "\t"):
        after += 1
    if after < len(value) and value[after] not in ",;":
        raise IdentityError(Reason.MALFORMED, "text goes on after a closing quote")
    return value[start:end], after


def _read(values: Values, hop: Hop) -> ClientIdentity | None:
    value = values.get(_NAME)
    if value is None:
        return None
    if value.startswith(("MII", "-----BEGIN")):
        raise IdentityError(
            Reason.MALFORMED,
            "a bare certificate, as Cloud Foundry sends it under this name: not this dialect",
        )
    found = split(value)
    if len(found) > 1 and hop == "only":
        raise IdentityError(
            Reason.SEVERAL_HOPS, f"{len(found)} elements, and no `hop` chosen to believe"
        )
    return _identity(element(found[0] if hop == "original" else found[-1]))


def _identity(values: Element) -> ClientIdentity:
    told = {key: texts[0] for key, texts in values.items() if key not in _REPEATABLE and texts[0]}
    uris, dns = (tuple(filter(None, values.get(key, []))) for key in ("uri", "dns"))
    if "cert" not in told and "chain" not in told:
        return _without_certificate(told, uris, dns)
    if "cert" in told:
        der, notes = one_pem(told["cert"])
    else:
        der, notes = b"", ()
    chain: tuple[bytes, ...] = ()
    if "chain" in told:
        members, more = pem_certificates(percent_decoded(told["chain"]))
        if not members or (der and members[0] != der):
            raise IdentityError(Reason.CONTRADICTION, "Chain does not begin with the leaf")
        der, notes = members[0], tuple(sorted({*notes, *more}))
        chain = tuple(check_certificate(member) for member in members[1:])
    leaf = read_leaf(der)
    check_sha256(leaf, told.get("hash"))
    _check_subject(leaf, told.get("subject"))
    check_names("URI", uris, leaf.sans.uri)
    check_names("DNS name", dns, leaf.sans.dns)
    return identity_of(leaf, "xfcc", chain=chain, notes=notes)


def _check_subject(leaf: Leaf, told: str | None) -> None:
    """As Envoy writes it, or with the quoting of the header on top of the subject's own escapes."""
    if told is None:
        return
    try:
        check_subject(leaf, told)
    except IdentityError as as_written:
        try:
            check_subject(leaf, _unescaped(told))
        except IdentityError:
            raise as_written from None


def _unescaped(text: str) -> str:
    """One level of backslashes off."""
    pieces: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        pieces.append(text[position : position + 1])
        position += 1
    return "".join(pieces)


def _without_certificate(
    told: dict[str, str], uris: tuple[str, ...], dns: tuple[str, ...]
) -> ClientIdentity:
    sha256 = told.get("hash")
    if sha256 is not None and (len(sha256) != 64 or not _HEX.issuperset(sha256)):
        raise IdentityError(Reason.MALFORMED, f"Hash is not SHA-256: {shown(sha256)}")
    subject = told.get("subject", "")
    if not (sha256 or subject or uris or dns):
        raise IdentityError(Reason.CERTIFICATE_MISSING, "the element names nobody")
    if not all(text.isascii() for text in (subject, *uris, *dns)):
        raise IdentityError(Reason.NOT_ASCII, "Envoy escapes what is not ASCII")
    parse_name(subject)
    return ClientIdentity(
        subject=subject,
        dialect="xfcc",
        sans=SubjectAltNames(uri=uris, dns=dns),
        sha256=sha256.lower() if sha256 else None,
    )


READER = Reader("xfcc", (_NAME,), _read)
