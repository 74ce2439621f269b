from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.errors import UsageError
from handclasp.wire.exchange import BODY_LIMIT, AnswerError, Exchange
from handclasp.wire.offer import HttpRequest


def test_the_request_is_one_that_any_server_understands() -> None:
    sent = Exchange(HttpRequest(method="POST", path="/p?q", body=b"abc"), "h.example").outgoing
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /p?q HTTP/1.1",
        b"Host: h.example",
        b"Connection: close",
        b"Content-Length: 3",
    ]
    assert body == b"abc"


@pytest.mark.parametrize(
    "request_",
    [
        HttpRequest(path="/a b"),
        HttpRequest(method="GE T"),
        HttpRequest(host="a\r\nX: y"),
        HttpRequest(headers=(("näme", "x"),)),
        HttpRequest(headers=(("X", "a\nb"),)),
    ],
)
def test_a_request_that_cannot_be_said_is_refused(request_: HttpRequest) -> None:
    with pytest.raises(UsageError, match="cannot be sent"):
        Exchange(request_, "h.example")


ANSWERS = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi": (200, b"hi"),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n": (200, b"hi"),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n": (204, b""),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n": (101, b""),
}


@pytest.mark.parametrize("text", list(ANSWERS))
@given(data=st.data())
def test_an_answer_in_any_pieces_is_the_same_answer(text: bytes, data: st.DataObject) -> None:
    upgrade = (("Upgrade", "x"), ("Connection", "upgrade")) if b"101" in text else ()
    exchange = Exchange(HttpRequest(headers=upgrade), "h")
    cuts = sorted(data.draw(st.lists(st.integers(1, len(text) - 1), max_size=6)))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        if start < end:
            assert not exchange.done
            exchange.receive(text[start:end])
    assert exchange.done
    assert exchange.answer is not None
    assert (exchange.answer.status, exchange.answer.body) == ANSWERS[text]
    assert exchange.answer.complete


def test_a_body_that_stops_in_the_middle_leaves_what_came() -> None:
    exchange = Exchange(HttpRequest(), "h")
    exchange.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal")
    with pytest.raises(AnswerError):
        exchange.receive(b"")
    assert exchange.answer is not None
    assert (exchange.answer.body, exchange.answer.complete) == (b"hal", False)


def test_a_body_without_length_ends_with_the_connection() -> None:
    exchange = Exchange(HttpRequest(), "h")
    exchange.receive(b"HTTP/1.0 200 OK\r\n\r\nall of it")
    exchange.receive(b"")
    assert exchange.answer is not None
    assert (exchange.answer.body, exchange.answer.complete) == (b"all of it", True)
    assert exchange.answer.http_version == "1.0"


def test_a_long_body_is_read_to_the_limit_only() -> None:
    exchange = Exchange(HttpRequest(), "h")
    exchange.receive(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (BODY_LIMIT + 10))
    assert exchange.done
    assert exchange.answer is not None
    assert len(exchange.answer.body) == BODY_LIMIT
    assert not exchange.answer.complete


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_any_bytes_are_an_answer_or_an_answer_error(pieces: list[bytes]) -> None:
    exchange = Exchange(HttpRequest(), "h")
    with contextlib.suppress(AnswerError):
        for piece in [*pieces, b""]:
            if not exchange.done:
                exchange.receive(piece)
