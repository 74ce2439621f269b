"""The private CA of one run: a server and a client certificate, P-256, in a temporary folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests import pki

if TYPE_CHECKING:
    from pathlib import Path

SERVER_NAME = "serverA.example.com"
CLIENT_NAME = "svc-b.internal"


def write_material(folder: Path) -> Path:
    """ca.pem, {client,server}.{pem,key}, {client,server}-both.pem, and identity directories.

    `identities/NAME/current` is a link to a version directory, for lookups per handshake. Returns
    the folder. The keys guard nothing and unprivileged workers must read them: hence 0644.
    """
    authority = pki.authority("Benchmark CA")
    pairs = {
        "server": pki.leaf(authority, "server-a", sans=[SERVER_NAME], usages=(pki.SERVER,)),
        "client": pki.leaf(authority, "svc-b", sans=[CLIENT_NAME], usages=(pki.CLIENT,)),
        "stranger": pki.leaf(pki.authority("Other CA"), "svc-x", usages=(pki.CLIENT,)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ca.pem").write_bytes(authority.pem)
    for name, pair in pairs.items():
        certificate, key = pair.write(folder, name, mode=0o644)
        (folder / f"{name}-both.pem").write_bytes(pair.chain_pem + pair.key_pem)
        version = folder / "identities" / name / "1"
        version.mkdir(parents=True)
        shutil.copy2(certificate, version)
        shutil.copy2(key, version)
        (version.parent / "current").symlink_to("1")
    return folder
