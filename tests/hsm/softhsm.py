"""A real SoftHSM token in a directory of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.running import handclasp
from tests.integration.softhsm import softhsm

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


@dataclass
class SoftToken:
    """Made by `handclasp hsm init`; commands run with its SOFTHSM2_CONF."""

    folder: Path
    module: Path
    label: str = "dev"

    @classmethod
    def make(cls, folder: Path, label: str = "dev") -> SoftToken:
        token = cls(folder, softhsm(), label)
        done = handclasp("hsm", "init", "--directory", folder, "--label", label, cwd=folder.parent)
        assert done.returncode == 0, done.stderr
        return token

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}

    @property
    def pin_file(self) -> Path:
        return self.folder / "pin"

    @property
    def pin(self) -> str:
        return self.pin_file.read_text().strip()

    def uri(self, label: str) -> str:
        return f"pkcs11:token={self.label};object={label}"

    def hsm(self, *arguments: str | Path, rc: int = 0) -> subprocess.CompletedProcess[str]:
        """`handclasp hsm …`."""
        done = handclasp("hsm", *arguments, cwd=self.folder, env=self.environment)
        assert done.returncode == rc, done.stdout + done.stderr
        return done

    def keygen(self, label: str, kind: str = "p256") -> str:
        """A key; the URI that names it alone."""
        made = self.hsm(
            *("keygen", "--key", self.uri(label), "--type", kind, "--pin-file", self.pin_file)
        )
        return made.stdout.strip()

    def give_to(self, uid: int, gid: int) -> None:
        """Lets another account use the token, as nginx's workers must."""
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, uid, gid)
