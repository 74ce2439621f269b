"""A CA in a folder as the commands make it, without the commands."""

from __future__ import annotations

import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.ca.creation import Wishes, make_certificates
from handclasp.ca.delivery import Parcel, deliver
from handclasp.ca.directory import Directory, NewAuthority, make_directory
from handclasp.ca.issuing import Order, draw_up, files_of
from handclasp.ca.ledger import ISSUING, ROOT
from handclasp.ca.lists import renew_list, write_lists
from handclasp.ca.names import leaf_names
from handclasp.ca.newkeys import new_key
from handclasp.ca.profile import Use
from handclasp.certs.secret import Secret
from tests.pki import NOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from cryptography import x509

    from handclasp.ca.profile import Signer

WEEK = timedelta(days=7)


def make_authority(folder: Path, *, kind: str = "p256", now: datetime = NOW, **wishes: Any) -> Path:
    """A CA whose keys are not encrypted."""
    keys = {role: new_key(kind) for role in (ROOT, ISSUING)}
    wanted = Wishes(organisation="Example Org", **wishes)
    certificates = make_certificates(
        wanted, now, root_key=keys[ROOT], issuing_key=keys[ISSUING].public_key()
    )
    made = {
        role: NewAuthority(certificate=certificates[role], key=Secret(keys[role])) for role in keys
    }
    path = folder / "ca"
    make_directory(path, wanted.settings(), made)
    return path


@contextlib.contextmanager
def opened(path: Path, role: str = ISSUING) -> Iterator[tuple[Directory, Signer]]:
    """The directory and one of its CAs."""
    with (
        Directory(path) as directory,
        directory.signer(role, password=None, token_key=_no_token) as signer,
    ):
        yield directory, signer


def _no_token(uri: str) -> Any:
    raise AssertionError(uri)


def issued(
    path: Path,
    name: str,
    folder: Path,
    *,
    use: Use = Use.CLIENT,
    kind: str = "p256",
    names: tuple[x509.GeneralName, ...] = (),
    now: datetime = NOW,
    lifetime: timedelta | None = None,
) -> x509.Certificate:
    """NAME.pem with its chain and NAME.key in the folder."""
    key = new_key(kind)
    order = Order(
        name=name,
        public_key=key.public_key(),
        names=leaf_names(name, names),
        use=use,
        lifetime=lifetime,
    )
    with opened(path) as (directory, signer):
        certificate_path, key_path = files_of(folder, name)
        parcel = Parcel(
            drawn=draw_up(directory, order, now),
            certificate_path=certificate_path,
            key_path=key_path,
            key=Secret(key),
        )
        return deliver(directory, signer, [parcel])[0]


def lists(path: Path, *, now: datetime = NOW, next_update: timedelta = WEEK) -> Path:
    """New revocation lists of both CAs; the PEM file with both."""
    for role in (ISSUING, ROOT):
        with opened(path, role) as (directory, signer):
            renew_list(directory, role, signer, now=now, next_update=next_update)
    with Directory(path) as directory:
        write_lists(directory, path / "crl.pem")
    return path / "crl.pem"


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
