"""Which revocation lists are in force when their files changed: of each CA its newest, and never fewer by
mistake. Pure.

A CA keeps the list it had while its next one is missing, is not signed by it, or is older. Another look
at the whole spec (HUP) takes the files as they are, as nginx does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.agent.policies import genuine
from handclasp.certs.dn import name_text
from handclasp.certs.private_keys import spki
from handclasp.identity.denied import denied_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from handclasp.certs.material import TrustMaterial

_List = x509.CertificateRevocationList
_Scope = tuple[bytes, bytes, bytes, bool]
"""Whose list it is, by name and key, and for what: distribution point, and whether it is a delta."""


@dataclass(frozen=True, slots=True)
class Newer:
    """Lists to be in force from now on. `names_more`: they name certificates that those before did not."""

    trust: TrustMaterial
    names_more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What became of files that changed. `newer` is None when nothing has to be done; `problems` are
    sentences on what was not taken."""

    newer: Newer | None
    problems: tuple[str, ...]


def take(
    before: TrustMaterial, fresh: TrustMaterial, authorities: Sequence[x509.Certificate]
) -> Found:
    """The lists of `fresh`, those of `before` where it has none as good."""
    old = _by_scope(before.crls, authorities)
    new = _by_scope(fresh.crls, authorities)
    problems = list(_strangers(before, fresh, new))
    for scope, lists in old.items():
        if why := _worse(lists, new.get(scope)):
            problems.append(
                f"the last list of '{name_text(lists[0].issuer)}' stays in force: {why}"
            )
            new[scope] = lists
    crls = tuple(crl for lists in new.values() for crl in lists)
    earlier = [crl for lists in old.values() for crl in lists]
    if _signatures(crls) == _signatures(earlier):
        return Found(None, tuple(problems))
    more = bool(denied_by(crls).serials - denied_by(earlier).serials)
    merged = replace(before, crls=crls, crl_files=())
    return Found(Newer(merged, more), tuple(problems))


def names_more(
    before: TrustMaterial, after: TrustMaterial, authorities: Sequence[x509.Certificate]
) -> bool:
    """Whether the genuine lists of one trust name what those before did not."""
    old, new = (
        denied_by(crl for lists in _by_scope(one.crls, authorities).values() for crl in lists)
        for one in (before, after)
    )
    return bool(new.serials - old.serials)


def _strangers(
    before: TrustMaterial, fresh: TrustMaterial, known: Mapping[_Scope, list[_List]]
) -> Iterable[str]:
    """Lists that say nothing, unless they said nothing before."""
    told = _signatures(crl for lists in known.values() for crl in lists)
    told |= _signatures(before.crls)
    for crl in fresh.crls:
        if crl.signature not in told:
            yield f"the list of '{name_text(crl.issuer)}' was signed by no CA known here"


def _worse(old: Sequence[_List], new: Sequence[_List] | None) -> str | None:
    if not new:
        return "no other one that it signed is there"
    then, now = max(old, key=_age), max(new, key=_age)
    (old_number, new_number) = _number(then), _number(now)
    if old_number is not None and new_number is not None and new_number < old_number:
        return f"that in the file is older (number {new_number} after {old_number})"
    if now.last_update_utc < then.last_update_utc:
        return f"that in the file is older ({now.last_update_utc:%Y-%m-%d %H:%M} UTC)"
    return None


def _by_scope(
    crls: Iterable[_List], authorities: Sequence[x509.Certificate]
) -> dict[_Scope, list[_List]]:
    lists: dict[_Scope, list[_List]] = defaultdict(list)
    for crl in crls:
        signer = next((one for one in authorities if genuine(one, crl)), None)
        if signer is not None:
            lists[_scope(signer, crl)].append(crl)
    return dict(lists)


def _scope(signer: x509.Certificate, crl: _List) -> _Scope:
    name, key = signer.subject.public_bytes(), spki(signer.public_key())
    point, delta = b"", False
    for extension in crl.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            point = extension.value.public_bytes()
        delta = delta or isinstance(extension.value, x509.DeltaCRLIndicator)
    return name, key, point, delta


def _age(crl: _List) -> tuple[float, int]:
    return crl.last_update_utc.timestamp(), _number(crl) or 0


def _number(crl: _List) -> int | None:
    """RFC 5280 section 5.2.3: numbers of one CA and scope only go up."""
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _signatures(crls: Iterable[_List]) -> set[bytes]:
    return {crl.signature for crl in crls}
