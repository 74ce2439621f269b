"""Bundles of SPIFFE trust domains, kept in the state directory as files of a trust (edge: files).

``bundles/<trust>/<digest>.pem``: its first line names the trust domain. What was received last stays until
something else is said, also over restarts. What the Workload API gives no more is not believed any more
(SPIFFE_Workload_API.md, section 4.4): a CA that signs nothing takes its place, for nginx must have one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.agent import journal
from handclasp.ca.newkeys import new_key
from handclasp.ca.profile import Validity, root_certificate, subject_name
from handclasp.certs.checks import check_trust
from handclasp.certs.material import TrustMaterial
from handclasp.certs.read import read_objects
from handclasp.findings import Severity, Where, errors_in, found
from handclasp.issuers.protocol import IssuerError
from handclasp.nginx import claim, durable
from handclasp.spec.issuer_spiffe import Spiffe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cryptography import x509

    from handclasp.findings import Finding
    from handclasp.spec.model import Spec, Trust

BUNDLES = "bundles"
MOST_AUTHORITIES = 100
_FILE, _FOLDER = durable.Access(0o600), durable.Access(0o700)
_NOBODYS_LIFE = timedelta(days=3650)
_DEEP = 10  # how long chains may be is the links' to say
_WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Source:
    """The bundle of a trust: whose it is, where its API is, and where it is kept."""

    trust: str
    section: Spiffe
    domain: str
    file: Path


def sources(spec: Spec, state: PurePath) -> tuple[Source, ...]:
    """Every bundle of a spec that is as it should be."""
    told = []
    for name, trust in spec.trust.items():
        if trust.spiffe is None:
            continue
        section = spec.issuers.get(trust.spiffe.issuer)
        domain = trust.spiffe.trust_domain
        if isinstance(section, Spiffe) and domain is not None:
            told.append(Source(name, section, domain, *bundle_files(name, trust, state)))
    return tuple(told)


def bundle_files(name: str, trust: Trust, state: PurePath) -> tuple[Path, ...]:
    """Where the bundle of a trust is kept; empty for a trust of files."""
    if trust.spiffe is None:
        return ()
    words = f"{trust.spiffe.issuer} {trust.spiffe.trust_domain or ''}"
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    return (Path(state, BUNDLES, name, f"{digest}.pem"),)


def is_kept(source: Source) -> bool:
    """Whether something was received before, of this trust domain."""
    return _head(source.file)[:1] == [source.domain]


def bundle_findings(name: str, file: Path) -> tuple[Finding, ...]:
    """What is to be said of a bundle before it is looked into."""
    head, where = _head(file), Where(path=f"trust.{name}.spiffe")
    if not head:
        seen = f"the SPIFFE bundle of trust '{name}' was not received yet"
        return (found("spiffe-bundle-not-received", seen, where=where),)
    if head[1:] == [_WITHDRAWN]:
        seen = f"the Workload API gives no bundle of {head[0]} any more: trust '{name}' believes nobody"
        return (found("spiffe-bundle-withdrawn", seen, where=where),)
    return ()


def open_store(state: Path, *, passable: bool) -> None:
    """Makes the place, before the state directory is opened for good. Raises EnvironmentFault."""
    claim.make_directory(state, passable=passable)
    with durable.reported("keep SPIFFE bundles in", state):
        claim.check_ours(state)
        durable.ensure_directory(state / BUNDLES, _FOLDER)


def accept(
    source: Source, given: Mapping[str, tuple[x509.Certificate, ...]], now: datetime
) -> None:
    """Takes what the API said of the trust domain; the same again writes nothing.

    Raises IssuerError when it is not to be used, and EnvironmentFault when it cannot be kept; what was kept
    stays then.
    """
    anchors = given.get(source.domain, ())
    had, head = _anchors(source.file), _head(source.file)
    if not anchors:
        if not is_kept(source):
            known = ", ".join(sorted(given)) or "none"
            raise IssuerError(
                f"the Workload API gives no bundle of {source.domain}; it gives {known}",
                hint="Federate this workload's entry with the trust domain.",
            )
        if head[1:] != [_WITHDRAWN]:
            _write(source, (_nobody(now),), _WITHDRAWN)
            journal.error("SPIFFE bundle withdrawn", trust=source.trust, domain=source.domain)
        return
    if head == [source.domain] and set(had) == set(anchors):
        return
    _check(source, anchors, now)
    _write(source, anchors)
    journal.info(
        "SPIFFE bundle received", trust=source.trust, domain=source.domain, cas=len(anchors)
    )


def with_stand_in(trust: TrustMaterial, today: datetime) -> TrustMaterial:
    """For `check`, before anything was received: somebody's CA, and a warning in the place of the error."""
    slug = "spiffe-bundle-not-received"
    if all(one.slug != slug for one in trust.findings):
        return trust
    findings = tuple(
        found(slug, one.seen, where=one.where, severity=Severity.WARNING)
        if one.slug == slug
        else one
        for one in trust.findings
    )
    place = (PurePath(BUNDLES, trust.name),)
    return replace(trust, anchors=(_nobody(today),), anchor_files=place, findings=findings)


def _check(source: Source, anchors: tuple[x509.Certificate, ...], now: datetime) -> None:
    what = f"the bundle of {source.domain} cannot be used"
    if len(anchors) > MOST_AUTHORITIES:
        raise IssuerError(f"{what}: it holds {len(anchors)} certificates")
    material = TrustMaterial(name=source.trust, anchors=anchors, title="it")
    wrong = errors_in(check_trust(material, now=now, for_clients=True, depth=_DEEP))
    if wrong:
        raise IssuerError(f"{what}: {wrong[0].seen}", hint=wrong[0].fix)


def _head(file: Path) -> list[str]:
    """The words of the first line; none when there is no such file."""
    try:
        with file.open("rb") as opened:
            line = opened.readline(400)
    except OSError:
        return []
    return line.decode("ascii", "replace").removeprefix("#").split()


def _anchors(file: Path) -> tuple[x509.Certificate, ...]:
    try:
        return read_objects(file.read_bytes(), source=str(file)).certificates
    except OSError:
        return ()


def _write(source: Source, anchors: tuple[x509.Certificate, ...], *words: str) -> None:
    head = " ".join(("#", source.domain, *words))
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in anchors)
    with durable.reported("keep the SPIFFE bundle", source.file):
        durable.ensure_directory(source.file.parent.parent, _FOLDER)
        durable.ensure_directory(source.file.parent, _FOLDER)
        durable.replace_file(source.file, f"{head}\n".encode() + pem, _FILE)


def _nobody(now: datetime) -> x509.Certificate:
    """A CA whose key is forgotten."""
    key = new_key("p256")
    validity = Validity.starting(now, _NOBODYS_LIFE)
    return root_certificate(subject_name("nobody", None), key, validity, path_length=0)
