"""Tokens for Vault: from a file, by AppRole or by client certificate (edge: clock).

A token from a login is kept until two thirds of its time have gone, so that many identities cost one
login; it lives in memory only. One that was given is kept alive between uses (`kept_alive`).
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from handclasp.certs.secret import Secret
from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.secrets import read_secret
from handclasp.issuers.vault_http import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.issuers.vault_http import Connection
    from handclasp.spec.issuer_vault import VaultAuth


_SHORTEST_LOOK = timedelta(seconds=1)
_NEARLY_HALF = timedelta(seconds=1)
"""Times to live are told in whole seconds."""


@dataclass(slots=True)
class _Kept:
    token: Secret[bytes]
    until: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class TokenLife:
    """Until when a token is good, as the server says (aware UTC): `begin` is a full time before its `end`."""

    begin: datetime
    end: datetime

    def look_after(self, now: datetime) -> timedelta:
        """How long until it should be seen to: half of its full time before its end, and once that has gone,
        since it was renewed no further, half of what is left."""
        left = self.end - now
        early = left - (self.end - self.begin) / 2
        return max(early if early > timedelta() else left / 2, _SHORTEST_LOOK)


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


async def kept_alive(
    connection: Connection, token: Secret[bytes], now: datetime
) -> TokenLife | None:
    """How long the token is good, after it was renewed where half of its full time has gone; None: without
    end.

    It may always look at itself and renew itself by the policy `default`. Raises IssuerError.
    """
    life = await _life(connection, token, now)
    if life is not None and life.end - now <= (life.end - life.begin) / 2 + _NEARLY_HALF:
        await _renew(connection, token)
        life = await _life(connection, token, now)
    return life


async def _life(connection: Connection, token: Secret[bytes], now: datetime) -> TokenLife | None:
    """https://openbao.org/api-docs/auth/token/#lookup-a-token-self"""
    try:
        answer = await connection.get("auth/token/lookup-self", token=token)
    except Refused as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
        raise Refused(
            f"{error.message} (auth/token/lookup-self)",
            status=error.status,
            hint="Look whether the token has run out; it is kept alive by its policy `default`, and without"
            " that nobody sees its end.",
            permanent=True,
        ) from error
    return token_life(answer.section("data", server=connection.server), now)


def token_life(data: Mapping[str, Any], now: datetime) -> TokenLife | None:
    """What a server says of a token; None for one without end."""
    left, full = (_seconds(data.get(key)) for key in ("ttl", "creation_ttl"))
    end = _moment(data.get("expire_time"))  # null for a token without end
    if end is None and not left:
        return None
    end = end or now + left
    return TokenLife(end - max(left, full, _seconds(data.get("period"))), end)


def _seconds(value: object) -> timedelta:
    number = value if isinstance(value, int) and 0 < value < 10**10 else 0
    return timedelta(seconds=number)


def _moment(text: object) -> datetime | None:
    """RFC 3339 in the server's own time zone, with nanoseconds, of which none are kept: the same moment is
    the same each time."""
    try:
        told = datetime.fromisoformat(str(text)) if text else None
    except ValueError:
        return None
    if told is None or told.tzinfo is None:
        return None
    return told.astimezone(UTC).replace(microsecond=0)


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
