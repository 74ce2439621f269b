"""Names that do not exist have no address; names nobody could be asked about keep theirs."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from handclasp.agent.resolve import SystemResolver


@pytest.mark.parametrize(
    ("failure", "kept"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), False),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), True),
        (OSError("no more descriptors"), True),
    ],
    ids=str,
)
def test_an_outage_of_dns_keeps_the_last_addresses_and_a_denial_does_not(
    monkeypatch: pytest.MonkeyPatch, failure: OSError, kept: bool
) -> None:
    answers: list[Any] = [
        [(0, 0, 0, "", ("2001:db8::1", 0)), (0, 0, 0, "", ("192.0.2.1", 0))],
        failure,
        failure,
    ]

    async def getaddrinfo(*_: object, **__: object) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def ask_three_times() -> list[tuple[str, ...]]:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        resolver = SystemResolver()
        return [(await resolver.resolve(["up.example"]))["up.example"] for _ in range(3)]

    first = ("192.0.2.1", "2001:db8::1")
    assert asyncio.run(ask_three_times()) == [first, *[first if kept else ()] * 2]


def test_a_name_that_never_had_an_address_has_none() -> None:
    resolved = asyncio.run(SystemResolver().resolve(["localhost", "nowhere.invalid", "a" * 300]))
    assert "127.0.0.1" in resolved["localhost"]
    assert resolved["nowhere.invalid"] == resolved["a" * 300] == ()
