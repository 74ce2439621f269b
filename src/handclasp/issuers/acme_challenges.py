"""How names are proven to an ACME server, and the way of files (edge: files).

http-01 (RFC 8555, section 8.3): one file per token, named after it, for whoever serves
/.well-known/acme-challenge/TOKEN on port 80. For dns-01 see acme_dns.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from handclasp.issuers.protocol import IssuerError
from handclasp.nginx.durable import Access, ensure_directory, replace_file, reported

if TYPE_CHECKING:
    from pathlib import Path

FOR_ALL = Access(0o644)


def answers_access(group: int | None) -> Access:
    """Of files that our own nginx gives: its workers are in `group`, None where they run as we do."""
    return FOR_ALL if group is None else Access(0o640, group)


_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")


class Challenges(Protocol):
    """Whoever proves names for us. What fails is an EnvironmentFault."""

    @property
    def kind(self) -> str:
        """http-01 or dns-01."""
        ...

    async def publish(self, place: str, content: str) -> None:
        """From when this returns, the CA finds `content` at `place` (acme_client.Proof)."""
        ...

    async def withdraw(self, place: str, content: str) -> None:
        """It need not be found any more; nothing happens when it was not."""
        ...


class ChallengeFiles:
    """Answers as files of a directory that a web server serves at /.well-known/acme-challenge/.

    What is in them is public: the account's thumbprint, good for nothing without its key. So anybody may
    read them, unless `access` says otherwise.
    """

    def __init__(self, directory: Path, *, access: Access = FOR_ALL) -> None:
        self._directory = directory
        self._access = access

    @property
    def kind(self) -> str:
        """As the protocol has it."""
        return "http-01"

    async def publish(self, place: str, content: str) -> None:
        """As the protocol has it. Raises IssuerError for a token that is no file name of ours."""
        path = self._path(place)
        with reported("write", path):
            if not self._directory.exists():
                ensure_directory(self._directory, Access(0o755))
            replace_file(path, content.encode(), self._access)

    async def withdraw(self, place: str, content: str) -> None:  # noqa: ARG002  the protocol's
        """As the protocol has it."""
        path = self._path(place)
        with reported("remove", path):
            path.unlink(missing_ok=True)

    def _path(self, token: str) -> Path:
        # It comes from the server, and becomes a file name: the alphabet of RFC 8555 section 8.1, no dot.
        if not _TOKEN.fullmatch(token):
            raise IssuerError(f"the ACME server's token {token[:64]!r} is not base64url")
        return self._directory / token
