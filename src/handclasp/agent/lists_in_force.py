"""The revocation lists in force, kept in the state directory: a start and HUP go back to no older ones (edge:
files).

STATE/lists/TRUST/in-force.crl holds them all, as PEM. Their signatures are what they are believed for.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent.listed_trust import LISTS, kept_list, list_authorities
from handclasp.agent.newer_lists import held
from handclasp.certs.material import TrustMaterial
from handclasp.certs.private_keys import UNREADABLE
from handclasp.certs.read import read_objects
from handclasp.findings import Finding, Where, found
from handclasp.nginx.durable import Access, ensure_directory, replace_file, reported

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import PurePath

    from cryptography import x509

    from handclasp.certs.material import Material
    from handclasp.spec.model import Spec

_FILE, _FOLDER = Access(0o600), Access(0o700)
_COPY = "in-force.crl"


def copy_of(state: PurePath, name: str) -> Path:
    """Where the lists in force of a trust are kept."""
    return Path(state, LISTS, name, _COPY)


def remember(state: PurePath, trust: TrustMaterial) -> None:
    """Keeps the lists of a trust, once they are in force. Raises EnvironmentFault."""
    copy = copy_of(state, trust.name)
    content = trust.crl_pem()
    with reported("keep the revocation lists in force in", copy):
        if content is None:
            copy.unlink(missing_ok=True)
            return
        if _content(copy) == content:
            return
        ensure_directory(copy.parent.parent, _FOLDER)
        ensure_directory(copy.parent, _FOLDER)
        replace_file(copy, content, _FILE)


def with_those_in_force(
    material: Material, spec: Spec, state: PurePath, *, now: datetime
) -> Material:
    """The material of a spec read anew, in which no list is older than the one last in force. What was not
    taken for that is told among its findings."""
    trust = {}
    for name, fresh in material.trust.items():
        trust[name] = fresh
        if spec.trust[name].crl or fresh.crls:
            kept, findings = _kept(copy_of(state, name), name)
            links = [link.name for link in spec.ingress if link.clients.trust == name]
            trust[name] = _held(kept, fresh, list_authorities(material, name, links), now)
            trust[name] = _with(trust[name], findings)
    return replace(material, trust=trust)


def tidy(state: PurePath, spec: Spec) -> None:
    """Removes what is kept of lists that the spec in effect no longer names. Raises OSError."""
    wanted = {copy_of(state, name) for name in spec.trust}
    for name, trust in spec.trust.items():
        files = [kept_list(state, name, one.url) for one in trust.crl if one.url is not None]
        wanted |= {*files, *(file.with_suffix(".json") for file in files)}
    folder = Path(state, LISTS)
    with contextlib.suppress(FileNotFoundError):
        for place in list(folder.iterdir()):
            if place.name not in spec.trust and place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
    for name in spec.trust:
        with contextlib.suppress(FileNotFoundError):
            for file in list((folder / name).iterdir()):
                if file not in wanted and file.suffix in (".crl", ".json"):
                    file.unlink(missing_ok=True)


def _held(
    kept: TrustMaterial,
    fresh: TrustMaterial,
    authorities: tuple[x509.Certificate, ...],
    now: datetime,
) -> TrustMaterial:
    if not kept.crls or not fresh.crls:
        return fresh  # without any, that is what is wrong
    try:
        trust, problems = held(kept, fresh, authorities, now=now)
    except UNREADABLE:
        return fresh  # checks say which
    where = Where(file=", ".join(str(file) for file in fresh.files) or None)
    return _with(trust, tuple(found("crl-not-taken", told, where=where) for told in problems))


def _kept(copy: Path, name: str) -> tuple[TrustMaterial, tuple[Finding, ...]]:
    """The lists that are kept, and what is wrong with the file."""
    none = TrustMaterial(name=name)
    where = Where(file=str(copy))
    try:
        content = copy.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return none, ()
    except PermissionError:
        return none, ()  # somebody else's agent: it is the one that has to read them
    except OSError as error:
        told = f"the revocation lists last in force cannot be read: {error.strerror}"
        return none, (found("certificate-unreadable", told, where=where),)
    crls = tuple(read_objects(content, source=str(copy), most=len(content)).crls)
    if crls:
        return replace(none, crls=crls, crl_files=(copy,) * len(crls)), ()
    told = "it is to hold the revocation lists last in force, and holds none"
    fix = f"Make sure that the files named under `crl:` are the newest, and remove {copy}."
    return none, (found("certificate-unreadable", told, where=where, fix=fix),)


def _with(trust: TrustMaterial, findings: tuple[Finding, ...]) -> TrustMaterial:
    return replace(trust, findings=(*trust.findings, *findings)) if findings else trust


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
