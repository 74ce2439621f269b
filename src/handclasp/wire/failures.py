"""Exceptions of the ssl and socket modules become a Failure, once and here."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

from handclasp.wire.alerts import alert_name, alert_of_reason
from handclasp.wire.connect import ConnectTimeoutError, ResolveError, error_name
from handclasp.wire.exchange import AnswerError
from handclasp.wire.observation import Failure, FailureKind, Party, Stage

if TYPE_CHECKING:
    from handclasp.wire.messages import Transcript

# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH (openssl/x509_vfy.h)
_HOSTNAME_MISMATCH = 62
_IP_MISMATCH = 64
_SOURCE_LINE = re.compile(r" \(_ssl\.c:\d+\)$")  # of CPython, which says nothing to anybody


class NameMismatchError(Exception):
    """The peer's certificate is not good for the name it was to be checked for."""

    def __init__(self, name: str, *, is_address: bool) -> None:
        self.verify_code = _IP_MISMATCH if is_address else _HOSTNAME_MISMATCH
        what = "IP address" if is_address else "Hostname"
        super().__init__(f"{what} mismatch, certificate is not valid for '{name}'.")


class PeerClosedError(Exception):
    """The peer ended the connection where something was expected of it."""


Problem = (
    OSError | ResolveError | ConnectTimeoutError | AnswerError | NameMismatchError | PeerClosedError
)
PROBLEMS = (
    OSError,
    ResolveError,
    ConnectTimeoutError,
    AnswerError,
    NameMismatchError,
    PeerClosedError,
)


def failure_of(
    problem: Problem, stage: Stage, received: bytes, transcript: Transcript | None
) -> Failure:
    """What is known about the end of an observation."""
    if isinstance(problem, ssl.SSLError):
        return _tls_failure(problem, stage, received, transcript)
    if isinstance(problem, ResolveError):
        return Failure(
            stage=stage,
            kind=FailureKind.RESOLVE,
            text=str(problem),
            errno=problem.number,
            errno_name=error_name(problem.number),
        )
    if isinstance(problem, NameMismatchError):
        return Failure(
            stage=stage,
            kind=FailureKind.TLS,
            text=f"certificate verify failed: {problem}",
            reason="CERTIFICATE_VERIFY_FAILED",
            verify_code=problem.verify_code,
            verify_message=str(problem),
            received=received,
        )
    if isinstance(problem, OSError):
        return Failure(
            stage=stage,
            kind=FailureKind.OS,
            text=problem.strerror or str(problem),
            errno=problem.errno,
            errno_name=error_name(problem.errno),
            received=received,
        )
    kinds: dict[type[Exception], FailureKind] = {
        ConnectTimeoutError: FailureKind.TIMEOUT,
        AnswerError: FailureKind.HTTP,
        PeerClosedError: FailureKind.CLOSED,
    }
    return Failure(stage=stage, kind=kinds[type(problem)], text=str(problem), received=received)


def _tls_failure(
    error: ssl.SSLError, stage: Stage, received: bytes, transcript: Transcript | None
) -> Failure:
    gone = isinstance(error, ssl.SSLZeroReturnError)  # close_notify in the middle of a handshake
    alert = transcript.fatal_alert() if transcript else None
    number = alert.number if alert else alert_of_reason(error.reason or "")
    sender = alert.sender if alert else None if number is None else Party.PEER
    verify = error if isinstance(error, ssl.SSLCertVerificationError) else None
    text = "the peer closed the connection" if gone else _SOURCE_LINE.sub("", str(error.strerror))
    return Failure(
        stage=stage,
        kind=FailureKind.CLOSED if gone else FailureKind.TLS,
        text=text,
        library=error.library or None,
        reason=error.reason or None,
        code=error.errno,
        alert=number,
        alert_name=None if number is None else alert_name(number),
        alert_from=sender,
        verify_code=verify.verify_code if verify else None,
        verify_message=verify.verify_message if verify else None,
        received=received,
    )
