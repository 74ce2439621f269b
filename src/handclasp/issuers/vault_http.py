"""One JSON request to Vault or OpenBao, and its refusals as sentences (edge: network).

API: https://openbao.org/docs/api-docs/ (the same as https://developer.hashicorp.com/vault/api-docs).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.received import one_line

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from handclasp.certs.secret import Secret

LIMIT = 1024 * 1024
"""Bytes of an answer that are read; a chain of sixteen RSA-4096 certificates has 40 KiB."""
CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 20.0
MOST_REDIRECTS = 2
"""A standby node sends to the active one: one step, and one more while that changes."""


class Refused(IssuerError):
    """The server answered, and the answer was no; `status` is HTTP's."""

    def __init__(self, message: str, *, status: int, **more: Any) -> None:
        super().__init__(message, **more)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gave: the decoded body, an empty mapping where there is none."""

    body: Mapping[str, Any]

    def section(self, name: str, *, server: str) -> Mapping[str, Any]:
        """The mapping under `name`. Raises IssuerError where there is none."""
        value = self.body.get(name)
        if not isinstance(value, dict):
            raise IssuerError(
                f"{server} answered without {name!r}", hint="Is this the address of a Vault?"
            )
        return value


class Connection:
    """Requests to one server, over one set of connections; use it as a context manager.

    ``server`` is how sentences call it.
    """

    def __init__(self, address: str, *, namespace: str | None, tls: ssl.SSLContext | None) -> None:
        self.server = f"Vault at {address}"
        self._address = address
        self._namespace = namespace
        connector = aiohttp.TCPConnector(ssl=tls if tls is not None else False)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(
        self, path: str, body: Mapping[str, Any], *, token: Secret[bytes] | None = None
    ) -> Answer:
        """POST /v1/`path`. Raises Refused for an answer that is no, else IssuerError."""
        return await self._request("POST", path, body, token)

    async def get(self, path: str, *, token: Secret[bytes] | None = None) -> Answer:
        """GET /v1/`path`. Raises as `post`."""
        return await self._request("GET", path, None, token)

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, token: Secret[bytes] | None
    ) -> Answer:
        url = f"{self._address}/v1/{path}"
        headers = {"X-Vault-Request": "true"}  # asked for by a Vault Agent that guards against SSRF
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        if token is not None:
            headers["X-Vault-Token"] = self._header_value(token)
        for _ in range(MOST_REDIRECTS + 1):
            status, text, there = await self._once(method, url, body, headers)
            if there is None:
                return self._answer(status, text)
            url = self._redirected(url, there)
        raise IssuerError(f"{self.server} sends from one node to the next without end")

    async def _once(
        self, method: str, url: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> tuple[aiohttp.ClientResponse, str, str | None]:
        try:
            async with self._session.request(
                method, url, json=body, headers=headers, allow_redirects=False
            ) as answer:
                data = await answer.content.read(LIMIT + 1)
                while len(data) <= LIMIT and (more := await answer.content.read(LIMIT)):
                    data += more
        except TimeoutError as error:
            raise IssuerError(f"{self.server} did not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        if len(data) > LIMIT:
            raise IssuerError(f"{self.server} answered with more than {LIMIT // 1024} KiB")
        redirect = answer.status in (307, 308)  # the others would change the method
        there = answer.headers.get("Location") if redirect else None
        return answer, data.decode("utf-8", "replace"), there

    def _header_value(self, token: Secret[bytes]) -> str:
        try:
            value = token.reveal().decode("ascii")
        except UnicodeDecodeError:
            value = ""
        if not value or not all("!" <= character <= "~" for character in value):
            # Not repeated: it is a secret.
            raise IssuerError(
                "the token for Vault is empty, or holds blanks or characters no token has",
                hint="The file or variable holds the token alone, on one line.",
                permanent=True,
            )
        return value

    def _redirected(self, url: str, there: str) -> str:
        target = urljoin(url, there)
        if urlsplit(target).scheme != urlsplit(url).scheme:
            raise IssuerError(f"{self.server} sends to another scheme, which is not followed")
        return target

    def _unreachable(self, error: Exception) -> IssuerError:
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return IssuerError(
                f"the TLS certificate of {self.server} is not accepted:"
                f" {one_line(str(error.certificate_error))}",
                hint="`ca` names the file of the CA it is from; the address the name it is for.",
                permanent=True,
            )
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return IssuerError(f"{self.server} cannot be reached: {one_line(reason)}")

    def _answer(self, response: aiohttp.ClientResponse, text: str) -> Answer:
        status = response.status
        try:
            body = json.loads(text) if text.strip() else {}
        except ValueError:
            body = None
        if status < HTTPStatus.BAD_REQUEST and isinstance(body, dict):
            return Answer(body)
        if not isinstance(body, dict):
            raise Refused(
                f"{self.server} answered {status} with something that is not Vault's JSON",
                hint="Is this the address of a Vault?",
                status=status,
            )
        raise refusal(self.server, status, body, response.headers.get("Retry-After"))


def refusal(server: str, status: int, body: Mapping[str, Any], retry_after: str | None) -> Refused:
    """The sentence for an answer that is no: what it says under `errors`, else what its status means.

    Busy, sealed, standby and broken servers come round by themselves; the rest is for somebody to
    change (https://openbao.org/api-docs/#http-status-codes).
    """
    told = body.get("errors")
    reasons = [one_line(str(text)) for text in told if text] if isinstance(told, list) else []
    # Vault nests them: "1 error occurred: * permission denied".
    reason = "; ".join(reasons) or _meaning(status)
    passing = status in (408, 412, 429) or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    seconds = int(retry_after) if retry_after and retry_after.isdecimal() else None
    return Refused(
        f"{server} refuses: {reason}" if not passing else f"{server} cannot now: {reason}",
        status=status,
        hint="Unseal it." if "sealed" in reason else None,
        retry_after=timedelta(seconds=min(seconds, 86_400)) if seconds is not None else None,
        permanent=not passing,
    )


def _meaning(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"status {status}"
