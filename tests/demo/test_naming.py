"""From nginx's own lines to the slug. The lines were provoked from nginx 1.22.1 and 1.31.3."""

from __future__ import annotations

import pytest

from handclasp.demo.naming import name_in_handshake, name_in_log
from tests.demo.looking import alerted, answered, closed

LINE = "2026/11/24 06:46:41 [info] 14827#14827: *7 {}, client: 127.0.0.1, server: server-a.example"


@pytest.mark.parametrize(
    ("message", "slug"),
    [
        (
            "client sent no required SSL certificate while reading client request headers",
            "client-cert-not-sent",
        ),
        (
            (
                "client SSL certificate verify error: (10:certificate has expired) while reading"
                " client request headers"
            ),
            "cert-expired",
        ),
        (
            (
                "client SSL certificate verify error: (21:unable to verify the first certificate)"
                " while reading client request headers"
            ),
            "server-does-not-trust-client-ca",
        ),
        ("handshake rejected while SSL handshaking", "no-certificate-for-vhost"),
        (
            (
                'upstream SSL certificate does not match "server-a.example" while SSL handshaking to'
                " upstream"
            ),
            "hostname-not-in-san",
        ),
    ],
)
def test_the_line_that_says_why_is_found_among_others(message: str, slug: str) -> None:
    others = [LINE.format("client closed keepalive connection"), "no log line at all"]
    named = name_in_log([*others, LINE.format(message), *others])
    assert named is not None
    assert (named[0], named[1].message) == (slug, message)


@pytest.mark.parametrize(
    "message",
    [
        "client closed connection while waiting for request",
        "client SSL certificate verify error: (23:certificate revoked) while reading",
        'upstream timed out while "client sent no required SSL certificate"',
    ],
)
def test_other_lines_name_nothing(message: str) -> None:
    assert name_in_log([LINE.format(message)]) is None


def test_an_unknown_name_is_told_from_the_handshake_alone() -> None:
    assert name_in_handshake(alerted(112, "unrecognized_name")) == "no-certificate-for-vhost"
    assert name_in_handshake(closed(after_handshake=True)) == "no-certificate-for-vhost"


def test_other_endings_are_not_taken_for_an_unknown_name() -> None:
    assert name_in_handshake(alerted(48, "unknown_ca")) is None
    assert name_in_handshake(closed(after_handshake=False)) is None
    assert name_in_handshake(answered(400)) is None
