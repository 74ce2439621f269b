"""The judgement of a try: each way in which it can go wrong is seen."""

from __future__ import annotations

import pytest

from handclasp.demo.tries import TRIES, client_saw, judge_forgery, judge_refusal
from handclasp.findings import ENTRIES
from tests.demo.looking import alerted, answered, looked

NO_CERTIFICATE = TRIES[0]
FORGED = next(one for one in TRIES if one.forged)
HONEST = (("X-Client-Cert", "-----BEGIN…"), ("X-Client-Subject", "CN=svc-b"))


def test_every_try_is_named_in_the_catalogue() -> None:
    assert len({one.slug for one in TRIES}) == len(TRIES) == 6
    assert {one.slug for one in TRIES} <= set(ENTRIES)


def test_a_refusal_that_is_named_and_stays_outside_is_as_it_must_be() -> None:
    slug = NO_CERTIFICATE.slug
    for seen in (answered(400), answered(502), alerted(112, "unrecognized_name")):
        assert judge_refusal(NO_CERTIFICATE, seen, named=slug, reached=0) == ()


@pytest.mark.parametrize(
    ("seen", "named", "reached", "difference"),
    [
        (answered(200, reason="OK"), NO_CERTIFICATE.slug, 0, "it was not refused: HTTP 200 OK"),
        (looked(), NO_CERTIFICATE.slug, 0, "it was not refused"),
        (looked(reached=False), NO_CERTIFICATE.slug, 0, "nobody listens at A"),
        (answered(400), NO_CERTIFICATE.slug, 1, "the request reached the other side"),
        (answered(400), None, 0, "it should be named client-cert-not-sent, and was not named"),
        (
            answered(400),
            "cert-expired",
            0,
            "it should be named client-cert-not-sent, and was cert-expired",
        ),
    ],
)
def test_a_refusal_that_differs_is_said_to(seen, named, reached, difference) -> None:
    assert judge_refusal(NO_CERTIFICATE, seen, named=named, reached=reached) == (difference,)


def test_a_request_that_arrives_without_its_forgeries_is_as_it_must_be() -> None:
    assert judge_forgery(FORGED, answered(200), HONEST, genuine=True) == ()


@pytest.mark.parametrize(
    ("seen", "headers", "genuine", "difference"),
    [
        (answered(400, reason="Bad Request"), HONEST, True, "the honest part"),
        (answered(200), (("X-Client-Cert", "forged"),), True, "forged X-Client-Cert"),
        (answered(200), (*HONEST, FORGED.forged[2]), True, "forged X-Forwarded-Client-Cert"),
        (answered(200), HONEST, False, "the caller's own certificate"),
    ],
)
def test_a_forgery_that_gets_through_is_seen(seen, headers, genuine, difference) -> None:
    (found,) = judge_forgery(FORGED, seen, headers, genuine=genuine)
    assert difference in found


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (
            answered(400, b"No.\nRequest id: 1\n", "Bad Request", "text/plain"),
            "HTTP 400 Bad Request: No.",
        ),
        (answered(502, b"<html>", "Bad Gateway", "text/html"), "HTTP 502 Bad Gateway"),
        (alerted(112, "unrecognized_name"), "TLS alert unrecognized_name (112) from the server"),
        (looked(), "nothing"),
    ],
)
def test_what_the_client_saw_is_one_line(seen, text) -> None:
    assert client_saw(seen) == text
