"""The revocation lists of both CAs, kept in the ledger and written out (edge).

A list's number is taken, the list signed and the row written in one transaction, so numbers only rise.
The files are written in a turn of their own, from what the ledger holds by then: of two processes the
slower one cannot put an older list over a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.ca.ledger import ISSUING, ROOT
from handclasp.ca.revocation import revocation_list
from handclasp.errors import InternalFault
from handclasp.keys.files import replace_file
from handclasp.keys.output import PUBLIC, cannot_write

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from cryptography import x509

    from handclasp.ca.directory import Directory
    from handclasp.ca.profile import Signer

BUNDLE = "crl.pem"
"""Both lists, for nginx's `ssl_crl`, which wants one of each CA of the chain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A CA's list in effect."""

    role: str
    number: int
    value: x509.CertificateRevocationList


def renew_list(
    directory: Directory, role: str, signer: Signer, *, now: datetime, next_update: timedelta
) -> None:
    """Signs a CA's next list into the ledger.

    What has expired is named once more after its end and then no more (RFC 5280 section 3.3).
    """
    ledger = directory.ledger
    with ledger.turn():
        last = ledger.last_list(role)
        number, since = (1, now) if last is None else (last[0] + 1, last[1].last_update_utc)
        entries = ledger.revoked(role, ending_after=min(since, now))
        made = revocation_list(signer, entries, number=number, now=now, next_update=next_update)
        ledger.keep_list(role, number, made)


def listed(directory: Directory) -> list[Listed]:
    """The lists in the ledger, the issuing CA's first."""
    lists = []
    for role in (ISSUING, ROOT):
        last = directory.ledger.last_list(role)
        if last is not None:
            lists.append(Listed(role=role, number=last[0], value=last[1]))
    return lists


def write_lists(directory: Directory, output: Path) -> list[Listed]:
    """Writes both lists as one PEM file, and each as DER beside the CA for those who fetch it.

    Raises EnvironmentFault when one cannot be written.
    """
    with directory.ledger.turn():
        lists = listed(directory)
        if len(lists) < len((ISSUING, ROOT)):
            raise InternalFault("a CA of the chain has no revocation list yet")
        files = {
            directory.path / f"{one.role}.crl": one.value.public_bytes(Encoding.DER)
            for one in lists
        }
        files[output] = b"".join(one.value.public_bytes(Encoding.PEM) for one in lists)
        for path, data in files.items():
            try:
                replace_file(path, data, PUBLIC)
            except OSError as problem:
                raise cannot_write(problem, path) from None
    return lists
