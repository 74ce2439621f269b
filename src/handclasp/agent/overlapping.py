"""What the agent makes of who calls: the CAs of its trusts that are still needed, and who ends soon."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from handclasp.agent.callers_seen import follows
from handclasp.certs.read import read_objects
from handclasp.monitor.expiring import Expiring
from handclasp.monitor.limits import Limits
from handclasp.monitor.overlap import Authorities, standings, still_presented
from handclasp.monitor.warnings import near

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from cryptography.x509 import Certificate

    from handclasp.agent.callers_seen import CallersSeen
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.rereading import Objections
    from handclasp.certs.material import Material, TrustMaterial
    from handclasp.findings import Finding
    from handclasp.monitor.callers import Caller, Callers, Presence
    from handclasp.monitor.overlap import Change, Standing
    from handclasp.monitor.warnings import Ending
    from handclasp.nginx.state import StateDirectory
    from handclasp.spec.model import Spec

MOST_ENDING = 50
MOST_UNKNOWN = 5


def callers_ending(callers: Iterable[Caller]) -> tuple[Expiring, ...]:
    """As what ends some day; those whose dates are known."""
    return tuple(
        Expiring("caller", one.link, one.subject, one.not_before, one.not_after)
        for one in callers
        if one.not_before is not None and one.not_after is not None
    )


def first_to_end(callers: Iterable[Caller]) -> tuple[Expiring, ...]:
    """As many of them as somebody can be told of one by one."""
    return tuple(sorted(callers_ending(callers), key=lambda one: one.not_after)[:MOST_ENDING])


def trust_standings(
    prepared: Prepared, callers: Callers, now: datetime
) -> dict[str, tuple[Standing, ...]]:
    """By trust that callers are held to and that has several CAs."""
    overlap = prepared.spec.rotation.overlap
    presences = callers.presences(now, overlap)
    known = _Known(prepared.material)
    links: dict[str, dict[str, Authorities]] = defaultdict(dict)
    for link in prepared.spec.ingress:
        trust = prepared.material.trust.get(link.clients.trust)
        if trust is not None and len(trust.anchors) > 1:
            links[trust.name][link.name] = known.to(link.name, trust.name)
    found = {
        name: standings(them, presences, since=callers.since, overlap=overlap)
        for name, them in links.items()
    }
    return {name: them for name, them in found.items() if them}


def callers_report(
    prepared: Prepared, seen: CallersSeen | None, now: datetime
) -> dict[str, Any] | None:
    """For `status`: whose certificates end soon, and the CAs of trusts that hold several. None where nginx
    does not note who calls."""
    if seen is None:
        return None
    current = seen.current()
    wanted = prepared.spec.expiry
    soon = near(callers_ending(current), Limits(wanted.warn, wanted.critical), now)
    return {
        "since": seen.callers.since.isoformat(),
        "in_use": len(current),
        "problem": seen.problem,
        "ending": [_ending(one) for one in soon[:MOST_ENDING]],
        "ending_in_all": len(soon),
        "authorities": [
            _authority(trust, one, now)
            for trust, them in trust_standings(prepared, seen.callers, now).items()
            for one in them
        ],
    }


def _ending(one: Ending) -> dict[str, Any]:
    return {
        "link": one.about.name,
        "subject": one.about.subject,
        "not_after": one.about.not_after.isoformat(),
        "days_left": (one.about.not_after - one.now).days,
        "level": one.level.value,
    }


def _authority(trust: str, one: Standing, now: datetime) -> dict[str, Any]:
    return {
        "trust": trust,
        "subject": one.subject,
        "not_after": one.not_after.isoformat(),
        "callers_last_day": one.last_day,
        "callers_within_overlap": one.within,
        "examples": list(dict.fromkeys(one.examples)),
        "last_seen": one.last_seen.isoformat() if one.last_seen else None,
        "safe_to_drop": now >= one.safe_from,
        "safe_from": one.safe_from.isoformat(),
        "unknown_issuers": list(one.unknown[:MOST_UNKNOWN]),
        "same_name_as_another": one.alike,
    }


def dropping(
    before: Prepared, callers: Callers, now: datetime, *, whole: bool = False
) -> Objections:
    """To be asked what speaks against a spec with its material in the place of `before`: CAs that would go
    from what a link believes, although callers come under them. The table is read here, and not later.
    `whole`: the spec itself is to be taken too."""
    if not follows(before):
        return lambda _, __: ()
    overlap = before.spec.rotation.overlap
    presences: dict[str, list[Presence]] = defaultdict(list)
    for one in callers.presences(now, overlap):
        presences[one.link].append(one)
    trusts = {link.name: link.clients.trust for link in before.spec.ingress}

    def against(spec: Spec, material: Material) -> Iterator[Finding]:
        was, will = _Known(before.material), _Known(material)
        changed: dict[str, list[Change]] = defaultdict(list)
        for link in spec.ingress:
            name, then, now_ = link.name, trusts.get(link.name), link.clients.trust
            if then is None or was.anchors(then) == will.anchors(now_):
                continue
            if then == now_ and spec.trust[now_].spiffe is not None:
                continue  # whoever keeps the bundle knows when a CA goes, and may be in haste
            pair = was.to(name, then), will.to(name, now_)
            changed[then].append((*pair, presences[name]))
        for trust, changes in changed.items():
            if finding := still_presented(trust, changes, now=now, overlap=overlap, whole=whole):
                yield finding

    return against


def as_before(prepared: Prepared, state: StateDirectory) -> Prepared:
    """The same with the CAs that nginx was started with by the agent before, of trusts that callers are held
    to. Raises OSError where those cannot be read."""
    held: dict[str, TrustMaterial] = {}
    for name in {link.clients.trust for link in prepared.spec.ingress}:
        version = state.current_trust(name)
        if version is None or name not in prepared.material.trust:
            continue
        bundle = (state.trust_path(name, version) / "ca.pem").read_bytes()
        anchors = read_objects(bundle, source=name).certificates
        held[name] = replace(prepared.material.trust[name], anchors=tuple(anchors))
    trust = {**prepared.material.trust, **held}
    return replace(prepared, material=replace(prepared.material, trust=trust))


class _Known:
    """The CAs that links know. Most links of a trust know the same."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._made: dict[tuple[str, tuple[Certificate, ...]], Authorities] = {}

    def anchors(self, trust: str) -> tuple[Certificate, ...]:
        believed = self._material.trust.get(trust)
        return believed.anchors if believed else ()

    def to(self, link: str, trust: str) -> Authorities:
        key = trust, self._material.between(link)
        if key not in self._made:
            self._made[key] = Authorities.of(self.anchors(trust), key[1])
        return self._made[key]
