"""A signature by the openssl command through the configuration nginx will have (edge: runs it)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from handclasp.findings import Finding, Where, found
from handclasp.hsm.openssl_conf import Leading, Way, key_directive, openssl_conf, uri_pem
from handclasp.keys.files import write_private

if TYPE_CHECKING:
    from handclasp.certs.secret import Secret
    from handclasp.spec.pkcs11_uri import Pkcs11Uri

_MESSAGE = b"handclasp proves that OpenSSL signs with this key"
_PATIENCE_SECONDS = 30


def prove_openssl(
    leading: Leading,
    uri: Pkcs11Uri,
    *,
    module: Path,
    pin: Secret[bytes],
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
) -> str | Finding:
    """What was shown, or the finding that says why OpenSSL cannot sign with the key.

    The PIN is in a file (0600, without a line's end: libp11 takes that for a part of it) while it runs.
    """
    command = shutil.which("openssl")
    if command is None:
        return "not tried: there is no openssl command"
    with tempfile.TemporaryDirectory(prefix="handclasp-hsm-") as name:
        folder = Path(name)
        pin_file, key_file, conf = folder / "pin", folder / "key.pem", folder / "openssl.cnf"
        write_private(pin_file, pin.reveal())
        write_private(key_file, uri_pem(uri))
        text = openssl_conf(leading, module=module, pin_file=pin_file)
        write_private(conf, text.encode())
        signing = [str(key_file)]
        if leading.way is Way.ENGINE:
            directive = key_directive(leading.way, uri, key_file=key_file, pin_file=pin_file)
            key = directive.removeprefix("engine:pkcs11:")
            signing = [key, "-engine", "pkcs11", "-keyform", "engine"]
        try:
            done = subprocess.run(
                [command, "dgst", "-sha256", "-sign", *signing],
                input=_MESSAGE,
                env={**os.environ, "OPENSSL_CONF": str(conf)},
                capture_output=True,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _failed(leading, f"it does not answer within {_PATIENCE_SECONDS} s")
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return _failed(leading, said[-1] if said else f"it ended with {done.returncode}")
    if not _verifies(public, done.stdout):
        return _failed(leading, "its signature is not of this key")
    return f"openssl signs through the {leading.library}, and the signature verifies"


def _failed(leading: Leading, why: str) -> Finding:
    seen = f"the openssl command does not sign with the key through {leading.library}: {why}"
    return found("pkcs11-signing-failed", seen, where=Where(file=str(leading.library)))


def _verifies(public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, signature: bytes) -> bool:
    digest = hashes.SHA256()
    try:
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, _MESSAGE, padding.PKCS1v15(), digest)
        else:
            public.verify(signature, _MESSAGE, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True
