"""How many leaf certificates a minute the private CA issues: `python -m bench.issuing [COUNT]`.

The leaf's key is given, the issuing key is P-256, each certificate is a transaction of its own and a
file of its own. On one core: `taskset -c 0 python -m bench.issuing`. What the disk takes to sync is in it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.ca.creation import Wishes, make_certificates
from handclasp.ca.delivery import Parcel, deliver
from handclasp.ca.directory import Directory, NewAuthority, make_directory
from handclasp.ca.issuing import Order, draw_up
from handclasp.ca.ledger import ISSUING, ROOT
from handclasp.ca.names import leaf_names
from handclasp.ca.newkeys import new_key
from handclasp.certs.secret import Secret

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes


def issued_per_minute(folder: Path, count: int, *, at_once: int = 1) -> float:
    """Wall time of `count` certificates, `at_once` of them a transaction."""
    now = datetime.now(UTC).replace(microsecond=0)
    ca = _make(folder, now)
    public_key = new_key("p256").public_key()
    with (
        Directory(ca) as directory,
        directory.signer(ISSUING, password=None, token_key=_no_token) as signer,
    ):
        begun = time.monotonic()
        for start in range(0, count, at_once):
            parcels = []
            for number in range(start, min(start + at_once, count)):
                name = f"svc-{number}.example"
                order = Order(name=name, public_key=public_key, names=leaf_names(name, ()))
                drawn = draw_up(directory, order, now)
                parcels.append(Parcel(drawn=drawn, certificate_path=folder / "out" / f"{name}.pem"))
            deliver(directory, signer, parcels)
        return count / (time.monotonic() - begun) * 60


def _make(folder: Path, now: datetime) -> Path:
    keys = {role: new_key("p256") for role in (ROOT, ISSUING)}
    wishes = Wishes(organisation="Benchmark")
    certificates = make_certificates(
        wishes, now, root_key=keys[ROOT], issuing_key=keys[ISSUING].public_key()
    )
    made = {
        role: NewAuthority(certificate=certificates[role], key=Secret(keys[role])) for role in keys
    }
    make_directory(folder / "ca", wishes.settings(), made)
    return folder / "ca"


def _no_token(uri: str) -> AbstractContextManager[CertificateIssuerPrivateKeyTypes]:
    raise AssertionError(uri)


def main() -> None:
    """Prints both rates."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    for at_once in (1, 100):
        with tempfile.TemporaryDirectory() as folder:
            rate = issued_per_minute(Path(folder), count, at_once=at_once)
        print(f"ca issue, key given, {at_once} a transaction: {rate:,.0f} a minute")


if __name__ == "__main__":
    main()
