"""TLS over two memory buffers: no socket here, so that every byte in and out can be seen first."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from handclasp.errors import UsageError
from handclasp.wire.context import record_messages
from handclasp.wire.messages import TLS_1_3, Transcript

if TYPE_CHECKING:
    from handclasp.errors import HandclaspError


class Session:
    """One TLS connection of a client; the owner of the socket moves the bytes.

    ``handshake``, ``read`` and ``write`` raise ssl.SSLError. Raises UsageError for a server name
    that cannot be sent.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str | None) -> None:
        self.transcript = Transcript()
        self.recording = record_messages(context, self.transcript)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._told = 0
        try:
            self._tls = context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=server_name
            )
        except (ValueError, UnicodeError) as error:
            raise _bad_name(server_name, error) from error

    def feed(self, data: bytes) -> None:
        """Bytes from the peer."""
        self._incoming.write(data)

    def take_outgoing(self) -> bytes:
        """Bytes that now go to the peer."""
        self._told = len(self.transcript.messages)
        return self._outgoing.read()

    def withhold_outgoing(self) -> None:
        """Drop what was to go to the peer, a client certificate perhaps: it was never sent."""
        self._outgoing.read()
        self.transcript.forget_ours(self._told)

    def handshake(self) -> bool:
        """Go as far as the bytes at hand allow; True when complete."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def write(self, data: bytes) -> None:
        """Encrypt all of `data`: a memory buffer has room for it."""
        self._tls.write(data)

    def read(self, size: int = 65536) -> bytes | None:
        """Decrypted bytes, b"" after the peer's close_notify, None when more must be fed first."""
        try:
            return self._tls.read(size)
        except ssl.SSLWantReadError:
            return None

    def close(self) -> None:
        """Put our close_notify into the outgoing bytes (RFC 8446 section 6.1)."""
        try:
            self._tls.unwrap()
        except (OSError, ValueError):  # the peer's has not come, or there is nothing to close
            return

    @property
    def protocol(self) -> str | None:
        hello = self.transcript.hello
        return hello.version if hello else self._tls.version()

    @property
    def refuses_late(self) -> bool:
        """The server can still refuse our certificate after a completed handshake."""
        return self.protocol == TLS_1_3

    @property
    def cipher(self) -> str | None:
        cipher = self._tls.cipher()
        return cipher[0] if cipher else None

    @property
    def alpn(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    @property
    def reused(self) -> bool | None:
        return self._tls.session_reused

    @property
    def peer_chain(self) -> tuple[bytes, ...] | None:
        """The certificates as sent; the leaf alone where messages cannot be recorded."""
        if self.transcript.peer_chain:
            return self.transcript.peer_chain
        try:
            leaf = self._tls.getpeercert(binary_form=True)
        except ValueError:  # handshake not done
            return None
        return (leaf,) if leaf else None


def _bad_name(server_name: str | None, error: Exception) -> HandclaspError:
    return UsageError(f"{server_name!r} cannot be used as a server name: {error}")
