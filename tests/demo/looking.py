"""Observations as the demo's pure parts meet them."""

from __future__ import annotations

from typing import Any

from handclasp.wire.observation import (
    AddressAttempt,
    Failure,
    FailureKind,
    HttpAnswer,
    Observation,
    Party,
    Stage,
    Step,
    Target,
)

TARGET = Target(host="127.0.0.1", port=1)


def looked(*, reached: bool = True, **more: Any) -> Observation:
    attempt = AddressAttempt(address="127.0.0.1", ok=reached, seconds=0.0)
    return Observation(
        **{"target": TARGET, "addresses": (attempt,), "steps": (), "failure": None, **more}
    )


def answered(status: int, body: bytes = b"", reason: str = "", kind: str = "") -> Observation:
    return looked(
        answer=HttpAnswer(
            status=status,
            reason=reason,
            http_version="1.1",
            headers=(("content-type", kind),),
            body=body,
            complete=True,
        )
    )


def alerted(number: int, name: str) -> Observation:
    return looked(
        failure=Failure(
            stage=Stage.HANDSHAKE,
            kind=FailureKind.TLS,
            text="an alert",
            alert=number,
            alert_name=name,
            alert_from=Party.PEER,
        )
    )


def closed(*, after_handshake: bool) -> Observation:
    """The peer went without a word."""
    step = Step(Stage.HANDSHAKE, after_handshake, 0.0, "")
    failure = Failure(stage=Stage.ANSWER, kind=FailureKind.CLOSED, text="closed")
    return looked(steps=(step,), failure=failure)
