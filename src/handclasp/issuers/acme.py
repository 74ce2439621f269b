"""`type: acme`: certificates over ACME (edge: network, by acme_client in threads).

Public CAs no longer give certificates for clients: root programmes of browsers want serverAuth alone.
So ACME is for server certificates, and for private CAs that give both.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs.names import readable
from handclasp.errors import EnvironmentFault
from handclasp.issuers.acme_account import AccountFiles
from handclasp.issuers.acme_names import certificate_id
from handclasp.issuers.acme_problems import Refused
from handclasp.issuers.apart import apart
from handclasp.issuers.protocol import Issued, IssuerError
from handclasp.issuers.received import chain_from_pem, one_line
from handclasp.issuers.secrets import read_secret
from handclasp.keys.system_trust import read_system_bundle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from datetime import datetime
    from typing import TypeVar

    from handclasp.issuers.acme_challenges import Challenges
    from handclasp.issuers.acme_client import Client, Order, Proof, Registration
    from handclasp.issuers.protocol import Wanted
    from handclasp.spec.issuer_acme import Acme

    T = TypeVar("T")

ASK_AGAIN = timedelta(hours=6)
"""How often the server is asked when to renew (RFC 9773, section 4.3.2)."""
FIRST_WAIT = 0.25
LONGEST_WAIT = 5.0
"""Seconds between two looks at what the server does; growing by half, unless it says (Retry-After)."""


class AcmeIssuer:
    """One `type: acme` section as an issuer (protocol.Issuer).

    ``state`` is the directory of accounts; ``challenges`` is who proves names; ``now`` is the clock.
    """

    def __init__(
        self, section: Acme, *, state: Path, challenges: Challenges, now: Callable[[], datetime]
    ) -> None:
        self._section = section
        external = section.external_account
        self._account = AccountFiles(
            state, section.directory, external.key_id if external is not None else None
        )
        self._challenges = challenges
        self._now = now
        self._registering = asyncio.Lock()

    @property
    def makes_key(self) -> bool:
        """Never: the server signs our request."""
        return False

    async def issue(self, wanted: Wanted) -> Issued:
        """A certificate for the request of `wanted`. Raises IssuerError."""
        request = requested(wanted)
        # The caller cancels when all of it has gone; before that, what was published is withdrawn.
        seconds = self._section.timeout.total_seconds() * 0.9
        try:
            async with asyncio.timeout(seconds), self._session() as client:
                return await self._issue(client, wanted, request)
        except TimeoutError as error:
            raise IssuerError(
                f"the ACME server {self._section.directory} did not finish within {seconds:g} s"
            ) from error

    async def renew_at(self, current: x509.Certificate) -> datetime | None:
        """When the server wants this certificate renewed, asked now (RFC 9773); None: it has no wish."""
        async with self._session() as client:
            if not client.offers_renewal_info:
                return None
            return await apart(client.renew_at, current)

    async def until_called(self, wanted: Wanted) -> None:
        """Returns when the window for renewing `wanted.current` has come (calling.Calling).

        The window can move: a server that has to revoke what it gave moves it to now.
        """
        while True:
            wait = ASK_AGAIN
            if wanted.current is not None:
                with contextlib.suppress(IssuerError):  # asked again; the lifetime holds meanwhile
                    moment = await self.renew_at(wanted.current)
                    if moment is not None:
                        wait = min(wait, moment - self._now())
            if wait <= timedelta():
                return
            await asyncio.sleep(wait.total_seconds())

    async def _issue(
        self, client: Client, wanted: Wanted, request: x509.CertificateSigningRequest
    ) -> Issued:
        order = await self._order(client, wanted)
        await self._prove(client, order, provable(wanted))
        text = await _fetch(client, order, request)
        chain = chain_from_pem(text, issuer=client.server)
        renew_at = await apart(client.renew_at, chain[0])
        return Issued(chain=chain, renew_at=renew_at)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[Client]:
        client: Client | None = None
        try:
            client = await apart(self._client)
            await apart(client.open)
            yield client
        except IssuerError:
            raise
        except EnvironmentFault as error:  # files of the account and of the challenges
            raise IssuerError(error.message, hint=error.hint) from error
        finally:
            if client is not None:
                client.close()

    def _client(self) -> Client:
        try:
            from handclasp.issuers.acme_client import Client
        except ImportError as error:
            raise IssuerError(
                f"the Python package {error.name} is not installed, which ACME needs",
                hint="Install it with pip install 'handclasp[acme]'.",
                permanent=True,
            ) from error
        return Client(self._section.directory, self._account.key(), trust=self._trust())

    def _trust(self) -> str:
        if self._section.ca is None:
            _, path, problem = read_system_bundle()
            if path is None:
                seen = problem.seen if problem else "there is no system bundle of public CAs"
                raise IssuerError(seen, hint="Write `ca: FILE`.", permanent=True)
            return str(path)
        try:
            with Path(self._section.ca).open("rb"):
                return str(self._section.ca)
        except OSError as error:
            raise IssuerError(
                f"{self._section.ca}, the CA of the ACME server, cannot be read: {error.strerror}",
                permanent=True,
            ) from error

    async def _order(self, client: Client, wanted: Wanted) -> Order:
        await self._enter(client)
        try:
            return await self._place(client, wanted)
        except Refused as error:
            if error.kind != "accountDoesNotExist":
                raise
        # The server has forgotten us: a test server was started anew, or our account was removed.
        self._account.forget_url()
        await self._enter(client)
        return await self._place(client, wanted)

    async def _enter(self, client: Client) -> None:
        """Go under our account, made if need be, once for all identities."""
        async with self._registering:
            account = self._account.url()
            if account is None:
                account = await apart(client.register, self._registration())
                self._account.keep_url(account)
            client.use(account)

    def _registration(self) -> Registration:
        from handclasp.issuers.acme_client import Registration

        external = self._section.external_account

        def bind() -> tuple[str, str]:
            assert external is not None
            secret = read_secret(external.hmac_key).reveal()
            return external.key_id, secret.decode("ascii", "replace").strip()

        return Registration(
            contact=self._section.contact,
            agree=self._section.agree_to_terms,
            bind=None if external is None else bind,
        )

    async def _place(self, client: Client, wanted: Wanted) -> Order:
        profile = self._section.profile
        replaces = certificate_id(wanted.current) if wanted.current is not None else None

        def place(replaces: str | None) -> Order:
            return client.order(wanted.names, profile=profile, replaces=replaces)

        if replaces is None or not client.offers_renewal_info:
            return await apart(place, None)
        try:
            return await apart(place, replaces)
        except Refused as error:
            # Replaced already, or another CA's: RFC 9773, section 5, has us ask without.
            if error.kind == "accountDoesNotExist" or not error.permanent:
                raise
        return await apart(place, None)

    async def _prove(self, client: Client, order: Order, names: Collection[str]) -> None:
        proofs: list[tuple[str, Proof]] = []
        kind = self._challenges.kind
        try:
            for url in order.authorizations:
                proof = await apart(client.proof, url, kind)
                if proof is not None and proof.name.lower() not in names:
                    # A record of another name would be set, or another name's file served.
                    raise IssuerError(
                        f"{client.server} wants a proof of {one_line(proof.name)}, which was not asked for"
                    )
                if proof is not None:
                    proofs.append((url, proof))
                    await self._challenges.publish(proof.place, proof.content)
            for _, proof in proofs:
                await apart(client.announce, proof)
            for url, _ in proofs:
                await _until(client, functools.partial(client.is_proven, url), bool)
        finally:
            await self._withdraw([proof for _, proof in proofs])

    async def _withdraw(self, proofs: Sequence[Proof]) -> None:
        for proof in proofs:
            # What is left over does no harm, and must not hide why the order failed.
            with contextlib.suppress(EnvironmentFault):
                await self._challenges.withdraw(proof.place, proof.content)


async def _fetch(client: Client, order: Order, request: x509.CertificateSigningRequest) -> str:
    """The chain of a proven order."""
    ready = await _until(client, lambda: client.look(order), lambda seen: seen.status != "pending")
    if ready.status == "ready":
        ready = await apart(client.finalize, ready, request)
    if ready.certificate is None:
        ready = await _until(
            client, lambda: client.look(order), lambda seen: seen.certificate is not None
        )
    assert ready.certificate is not None
    return await apart(client.certificate, ready.certificate)


async def _until(client: Client, look: Callable[[], T], done: Callable[[T], bool]) -> T:
    """What `look` gives once it is `done`; the caller bounds the whole."""
    wait = FIRST_WAIT
    while not done(seen := await apart(look)):
        suggested = client.suggested_wait
        await asyncio.sleep(wait if suggested is None else max(wait, suggested.total_seconds()))
        wait = min(wait * 1.5, LONGEST_WAIT)
    return seen


def provable(wanted: Wanted) -> frozenset[str]:
    """The names to be proven: a wildcard is by the name below it (RFC 8555, section 7.1.3)."""
    names = (str(getattr(name, "value", "")) for name in wanted.names)
    return frozenset(name.removeprefix("*.").lower() for name in names)


def requested(wanted: Wanted) -> x509.CertificateSigningRequest:
    """The signing request, of names that ACME has. Raises IssuerError."""
    foreign = [
        readable(name)
        for name in wanted.names
        if not isinstance(name, x509.DNSName | x509.IPAddress)
    ]
    if foreign:
        raise IssuerError(
            f"ACME gives certificates for DNS names and IP addresses, not for {', '.join(foreign)}",
            hint="Leave the name out, or use another issuer.",
            permanent=True,
        )
    if wanted.request is None:
        raise IssuerError("ACME signs requests, and none was made", permanent=True)
    return wanted.request
