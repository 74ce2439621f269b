"""Issued certificates handed out as files, in the order that no crash can turn into a loss (edge).

A new key is on disk before the certificate is in the ledger, and the certificate is in the ledger
before it is on disk: what is on disk is recorded, and what is recorded has its key.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.backend.certificate import serial_text
from handclasp.ca.issuing import record, sign
from handclasp.ca.status import issued_leaves
from handclasp.certs.private_keys import spki
from handclasp.certs.read import read_objects
from handclasp.certs.serialize import encode_key
from handclasp.errors import EnvironmentFault, HandclaspError, UsageError
from handclasp.keys.files import read_file, replace_file
from handclasp.keys.output import PUBLIC, Output, cannot_write, remove, write_new

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

    from handclasp.ca.directory import Directory
    from handclasp.ca.issuing import Drawn
    from handclasp.ca.profile import Signer
    from handclasp.certs.secret import Secret

_DRAFT = re.compile(r"[0-9a-f]{16}\Z")
_HINT = "Name another directory with -o; keys and certificates are never written over."


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A leaf and where it goes; with a new key, that too. `replace`: in the place of an older
    certificate of the same key."""

    drawn: Drawn
    certificate_path: Path
    key_path: Path | None = None
    key: Secret[PrivateKeyTypes] | None = field(default=None, repr=False)
    replace: bool = False


def deliver(
    directory: Directory, signer: Signer, parcels: Sequence[Parcel]
) -> list[x509.Certificate]:
    """Signs, records and writes; certificates with the issuing CA's below, keys 0600.

    Raises UsageError when a file exists and EnvironmentFault when one cannot be written: before the
    ledger knows of anything, wherever that can be told.
    """
    _refuse_taken(parcels)
    for one in parcels:
        if one.replace:
            _refuse_other(directory, one)
    keys = [
        Output(path=one.key_path, data=encode_key(one.key, Encoding.PEM), private=True)
        for one in parcels
        if one.key is not None and one.key_path is not None
    ]
    drawn = [one.drawn for one in parcels]
    made = sign(signer, drawn)
    written: list[Path] = []
    try:
        with directory.ledger.turn():
            for key in keys:
                _sweep(key.path)
                write_new([key], hint=_HINT)
                written.append(key.path)
            record(directory, made, drawn)
    except BaseException:
        remove(written)
        raise
    issuing = directory.issuing.certificate.public_bytes(Encoding.PEM)
    for parcel, certificate in zip(parcels, made, strict=True):
        _write(parcel, certificate.public_bytes(Encoding.PEM) + issuing, certificate)
    return made


def _refuse_taken(parcels: Sequence[Parcel]) -> None:
    paths = [one.certificate_path for one in parcels if not one.replace]
    paths += [one.key_path for one in parcels if one.key_path is not None]
    if len(set(paths)) < len(paths):
        raise UsageError(
            "two of the certificates would go to one file", hint="Issue them one by one."
        )
    for folder in {one.certificate_path.parent for one in parcels}:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as problem:
            raise cannot_write(problem, folder) from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EnvironmentFault(f"{folder} may not be written by this user")
    for one in parcels:
        if one.key_path is None or not os.path.lexists(one.key_path):
            continue
        if not os.path.lexists(one.certificate_path):
            raise UsageError(
                f"{one.key_path} exists already, and no certificate beside it",
                hint="A command that was cut off may have left it, and then it has no certificate: take it"
                " away if nothing uses it, or certify it by a request (`openssl req -new -key`, --csr).",
            )
    for path in paths:
        if os.path.lexists(path):
            raise UsageError(f"{path} exists already", hint=_HINT)


def _refuse_other(directory: Directory, parcel: Parcel) -> None:
    """Only a certificate of this CA for the same key is replaced: with another the pair beside it would
    break, and anything else is not ours."""
    path = parcel.certificate_path
    if not os.path.lexists(path):
        return
    read = read_file(path)
    reason = (
        _unlike(directory, parcel, read.data or b"") if read.problem is None else read.problem.seen
    )
    if reason is not None:
        raise UsageError(
            f"{path} is not replaced: {reason}",
            hint="Name another directory with -o; only a certificate of this CA for the same key is"
            " replaced.",
        )


def _unlike(directory: Directory, parcel: Parcel, data: bytes) -> str | None:
    contents = read_objects(data, source=str(parcel.certificate_path))
    if contents.keys:
        return "it holds a private key"
    if not contents.certificates:
        return "it holds no certificate"
    ours = issued_leaves(directory.ledger, contents.certificates)
    if not ours:
        return "its certificate was not issued by this CA"
    if len(ours) > 1:
        return f"it holds {len(ours)} certificates that this CA issued"
    old = ours[0]
    if spki(old.certificate.public_key()) != spki(parcel.drawn.leaf.public_key):
        return f"its certificate {serial_text(old.serial)} has another key than the renewed one"
    return None


def _sweep(path: Path) -> None:
    """Removes drafts of a key that killed runs left; in the ledger's turn, so no living one has any."""
    start = f".{path.name[:100]}."
    drafts = [
        one
        for one in path.parent.iterdir()
        if one.name.startswith(start) and _DRAFT.match(one.name[len(start) :])
    ]
    remove(drafts)


def _write(parcel: Parcel, data: bytes, certificate: x509.Certificate) -> None:
    try:
        if parcel.replace:
            replace_file(parcel.certificate_path, data, PUBLIC)
        else:
            output = Output(path=parcel.certificate_path, data=data, private=False)
            write_new([output], hint=_HINT)
    except (OSError, HandclaspError) as problem:
        raise EnvironmentFault(
            f"the certificate {serial_text(certificate.serial_number)} is issued and in the ledger, but not"
            f" written: {getattr(problem, 'message', problem)}",
            hint=f"`handclasp ca renew {serial_text(certificate.serial_number)} -o"
            f" {parcel.certificate_path.parent}` issues it again for the same key.",
        ) from None
