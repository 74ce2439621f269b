"""`type: local`: our own CA in a directory of this machine, in a thread.

The certificate is in the CA's ledger before anybody sees it, in the ledger's own turn, so that other
programs that issue from the directory at the same time do not matter.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NoReturn

from handclasp.ca.directory import Directory
from handclasp.ca.issuing import DEFAULT_LIFETIME, Order, check_authority, draw_up, record, sign
from handclasp.ca.ledger import ISSUING
from handclasp.errors import EnvironmentFault, ExitCode, HandclaspError, UsageError
from handclasp.findings import FindingsError, errors_in
from handclasp.issuers.apart import apart
from handclasp.issuers.protocol import Issued, IssuerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from handclasp.ca.profile import Signer
    from handclasp.certs.secret import Secret
    from handclasp.issuers.protocol import Wanted

_HINTS = {
    "key-encrypted-no-passphrase": "Name the password of the CA's key: `password: {file: PATH}`.",
    "key-wrong-passphrase": "Name the right password of the CA's key: `password: {file: PATH}`.",
}


class LocalIssuer:
    """A CA made with `handclasp ca init`. `password` reads that of its key, `now` tells the time."""

    makes_key = False

    def __init__(
        self,
        directory: Path,
        *,
        password: Callable[[], Secret[bytes] | None],
        now: Callable[[], datetime],
    ) -> None:
        self._directory = directory
        self._password = password
        self._now = now

    async def issue(self, wanted: Wanted) -> Issued:
        """A certificate with the issuing CA's below. Raises IssuerError."""
        return await apart(self._issue, wanted)

    def _issue(self, wanted: Wanted) -> Issued:
        try:
            with Directory(self._directory) as directory:
                now = self._now()
                check_authority(directory, now)
                drawn = draw_up(directory, self._order(directory, wanted), now)
                with self._signer(directory) as signer:
                    made = sign(signer, [drawn])
                record(directory, made, [drawn])
                return Issued(chain=(made[0], directory.issuing.certificate))
        except HandclaspError as refusal:
            raise self._told(refusal) from refusal
        except ValueError as problem:
            raise IssuerError(
                f"the CA in {self._directory} does not issue this: {problem}", permanent=True
            ) from problem

    def _order(self, directory: Directory, wanted: Wanted) -> Order:
        if wanted.request is None:
            raise IssuerError("the CA signs requests, and none was made", permanent=True)
        return Order(
            name=wanted.name,
            public_key=wanted.request.public_key(),
            names=wanted.names,
            use=wanted.use,
            # The usual one is shortened to the CA's end, where one that is asked for is refused.
            usual=wanted.lifetime or DEFAULT_LIFETIME,
            renews=self._renewed(directory, wanted),
        )

    def _renewed(self, directory: Directory, wanted: Wanted) -> int | None:
        """The serial of the certificate that this one takes the place of, if it is of this CA."""
        if wanted.current is None:
            return None
        serial = wanted.current.serial_number
        before = directory.ledger.by_serial(serial)
        return serial if before is not None and before.certificate == wanted.current else None

    def _signer(self, directory: Directory) -> AbstractContextManager[Signer]:
        return directory.signer(ISSUING, password=self._password(), token_key=self._no_token)

    @contextlib.contextmanager
    def _no_token(self, _uri: str) -> NoReturn:
        raise IssuerError(
            f"the key of the CA in {self._directory} is in a token, which `type: local` does not open",
            hint="Issue from it with `handclasp ca issue`, or by `type: command`.",
            permanent=True,
        )

    def _told(self, refusal: HandclaspError) -> IssuerError:
        """In one sentence. What only a person can change is permanent; a busy disk or ledger is not."""
        if isinstance(refusal, IssuerError):
            return refusal
        hint = refusal.hint
        message = refusal.message
        if isinstance(refusal, UsageError):
            hint = "Name the CA's directory with `directory`; `handclasp ca init` makes one."
        if isinstance(refusal, FindingsError):
            told = errors_in(refusal.findings) or refusal.findings
            message, hint = told[0].seen, _HINTS.get(told[0].slug, told[0].fix)
        lasting = not isinstance(refusal, EnvironmentFault) and (
            refusal.exit_code is not ExitCode.ENVIRONMENT
        )
        place = "" if str(self._directory) in message else f"the CA in {self._directory}: "
        return IssuerError(f"{place}{message}", hint=hint, permanent=lasting)


def unusable(directory: Path, now: datetime) -> HandclaspError | None:
    """Why nothing can be had of the CA in a directory, as far as can be told without its key."""
    try:
        with Directory(directory) as opened:
            check_authority(opened, now)
    except HandclaspError as refusal:
        return refusal
    return None
