"""What keeps an issuer from being asked that can be seen without asking it (edge: files)."""

from __future__ import annotations

import os
import shutil
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.secrets import read_secret
from handclasp.spec.issuer_acme import Acme
from handclasp.spec.issuer_spiffe import Spiffe
from handclasp.spec.issuer_vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.issuer import IssuerSection
    from handclasp.spec.policy import SecretSource
    from handclasp.spec.types import SpecPath


def unready(section: IssuerSection, folder: Path) -> str | None:
    """Why an `acme`, `vault` or `spiffe` section cannot work as things are, as part of a sentence.

    ``folder`` is the spec's. None for other kinds, and where nothing is seen.
    """
    match section:
        case Acme():
            reasons = _acme(section, folder)
        case Vault():
            reasons = _vault(section)
        case Spiffe():
            reasons = _spiffe(section)
        case _:
            return None
    return next(reasons, None)


def _acme(section: Acme, folder: Path) -> Iterator[str]:
    yield from _package("acme", "acme")
    yield from _files(section.ca)
    if section.challenges is not None:
        place = Path(section.challenges)
        if place.exists() and not (place.is_dir() and os.access(place, os.W_OK)):
            yield f"{place} is no directory that can be written to"
        elif not place.parent.is_dir():
            yield f"there is no directory {place.parent}"
    if section.dns is not None:
        program = section.dns[0]
        if shutil.which(folder / program if "/" in program else program) is None:
            yield f"there is no program {program} that may be executed"


def _vault(section: Vault) -> Iterator[str]:
    yield from _files(section.ca)
    auth = section.auth
    yield from _secret(auth.token)
    if auth.approle is not None:
        yield from _secret(auth.approle.secret_id)
    if auth.cert is not None:
        yield from _files(auth.cert.certificate, auth.cert.key)
        yield from _secret(auth.cert.password)


def _spiffe(section: Spiffe) -> Iterator[str]:
    yield from _package("spiffe", "spiffe")
    told = os.environ.get("SPIFFE_ENDPOINT_SOCKET", "").removeprefix("unix:")
    if section.socket is None and not told:
        yield "neither `socket` nor $SPIFFE_ENDPOINT_SOCKET says where the Workload API is"
        return
    path = Path(section.socket or told)
    try:
        there = stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        there = False
    if not there:
        yield f"there is no socket {path}"


def _package(name: str, extra: str) -> Iterator[str]:
    if find_spec(name) is None:
        yield f"the Python package {name} is not installed (pip install 'handclasp[{extra}]')"


def _files(*paths: SpecPath | None) -> Iterator[str]:
    for path in paths:
        if path is None:
            continue
        try:
            with Path(path).open("rb"):
                pass
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}"


def _secret(written: SecretSource | None) -> Iterator[str]:
    if written is None:
        return
    try:
        read_secret(written)
    except IssuerError as error:
        yield error.message
