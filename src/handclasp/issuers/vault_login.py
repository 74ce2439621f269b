"""Tokens for Vault: from a file, by AppRole or by client certificate (edge: clock).

A token from a login is kept until two thirds of its time have gone, so that many identities cost one
login; it lives in memory only.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handclasp.certs.secret import Secret
from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.secrets import read_secret
from handclasp.issuers.vault_http import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.issuers.vault_http import Connection
    from handclasp.spec.issuer_vault import VaultAuth


@dataclass(slots=True)
class _Kept:
    token: Secret[bytes]
    until: float
    """Monotonic seconds."""


class Login:
    """Gives a token for every use. One for each issuer: it remembers the token of its last login."""

    def __init__(self, auth: VaultAuth) -> None:
        self._auth = auth
        self._lock = asyncio.Lock()
        self._kept: _Kept | None = None

    async def token(self, connection: Connection) -> Secret[bytes]:
        """The token to use now, from a login if need be. Raises IssuerError."""
        if self._auth.token is not None:
            token = read_secret(self._auth.token)
            await _renew(connection, token)
            return token
        async with self._lock:
            kept = self._kept
            if kept is None or time.monotonic() >= kept.until:
                kept = self._kept = await self._log_in(connection)
            return kept.token

    def forget(self, token: Secret[bytes]) -> bool:
        """Not to be used again: it was refused. False where no other can be had by logging in."""
        if self._auth.token is not None:
            return False
        if self._kept is not None and self._kept.token is token:
            self._kept = None
        return True

    async def _log_in(self, connection: Connection) -> _Kept:
        path, body = self._question()
        try:
            answer = await connection.post(path, body)
        except Refused as error:
            raise _login_refused(error, path) from error
        given = answer.section("auth", server=connection.server)
        token = given.get("client_token")
        if not isinstance(token, str) or not token:
            raise IssuerError(f"{connection.server} answered a login without a token")
        seconds = given.get("lease_duration")
        # 0 is "without end" (a root token's); then until it is refused.
        lease = float(seconds) if isinstance(seconds, int) and seconds > 0 else math.inf
        return _Kept(Secret(token.encode()), time.monotonic() + lease * 2 / 3)

    def _question(self) -> tuple[str, Mapping[str, Any]]:
        if (approle := self._auth.approle) is not None:
            body: dict[str, Any] = {"role_id": approle.role_id}
            if approle.secret_id is not None:
                body["secret_id"] = (
                    read_secret(approle.secret_id).reveal().decode("utf-8", "replace")
                )
            return f"auth/{approle.mount.rstrip('/')}/login", body
        cert = self._auth.cert
        assert cert is not None  # the model: exactly one of the three
        return f"auth/{cert.mount.rstrip('/')}/login", {"name": cert.role} if cert.role else {}


async def _renew(connection: Connection, token: Secret[bytes]) -> None:
    """Give a token its full time again. One that cannot be renewed is as good as before."""
    try:
        await connection.post("auth/token/renew-self", {}, token=token)
    except Refused as error:
        # Refused for good: its policy may forbid renewing only; what the token is for will say.
        if not error.permanent:
            raise


def _login_refused(error: Refused, path: str) -> Refused:
    # Vault answers a wrong secret id with 400, a certificate it does not know with 400 or 403.
    return Refused(
        f"{error.message} (login at {path})",
        hint="Look at the login's role in Vault, and whether what proves it has run out."
        if error.permanent
        else error.hint,
        status=error.status,
        retry_after=error.retry_after,
        permanent=error.permanent,
    )
