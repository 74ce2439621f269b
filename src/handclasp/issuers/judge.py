"""Is what came what was asked for? Pure.

An issuer is another program, often on another machine, with a policy and a clock of its own. What it gives
is used only if this finds nothing; else what is served goes on being served.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.ca.names import shown_name
from handclasp.ca.profile import Use, general_names
from handclasp.certs import facts
from handclasp.certs.chain import order
from handclasp.certs.checks import Role, check_identity
from handclasp.certs.material import IdentityMaterial, TokenKey
from handclasp.certs.private_keys import spki
from handclasp.findings import Finding, Where, errors_in, found

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from handclasp.certs.secret import Secret
    from handclasp.issuers.protocol import Wanted
    from handclasp.spec.pkcs11_uri import Pkcs11Uri

SKEW = timedelta(minutes=5)
"""An issuer's clock may be ahead by this much; the certificate is then held back until it begins."""
SHORTEST = timedelta(seconds=5)
"""What ends sooner could not be put into effect before it ends."""
_ROLES = {
    Use.CLIENT: (Role.CLIENT,),
    Use.SERVER: (Role.SERVER,),
    Use.BOTH: (Role.CLIENT, Role.SERVER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What an issuer gave, put in order. ``key`` is where the certificate's key is: here or in a token.
    ``unlinked`` belongs to no chain of the leaf."""

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    root: x509.Certificate | None
    key: Secret[PrivateKeyTypes] | Pkcs11Uri
    unlinked: tuple[x509.Certificate, ...] = ()

    @property
    def begins(self) -> datetime:
        """From when on all of it is valid."""
        return max(one.not_valid_before_utc for one in (self.leaf, *self.chain))

    @property
    def ends(self) -> datetime:
        """When the first of it ends: a leaf is worth nothing below a CA that has ended."""
        return min(one.not_valid_after_utc for one in (self.leaf, *self.chain))


def in_order(
    certificates: Sequence[x509.Certificate],
    key: Secret[PrivateKeyTypes] | Pkcs11Uri,
    public: PublicKeyTypes,
) -> Given | None:
    """What was given, leaf first and without what does not belong to it; None for nothing."""
    ordered = order(certificates, key=public)
    if ordered is None:
        return None
    return Given(
        leaf=ordered.leaf,
        chain=ordered.chain,
        root=ordered.root,
        key=key,
        unlinked=ordered.unlinked,
    )


def judge(
    wanted: Wanted,
    given: Given,
    *,
    issuer: str,
    public: PublicKeyTypes,
    now: datetime,
) -> tuple[Finding, ...]:
    """What forbids using it; empty when it is what was asked for. `issuer` is its name in the spec."""
    where = Where(path=f"issuers.{issuer}")
    leaf = given.leaf
    if spki(leaf.public_key()) != spki(public):
        seen = f"the certificate {facts.label(leaf)} is for another key than the request's"
        return (found("issued-for-another-key", seen, where=where),)
    findings = [
        *_names(wanted, leaf, where),
        *_kind(given, where),
        *_times(given, where, now=now),
        *_age(wanted, leaf, where),
        *_usable(wanted, given, where, public=public, now=now),
    ]
    return tuple(dict.fromkeys(findings))


def sentence(findings: Iterable[Finding]) -> str:
    """The first of the findings as part of a sentence, and how many there are beside it."""
    told = [one.seen for one in findings]
    more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
    return f"{told[0]}{more}"


def _names(wanted: Wanted, leaf: x509.Certificate, where: Where) -> list[Finding]:
    held = {_comparable(name) for name in general_names(leaf)}
    missing = [name for name in wanted.names if _comparable(name) not in held]
    if not missing:
        return []
    listed = ", ".join(map(shown_name, missing))
    seen = f"the certificate {facts.label(leaf)} lacks {listed}"
    return [found("issued-names-missing", seen, where=where)]


def _kind(given: Given, where: Where) -> list[Finding]:
    """A CA is no leaf, and CAs of which none issued the leaf are no chain (of a root there are none)."""
    findings, label = [], facts.label(given.leaf)
    if facts.is_ca(given.leaf):
        seen = f"the certificate {label} is a CA's (CA:TRUE)"
        findings.append(found("issued-ca-certificate", seen, where=where))
    if given.unlinked and not given.chain and given.root is None:
        seen = (
            f"none of the certificates that came with {label} issued it, such as"
            f" {facts.label(given.unlinked[0])}"
        )
        findings.append(found("issued-chain-wrong", seen, where=where))
    return findings


def _comparable(name: x509.GeneralName) -> tuple[str, str]:
    """DNS names without regard to case (RFC 4343), and the host of a mailbox too (RFC 5280 section 7.5)."""
    value = str(getattr(name, "value", ""))
    if isinstance(name, x509.DNSName):
        value = value.lower()
    elif isinstance(name, x509.RFC822Name):
        mailbox, at, host = value.rpartition("@")
        value = mailbox + at + host.lower()
    return type(name).__name__, value


def _times(given: Given, where: Where, *, now: datetime) -> list[Finding]:
    """Beyond what `check_identity` says of dates."""
    label = facts.label(given.leaf)
    if now <= given.ends < now + SHORTEST:
        left = (given.ends - now).total_seconds()
        seen = f"the certificate {label} or a CA above it ends in {left:g} s"
        return [found("issued-lifetime-too-short", seen, where=where)]
    return []


def _age(wanted: Wanted, leaf: x509.Certificate, where: Where) -> list[Finding]:
    """Of one and the same CA: begins are its own, and another's may be set back further."""
    current = wanted.current
    if current is None or current.issuer != leaf.issuer:
        return []
    if leaf == current:
        seen = f"the certificate {facts.label(leaf)} is the one in use already"
    elif leaf.not_valid_before_utc < current.not_valid_before_utc:
        seen = (
            f"the certificate {facts.label(leaf)} began on {facts.date(leaf.not_valid_before_utc)}, before"
            " the one in use"
        )
    else:
        return []
    return [found("issued-older-than-current", seen, where=where)]


def _usable(
    wanted: Wanted, given: Given, where: Where, *, public: PublicKeyTypes, now: datetime
) -> list[Finding]:
    """What would be said of the same certificate in a file, as far as it forbids its use."""
    in_token = not hasattr(given.key, "reveal")
    material = IdentityMaterial(
        name=wanted.identity,
        certificate_file=PurePath("certificate"),
        key_file=PurePath("key"),
        leaf=given.leaf,
        chain=given.chain,
        root=given.root,
        key=None if in_token else given.key,  # type: ignore[arg-type]
        token=TokenKey(uri=given.key, public=public) if in_token else None,  # type: ignore[arg-type]
    )
    # A clock that is ahead by little is waited for; see SKEW.
    at = max(now, given.begins) if given.begins <= now + SKEW else now
    findings: list[Finding] = []
    for role in _ROLES[wanted.use]:
        findings += check_identity(material, role=role, now=at)
    return [
        Finding(one.slug, one.code, one.severity, one.seen, one.fix, where)
        for one in errors_in(findings)
    ]
