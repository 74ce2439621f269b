"""Allow rules compiled to tests of a caller. Each rule says what it holds for, and holds for nothing else.

`any`         every verified certificate
`cn:VALUE`    the only CN of the subject is VALUE (with several, which one counts is a matter of opinion)
`ou:VALUE`    one of the subject's OUs is VALUE
`dn:DN`       the subject is DN, by structure (`names`)
`dns:NAME`    a dNSName is NAME, without case; `*.NAME` stands for exactly one label before NAME
`spiffe://…`  the certificate is an X.509-SVID with this ID; at the end of the path, `/*` stands for one or
              more segments, and N of them for N or more. Trust domain without case, path exactly
`uri:URI`     a URI name is URI, to the letter
`email:ADDR`  a mailbox is ADDR: local part exactly, domain without case; `*@DOMAIN` any local part. One
              that is no RFC 5321 mailbox (`" ops"@DOMAIN`, ` ops@DOMAIN`) is nobody's
`ip:ADDR`     an address name is ADDR, or lies in the network ADDR/PREFIX
`issuer:X`    the CA that signed the certificate, by the path to the trust bundle: the SHA-256 of its key,
              or its DN. Without such a path no issuer rule holds
`sha256:HEX`  the certificate's own SHA-256
`spki:HEX`    the SHA-256 of its key (SubjectPublicKeyInfo)

Wildcards in a certificate's own names are never expanded.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from handclasp.backend.identity import spiffe_id
from handclasp.certs.dn import subject_text
from handclasp.certs.private_keys import spki
from handclasp.identity.names import COMMON_NAME, ORGANIZATIONAL_UNIT, read_name
from handclasp.spec.names import check_host_name, shown
from handclasp.spec.values import AllowKind, AllowRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cryptography import x509

    from handclasp.identity.caller import Caller

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
_HEX = re.compile(r"[0-9a-f]{64}")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
# RFC 5321 section 4.1.2, Dot-string or Quoted-string; not with what programs cut off or at: no blank at
# the ends, no @ inside.
_LOCAL_PART = re.compile(rf'{_ATOM}(?:\.{_ATOM})*|"(?!\\? )(?:[ !#-?A-\[\]-~]|\\[ -?A-~])+(?<! )"')
_BASE64 = re.compile(r"[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True, slots=True)
class Rule:
    """An allow rule that can be asked."""

    written: AllowRule
    holds: Callable[[Caller], bool] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return str(self.written)


def compile_rule(rule: AllowRule) -> Rule:
    """Raises ValueError, with a sentence for people, for a value that can hold for nobody."""
    return Rule(rule, _COMPILERS[rule.kind](rule.value))


def compile_rules(rules: Iterable[AllowRule]) -> tuple[Rule, ...]:
    """As `compile_rule`, for all of a list."""
    return tuple(compile_rule(rule) for rule in rules)


def needs_chain(rules: Iterable[Rule]) -> bool:
    """Whether a rule asks for the issuer, so that the path to the trust bundle is needed."""
    return any(rule.written.kind is AllowKind.ISSUER for rule in rules)


def _any(_: str) -> Callable[[Caller], bool]:
    return lambda _: True


def _cn(value: str) -> Callable[[Caller], bool]:
    def holds(caller: Caller) -> bool:
        name = caller.name
        return (
            name is not None
            and name.count(COMMON_NAME) == 1
            and name.values(COMMON_NAME) == (value,)
        )

    return holds


def _ou(value: str) -> Callable[[Caller], bool]:
    return lambda caller: (
        caller.name is not None and value in caller.name.values(ORGANIZATIONAL_UNIT)
    )


def _dn(value: str) -> Callable[[Caller], bool]:
    wanted = read_name(value)
    if not wanted.rdns:
        raise ValueError("dn: an empty name is nobody's")
    return lambda caller: caller.name == wanted


def _dns(value: str) -> Callable[[Caller], bool]:
    star, _, parent = value.partition("*.")
    if star or "*" in parent:
        parent = ""
    if not value.startswith("*."):
        if "*" in value:
            raise ValueError(f"dns:{value}: a * stands for the whole first label only, as *.NAME")
        wanted = check_host_name(value)
        return lambda caller: any(
            wanted == name.lower() for name in caller.alternative_names("dns")
        )
    if "." not in parent.removesuffix("."):
        raise ValueError(f"dns:{value}: a * needs at least two labels after it")
    suffix = f".{check_host_name(parent)}"

    def holds(caller: Caller) -> bool:
        for name in caller.alternative_names("dns"):
            given = name.lower()
            if given.endswith(suffix) and _LABEL.fullmatch(given.removesuffix(suffix)):
                return True
        return False

    return holds


def _spiffe(value: str) -> Callable[[Caller], bool]:
    fixed, stars = value, 0
    while fixed.endswith("/*"):
        fixed, stars = fixed.removesuffix("/*"), stars + 1
    wanted = spiffe_id((fixed,))
    if wanted is None:
        raise ValueError(
            f"{shown(value)} is not a SPIFFE ID (spiffe://TRUST-DOMAIN/PATH without port, query,"
            " empty or dot segments); a * stands for whole segments at the end only"
        )
    if not stars:
        if wanted.count("/") < 3:
            raise ValueError(
                f"{shown(value)} names a trust domain and no workload; write"
                f" {fixed.rstrip('/')}/* for all of it"
            )
        return lambda caller: caller.spiffe_id == wanted

    def holds(caller: Caller) -> bool:
        given = caller.spiffe_id
        if given is None or not given.startswith(f"{wanted}/"):
            return False
        return given.removeprefix(wanted).count("/") >= stars

    return holds


def _uri(value: str) -> Callable[[Caller], bool]:
    if not value.isascii() or ":" not in value or " " in value:
        raise ValueError(f"uri:{shown(value)} is not a URI in ASCII with a scheme")
    return lambda caller: value in caller.alternative_names("uri")


def _email(value: str) -> Callable[[Caller], bool]:
    local, at, domain = value.rpartition("@")
    if not at or (local != "*" and not _LOCAL_PART.fullmatch(local)):
        raise ValueError(f"email:{shown(value)} is not a mailbox; write NAME@DOMAIN or *@DOMAIN")
    wanted = check_host_name(domain)

    def holds(caller: Caller) -> bool:
        for name in caller.alternative_names("email"):
            given, _, at_domain = name.rpartition("@")
            is_mailbox = _LOCAL_PART.fullmatch(given) and at_domain.lower() == wanted
            if is_mailbox and local in ("*", given):
                return True
        return False

    return holds


def _ip(value: str) -> Callable[[Caller], bool]:
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"ip:{shown(value)}: {error}") from None

    def holds(caller: Caller) -> bool:
        for name in caller.alternative_names("ip"):
            try:
                address = ipaddress.ip_address(name)
            except ValueError:  # a network, as name constraints have it: no one's address
                continue
            if address in network:
                return True
        return False

    return holds


def issuer_is(value: str) -> Callable[[x509.Certificate], bool]:
    """Which CA a rule `issuer:VALUE` means. Raises ValueError for a value that means none."""
    digest = _digest(value)
    if digest is not None:
        return lambda ca: hashlib.sha256(spki(ca.public_key())).hexdigest() == digest
    if "=" not in value:
        raise ValueError(
            f"issuer:{shown(value)} is neither the SHA-256 of a CA's key, 64 hex digits,"
            " nor a distinguished name"
        )
    wanted = read_name(value)

    def is_meant(ca: x509.Certificate) -> bool:
        try:
            return read_name(subject_text(ca)) == wanted
        except ValueError:
            return False

    return is_meant


def _issuer(value: str) -> Callable[[Caller], bool]:
    is_meant = issuer_is(value)
    return lambda caller: caller.chain is not None and is_meant(caller.chain.issuer)


def _sha256(value: str) -> Callable[[Caller], bool]:
    wanted = _needed_digest("sha256", value)
    return lambda caller: caller.sha256 == wanted


def _spki(value: str) -> Callable[[Caller], bool]:
    wanted = _needed_digest("spki", value)
    return lambda caller: caller.spki_sha256 == wanted


def _needed_digest(kind: str, value: str) -> str:
    digest = _digest(value)
    if digest is None:
        raise ValueError(f"{kind}:{shown(value)} is not a SHA-256: 64 hex digits, or base64")
    return digest


def _digest(value: str) -> str | None:
    """Hex, colons allowed, or base64 as key pins are often written; None for anything else."""
    text = value.replace(":", "").lower()
    if _HEX.fullmatch(text):
        return text
    pin = value.removeprefix("sha256//").removeprefix("sha256/")
    if _BASE64.fullmatch(pin):
        try:
            return base64.b64decode(pin, validate=True).hex()
        except binascii.Error:
            return None
    return None


_COMPILERS: dict[AllowKind, Callable[[str], Callable[[Caller], bool]]] = {
    AllowKind.ANY: _any,
    AllowKind.CN: _cn,
    AllowKind.OU: _ou,
    AllowKind.DN: _dn,
    AllowKind.DNS: _dns,
    AllowKind.SPIFFE: _spiffe,
    AllowKind.URI: _uri,
    AllowKind.EMAIL: _email,
    AllowKind.IP: _ip,
    AllowKind.ISSUER: _issuer,
    AllowKind.SHA256: _sha256,
    AllowKind.SPKI: _spki,
}
