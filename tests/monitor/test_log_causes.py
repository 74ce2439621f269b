"""Which lines of nginx's error log tell of a failed handshake, why, and on which link.

The lines were written by nginx 1.22.1 and 1.31.3, by one provoked failure each, but for one that says where
it is from.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.findings import ENTRIES
from handclasp.monitor.log_causes import CAUSES, handshake_failure, may_tell
from handclasp.monitor.metrics import UNKNOWN_CAUSE
from handclasp.nginx.errorlog import parse_line

_READING = (
    " while reading client request headers, client: 127.0.0.1, server: servera.example.com,"
    ' request: "GET / HTTP/1.1", host: "servera.example.com"'
)
_SHAKING = " while SSL handshaking, client: 127.0.0.1, server: 127.0.0.1:33093"
_UPSTREAM = (
    ', client: 127.0.0.1, server: localhost, request: "GET /x HTTP/1.1",'
    ' upstream: "https://127.0.0.1:32947/x", host: "localhost"'
)
_TO_UPSTREAM = f" while SSL handshaking to upstream{_UPSTREAM}"


def line(rest: str, level: str = "info") -> str:
    return f"2026/11/24 15:58:34 [{level}] 1424#1424: *13 {rest}"


def cause(text: str) -> str | None:
    parsed = parse_line(text)
    assert parsed is not None
    found = handshake_failure(parsed)
    # The quick look must not pass over what the long one finds.
    assert found is None or may_tell(text)
    return found


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("client SSL certificate verify error: (10:certificate has expired)", "cert-expired"),
        (
            "client SSL certificate verify error: (9:certificate is not yet valid)",
            "cert-not-yet-valid",
        ),
        (
            "client SSL certificate verify error: (21:unable to verify the first certificate)",
            "server-does-not-trust-client-ca",
        ),
        (
            "client SSL certificate verify error: (26:unsuitable certificate purpose)",
            "wrong-eku-or-purpose",
        ),
        ("client sent no required SSL certificate", "client-cert-not-sent"),
        ("client sent plain HTTP request to HTTPS port", "plain-http-to-tls-port"),
        # Near misses: requests that fail for other reasons.
        ("client sent invalid method", None),
        ("client intended to send too large body: 99 bytes", None),
    ],
)
def test_requests_that_nginx_refuses_for_their_handshake(
    message: str, expected: str | None
) -> None:
    assert cause(line(message + _READING)) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "SSL_do_handshake() failed (SSL: error:0A000102:SSL routines::unsupported protocol)",
            "protocol-version-unsupported",
        ),
        (
            "SSL_do_handshake() failed (SSL: error:0A0000C1:SSL routines::no shared cipher)",
            "no-shared-cipher",
        ),
        (
            "SSL_do_handshake() failed (SSL: error:0A0000EB:SSL routines::no application protocol)",
            "alpn-mismatch",
        ),
        (
            (
                "SSL_do_handshake() failed (SSL: error:0A000418:SSL routines::tlsv1 alert unknown ca:"
                "SSL alert number 48)"
            ),
            UNKNOWN_CAUSE,
        ),
        ("handshake rejected", "no-certificate-for-vhost"),
        ("peer closed connection in SSL handshake", UNKNOWN_CAUSE),
        # The health check of a load balancer is none.
        ("client closed connection", None),
    ],
)
def test_handshakes_of_clients_that_fail(message: str, expected: str | None) -> None:
    assert cause(line(message + _SHAKING)) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f'upstream SSL certificate does not match "servera.example.com"{_TO_UPSTREAM}',
            "hostname-not-in-san",
        ),
        (
            f"upstream SSL certificate verify error: (10:certificate has expired){_TO_UPSTREAM}",
            "cert-expired",
        ),
        (
            "upstream SSL certificate verify error: (21:unable to verify the first certificate)"
            + _TO_UPSTREAM,
            UNKNOWN_CAUSE,
        ),
        (
            (
                "SSL_do_handshake() failed (SSL: error:0A000418:SSL routines::tlsv1 alert unknown ca:"
                f"SSL alert number 48){_TO_UPSTREAM}"
            ),
            "server-does-not-trust-client-ca",
        ),
        (
            (
                "SSL_read() failed (SSL: error:0A000418:SSL routines::tlsv1 alert unknown ca:"
                f"SSL alert number 48) while reading response header from upstream{_UPSTREAM}"
            ),
            "server-does-not-trust-client-ca",
        ),
        (
            "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)"
            + _TO_UPSTREAM,
            "tls-to-plain-port",
        ),
        (
            "peer closed connection in SSL handshake (104: Connection reset by peer)"
            + _TO_UPSTREAM,
            UNKNOWN_CAUSE,
        ),
        (
            "connect() failed (104: Connection reset by peer) while connecting to upstream"
            + _UPSTREAM,
            UNKNOWN_CAUSE,
        ),
        # No handshake was tried.
        (
            "connect() failed (111: Connection refused) while connecting to upstream" + _UPSTREAM,
            None,
        ),
        (
            "connect() failed (104: Connection reset by peer) while connecting to upstream"
            + _UPSTREAM.replace("https", "http"),
            None,
        ),
        (
            (
                "upstream timed out (110: Connection timed out) while reading response header from"
                f" upstream{_UPSTREAM}"
            ),
            None,
        ),
    ],
)
def test_handshakes_with_upstreams_that_fail(message: str, expected: str | None) -> None:
    assert cause(line(message, "error")) == expected


@pytest.mark.parametrize(
    "code", ["18:self-signed certificate", "19:self-signed certificate in certificate chain"]
)
def test_an_upstream_that_shows_its_own_root_is_not_in_our_trust_for_certain(code: str) -> None:
    text = f"upstream SSL certificate verify error: ({code}){_TO_UPSTREAM}"
    assert cause(line(text, "error")) == "trust-anchor-wrong"


def test_a_connection_that_breaks_after_its_handshake_is_no_failed_handshake() -> None:
    # nginx 1.18 with OpenSSL 3.0.2, often published: github.com/openssl/openssl/issues/18866
    text = "SSL_read() failed (SSL: error:0A000126:SSL routines::unexpected eof while reading)"
    assert cause(line(f"{text} while keepalive, client: 192.0.2.1, server: 0.0.0.0:443")) is None


def test_a_request_that_quotes_a_failure_is_none() -> None:
    forged = 'client sent invalid header line: "x: client sent no required SSL certificate"'
    assert cause(line(forged + _READING)) is None
    in_request = _READING.replace("GET /", "GET /client SSL certificate verify error: (10:x)")
    assert cause(line(f"access forbidden by rule{in_request}")) is None


def test_a_line_that_was_cut_within_a_long_request_keeps_its_cause() -> None:
    text = line(
        "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number) while"
        f' SSL handshaking to upstream, client: 127.0.0.1, server: localhost, request: "GET /{"x" * 1900}'
    )
    assert cause(text) == "tls-to-plain-port"


def test_every_cause_is_in_the_catalogue() -> None:
    assert CAUSES - {UNKNOWN_CAUSE} <= set(ENTRIES)


@given(st.text(max_size=300))
def test_whatever_is_logged_the_cause_is_a_known_one(rest: str) -> None:
    for begin in (
        "",
        "SSL_do_handshake() failed (SSL: ",
        "client SSL certificate verify error: (1",
    ):
        parsed = parse_line(line(begin + rest))
        assert parsed is not None
        assert handshake_failure(parsed) in {None, *CAUSES}
