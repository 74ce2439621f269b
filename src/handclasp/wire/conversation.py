"""One connection, stage by stage; what was seen so far survives whatever ends it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from handclasp.wire.connect import connect, proxy_header, resolve, socket_name
from handclasp.wire.failures import PROBLEMS, NameMismatchError, PeerClosedError, failure_of
from handclasp.wire.names import certificate_names, is_address
from handclasp.wire.observation import (
    AddressAttempt,
    Failure,
    FailureKind,
    Observation,
    PeerCertificate,
    Stage,
    Step,
    Target,
)
from handclasp.wire.stream import ByteStream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from handclasp.wire.exchange import Exchange
    from handclasp.wire.session import Session

# With a request to send the wait is short: long enough for an alert already on its way.
_BEFORE_REQUEST_SECONDS = 0.05


class Stopped(Exception):
    """A stage failed and the failure is recorded."""


@dataclass(slots=True)
class Words:
    """What a step will say about itself."""

    text: str = ""


class Conversation:
    """One observation under way: `go`, then `close`, then `observation`."""

    def __init__(
        self,
        target: Target,
        session: Session | None,
        exchange: Exchange | None,
        clock: Callable[[], float],
        checked_name: str | None,
        first_read: float,
    ) -> None:
        self._target, self._session, self._exchange = target, session, exchange
        self._clock, self._checked_name, self._first_read = clock, checked_name, first_read
        self._stage = Stage.RESOLVE
        self._steps: list[Step] = []
        self._attempts: list[AddressAttempt] = []
        self._failure: Failure | None = None
        self._socket: socket.socket | None = None
        self._stream: ByteStream | None = None
        self._local: str | None = None
        self._remote: str | None = None
        self._early = b""  # decrypted bytes that came before they were asked for
        self._established = False

    async def go(self, deadline: float) -> None:
        """Every stage in order; raises Stopped at the first that fails."""
        stream = await self._connect(deadline)
        if self._session is not None:
            with self._in(Stage.HANDSHAKE) as words:
                await self._shake_hands(self._session, stream)
                words.text = f"{self._session.protocol}, {self._session.cipher}"
            await self._await_objection(self._session, stream)
        if self._exchange is not None:
            await self._ask(self._exchange, stream)

    async def _connect(self, deadline: float) -> ByteStream:
        with self._in(Stage.RESOLVE) as words:
            addresses = await resolve(self._target)
            words.text = f"{len(addresses)} address{'es' if len(addresses) > 1 else ''}"
        with self._in(Stage.CONNECT) as words:
            sock = await connect(addresses, self._attempts, deadline, self._clock)
            self._socket, self._stream = sock, ByteStream(sock)
            self._local = socket_name(sock.getsockname())
            words.text = self._remote = self._attempts[-1].address
        if self._target.proxy_protocol:
            with self._in(Stage.PROXY_HEADER) as words:
                header = proxy_header(sock)
                words.text = header.decode("ascii").strip()
                await self._stream.send(header)
        return self._stream

    async def _shake_hands(self, session: Session, stream: ByteStream) -> None:
        while True:
            try:
                done = session.handshake()
            except OSError:
                await stream.send(session.take_outgoing())  # the alert that tells the peer why
                raise
            # Before anything of ours goes out: in both versions the client certificate is in the
            # bytes that follow the server's certificate.
            self._check_name(session)
            await stream.send(session.take_outgoing())
            if done:
                self._established = True
                return
            data = await stream.receive()
            if not data:
                # Not told to OpenSSL, whose answer would be an alert and a reason of its own making.
                raise PeerClosedError("the peer closed the connection during the handshake")
            session.feed(data)

    def _check_name(self, session: Session) -> None:
        chain = session.transcript.peer_chain
        if self._checked_name is None or chain is None:
            return
        if not chain or not certificate_names(chain[0], self._checked_name):
            session.withhold_outgoing()
            raise NameMismatchError(self._checked_name, is_address=is_address(self._checked_name))

    async def _await_objection(self, session: Session, stream: ByteStream) -> None:
        """A TLS 1.3 server judges our certificate after our handshake is over: listen a moment.

        Before a request too, if it asked for a certificate: a refusal that crosses our request ends
        in a reset, and the alert may be lost with it.
        """
        round_trips = 2 * self._attempts[-1].seconds
        wait = self._first_read + round_trips
        if self._exchange is not None:
            wait = _BEFORE_REQUEST_SECONDS + round_trips
            if session.recording and not session.transcript.requested:
                return
        with self._in(Stage.FIRST_READ) as words:
            if not session.refuses_late:
                words.text = "nothing to wait for: the server's Finished was its consent"
                return
            limit = asyncio.timeout(wait)
            try:
                async with limit:
                    self._early = await self._read(session, stream)
            except TimeoutError:
                if not limit.expired():  # the kernel's ETIMEDOUT is one too
                    raise
                words.text = f"no objection within {wait:.2f} s"
                return
            if not self._early:
                raise PeerClosedError("the peer closed the connection right after the handshake")
            words.text = f"the peer speaks first: {len(self._early)} bytes"

    async def _ask(self, exchange: Exchange, stream: ByteStream) -> None:
        with self._in(Stage.REQUEST) as words:
            words.text = exchange.outgoing.partition(b"\r\n")[0].decode("ascii", "replace")
            await self._write(exchange.outgoing, stream)
        with self._in(Stage.ANSWER) as words:
            if self._early:
                exchange.receive(self._early)
            while not exchange.done:
                data = await self._read(self._session, stream)
                if not data and not exchange.received:
                    raise PeerClosedError("the peer closed the connection without an answer")
                exchange.receive(data)
            if exchange.answer is not None:
                words.text = f"{exchange.answer.status} {exchange.answer.reason}".rstrip()

    async def _write(self, data: bytes, stream: ByteStream) -> None:
        if self._session is not None:
            self._session.write(data)
            data = self._session.take_outgoing()
        await stream.send(data)

    async def _read(self, session: Session | None, stream: ByteStream) -> bytes:
        """The next decrypted bytes, b"" at the end, with or without close_notify.

        Loses nothing when cancelled.
        """
        if session is None:
            return await stream.receive()
        while True:
            data = session.read()
            await stream.send(session.take_outgoing())  # to key updates, renegotiations
            if data is not None:
                return data
            received = await stream.receive()
            if not received:
                return b""
            session.feed(received)

    @contextlib.contextmanager
    def _in(self, stage: Stage) -> Iterator[Words]:
        """Time a stage and record how it went; a problem in it ends the observation."""
        self._stage = stage
        words, begun, ok = Words(), self._clock(), False
        try:
            yield words
            ok = True
        except PROBLEMS as problem:
            transcript = self._session.transcript if self._session else None
            self._failure = failure_of(problem, stage, self._received(), transcript)
            words.text = self._failure.text
            raise Stopped from problem
        finally:
            seconds = self._clock() - begun
            self._steps.append(Step(stage, ok, seconds, words.text or ("" if ok else "cut short")))

    def _received(self) -> bytes:
        """The beginning of what the current stage got to see."""
        if self._stage is Stage.ANSWER and self._exchange is not None:
            return self._exchange.received
        if self._stage is Stage.FIRST_READ or self._stream is None:
            return self._early
        return self._stream.first_bytes

    def give_up(self, timeout: float) -> None:
        """The time is over; whatever was under way gets the blame."""
        text = f"nothing more from the peer within {timeout:g} s"
        self._failure = Failure(
            stage=self._stage, kind=FailureKind.TIMEOUT, text=text, received=self._received()
        )

    def close(self) -> None:
        """Say goodbye if there is somebody to say it to; never waits, always closes."""
        if self._socket is None:
            return
        if self._session is not None and self._established:
            self._session.close()
            with contextlib.suppress(OSError):
                self._socket.send(self._session.take_outgoing())
        self._socket.close()

    def observation(self) -> Observation:
        session, stream = self._session, self._stream
        plain = Observation(
            target=self._target,
            addresses=tuple(self._attempts),
            steps=tuple(self._steps),
            failure=self._failure,
            answer=self._exchange.answer if self._exchange else None,
            local_address=self._local,
            remote_address=self._remote,
            first_bytes=stream.first_bytes if stream else b"",
            bytes_received=stream.bytes_received if stream else 0,
            bytes_sent=stream.bytes_sent if stream else 0,
        )
        return plain if session is None else _with_tls(plain, session)


def _with_tls(plain: Observation, session: Session) -> Observation:
    transcript = session.transcript
    chain = session.peer_chain
    requested = transcript.requested or (False if transcript.server_turn_over else None)
    sent = None if transcript.sent_chain is None else bool(transcript.sent_chain)
    return replace(
        plain,
        protocol=session.protocol,
        cipher=session.cipher,
        alpn=session.alpn,
        server_hello=transcript.hello,
        peer=PeerCertificate(chain) if chain else None,
        client_certificate_requested=requested,
        certificate_request=transcript.request,
        client_certificate_sent=False if requested is False else sent,
        session_reused=session.reused,
        close_notify_received=transcript.close_notify_received(),
        messages=tuple(transcript.messages),
    )
