"""Where everything lies below the state directory. Pure: names only, nothing is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePosixPath

REJECT_IDENTITY = "reject.internal"
"""Self-signed certificate for default servers of builds without ssl_reject_handshake. The dot keeps it
apart from identities of a spec, whose names have none."""

CHALLENGES = "acme-challenges"
ANSWERING = "answering"
"""Prefix of an nginx that answers challenges before there is another one, while it runs."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Names below one state directory (docs/architecture.md)."""

    root: PurePosixPath

    @property
    def generations(self) -> PurePosixPath:
        """One directory per plan, and `current`."""
        return self.root / "generation"

    @property
    def configuration(self) -> PurePosixPath:
        """What nginx is started with; a reload follows the link anew."""
        return self.generations / "current" / "nginx.conf"

    @property
    def prefix(self) -> PurePosixPath:
        """nginx's prefix: pid, logs, temporary files."""
        return self.root / "nginx"

    @property
    def pid(self) -> PurePosixPath:
        """The master's pid file."""
        return self.prefix / "nginx.pid"

    @property
    def draining(self) -> PurePosixPath:
        """There while callers are told to use their connections no more."""
        return self.prefix / "draining"

    @property
    def error_log(self) -> PurePosixPath:
        """nginx's error log, at level info."""
        return self.prefix / "logs" / "error.log"

    @property
    def access_log(self) -> PurePosixPath:
        """nginx's access log."""
        return self.prefix / "logs" / "access.log"

    @property
    def callers_log(self) -> PurePosixPath:
        """A line per connection of a verified caller; the agent empties it."""
        return self.prefix / "logs" / "callers.log"

    @property
    def callers(self) -> PurePosixPath:
        """What the agent has read there."""
        return self.root / "callers.json"

    @property
    def temporary(self) -> PurePosixPath:
        """Directory of nginx's temporary files."""
        return self.prefix / "temp"

    @property
    def run(self) -> PurePosixPath:
        """Sockets of the agent."""
        return self.root / "run"

    @property
    def authorizer_socket(self) -> PurePosixPath:
        """Where the agent answers nginx's questions about callers."""
        return self.root / "ask" / "sock"

    @property
    def answers(self) -> PurePosixPath:
        """nginx's cache of the agent's answers; nginx makes it, for its workers alone."""
        return self.prefix / "answers"

    @property
    def challenges(self) -> PurePosixPath:
        """Answers to challenges of ACME servers, a file for each token, while they look."""
        return self.root / CHALLENGES

    @property
    def policy(self) -> PurePosixPath:
        """Directory of `current`, which names the policy that answers are remembered under."""
        return self.root / "policy"

    @property
    def denied(self) -> PurePosixPath:
        """One directory per issuer, in it a file per serial that is refused."""
        return self.root / "denied"

    def identity(self, name: str, version: str = "current") -> PurePosixPath:
        """Directory of cert.pem, key.pem and the empty `root`."""
        return self.root / "identities" / name / version

    def trust(self, name: str, version: str = "current") -> PurePosixPath:
        """Directory of ca.pem and, with revocation lists, crl.pem."""
        return self.root / "trust" / name / version
