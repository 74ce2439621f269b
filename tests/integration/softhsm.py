"""Tokens of SoftHSM for tests: made in a folder, with a key in each and a certificate for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.certs.secret import Secret
from handclasp.hsm.isolated import ask
from handclasp.hsm.modules import SOFTHSM
from handclasp.spec.pkcs11_uri import Pkcs11Uri
from tests import pki
from tests.conftest import absent
from tests.integration.running import handclasp

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric import ec, rsa

PIN = "48151623"


def softhsm() -> Path:
    """SoftHSM's module."""
    found = next((module for module in SOFTHSM if module.is_file()), None)
    return found or absent("SoftHSM (apt install softhsm2)")


@dataclass
class Token:
    """One token with its own configuration; `owner` (uid, gid) may use it."""

    folder: Path
    label: str = "prod"
    module: Path = field(default_factory=softhsm)
    pin: str = PIN

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        given = self.folder / "pin.given"
        given.touch(mode=0o600)
        given.write_text(f"{self.pin}\n", encoding="utf-8")
        done = handclasp(
            "hsm", "init", "--directory", self.folder, "--label", self.label,
            "--pin-file", given, "--so-pin-file", given, "--module", self.module,
            cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    @property
    def configuration(self) -> Path:
        return self.folder / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens"

    @property
    def environment(self) -> dict[str, str]:
        return {"SOFTHSM2_CONF": str(self.configuration)}

    def generate(
        self, label: str, kind: str = "p256"
    ) -> ec.EllipticCurvePublicKey | rsa.RSAPublicKey:
        """A new key in the token; its public half."""
        answer = ask(
            "generate",
            module=self.module,
            uri=Pkcs11Uri(token=self.label, object=label),
            pin=Secret(self.pin.encode()),
            environment=self.environment,
            kind=kind,
        )
        assert answer.ok, answer.findings
        assert answer.public is not None
        return answer.public

    def let_in(self, uid: int, gid: int) -> None:
        """The token belongs to this account, as nginx's workers need it."""
        for path in (self.configuration, self.tokens, *self.tokens.rglob("*")):
            os.chown(path, uid, gid)

    def certify(
        self, issuer: pki.Pair, label: str, *, kind: str = "p256", **options: Any
    ) -> x509.Certificate:
        """A new key `label` and LABEL.pem beside the token's folder: a leaf of `issuer` for it."""
        public = self.generate(label, kind)
        made = pki.leaf(issuer, label, **options).certificate
        builder = (
            x509.CertificateBuilder()
            .subject_name(made.subject)
            .issuer_name(made.issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(made.not_valid_before_utc)
            .not_valid_after(made.not_valid_after_utc)
        )
        for extension in made.extensions:
            value = extension.value
            if isinstance(value, x509.SubjectKeyIdentifier):
                value = x509.SubjectKeyIdentifier.from_public_key(public)
            builder = builder.add_extension(value, critical=extension.critical)
        certificate = builder.sign(issuer.private_key, hashes.SHA256())
        pem = certificate.public_bytes(Encoding.PEM)
        (self.folder.parent / f"{label}.pem").write_bytes(pem)
        return certificate

    def identity(self, label: str, **more: Any) -> dict[str, Any]:
        """The spec's entry of an identity whose key is in the token."""
        return {
            "certificate": f"{label}.pem",
            "key": f"pkcs11:token={self.label};object={label}",
            "pin": {"file": str(self.folder / "pin.given")},
            **more,
        }

    def section(self) -> dict[str, Any]:
        """The `pkcs11` section of a spec."""
        return {"module": str(self.module), "environment": self.environment}
