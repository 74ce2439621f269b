"""Our account at an ACME server: its key and its URL, kept in the state directory (edge: files).

`DIRECTORY/<digits>/account.key, account.json`: the digits are of the server's directory and of the external
account, for another of either is another account, with a key of its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from handclasp.certs.secret import Secret
from handclasp.errors import EnvironmentFault
from handclasp.issuers.protocol import IssuerError
from handclasp.nginx.durable import Access, ensure_directory, replace_file, reported

if TYPE_CHECKING:
    from pathlib import Path

_FILE = Access(0o600)
_DIRECTORY = Access(0o700)
_WRITING = threading.Lock()
"""Two issuers of a spec may share an account; agents that share a state directory there are not."""

AccountKey = Secret[ec.EllipticCurvePrivateKey]


class AccountFiles:
    """The account at one server. Raises EnvironmentFault for what cannot be read or written."""

    def __init__(self, directory: Path, server: str, external: str | None = None) -> None:
        digest = hashlib.sha256(f"{server} {external or ''}".encode()).hexdigest()[:16]
        self._directory = directory / digest
        self._server = server

    def key(self) -> AccountKey:
        """The account's key (P-256: ES256 is what RFC 8555 servers must know), made at first use."""
        path = self._directory / "account.key"
        with _WRITING:
            try:
                return Secret(self._read(path))
            except FileNotFoundError:
                key = ec.generate_private_key(ec.SECP256R1())
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            with reported("write", path):
                self._directory.parent.mkdir(parents=True, exist_ok=True, mode=_DIRECTORY.mode)
                ensure_directory(self._directory, _DIRECTORY)
                replace_file(path, pem, _FILE)
            return Secret(key)

    def _read(self, path: Path) -> ec.EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise EnvironmentFault(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise IssuerError(
                f"{path} is no key of an ACME account",
                hint="Put back the right one, or move it away: a new account is made then.",
                permanent=True,
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IssuerError(f"{path} is no EC key", hint="Move it away.", permanent=True)
        return key

    def url(self) -> str | None:
        """The account's URL, if it was made."""
        try:
            kept = json.loads((self._directory / "account.json").read_bytes())
        except (OSError, ValueError):
            return None  # asking for the account again with the same key gives the same account
        url = kept.get("account") if isinstance(kept, dict) else None
        return url if isinstance(url, str) else None

    def keep_url(self, url: str) -> None:
        """Remember where the account is."""
        path = self._directory / "account.json"
        text = json.dumps({"directory": self._server, "account": url}, indent=2)
        with _WRITING, reported("write", path):
            replace_file(path, f"{text}\n".encode(), _FILE)

    def forget_url(self) -> None:
        """The server does not know it (any more)."""
        with contextlib.suppress(OSError):
            (self._directory / "account.json").unlink()
