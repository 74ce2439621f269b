"""Which lines of the error log tell of a token that is away: those of real outages, and near misses."""

from __future__ import annotations

import pytest

from handclasp.agent.outage import is_token_failure, may_be_token_failure

FRONT = "2026/11/24 10:26:41 [crit] 10748#10748: *3 SSL_do_handshake() failed (SSL: "
BACK = ") while SSL handshaking, client: 127.0.0.1, server: 127.0.0.1:443"
ENGINE = "error:41800082:PKCS#11 module::Object handle invalid error:0A080006:SSL routines::EVP lib"
PROVIDER = (
    "error:40800060:pkcs11::The specified key handle is not valid:Provided key has invalid handle "
    "error:0A080006:SSL routines::EVP lib"
)
NO_ALGORITHM = "error:0A000076:SSL routines::no suitable signature algorithm"
CALLER = (
    "2026/11/24 10:26:41 [error] 1#1: *3 connect() failed (111: Connection refused) while connecting to "
    'upstream, client: 127.0.0.1, server: a, request: "GET /SSL_do_handshake() failed (SSL: pkcs11 '
    'HTTP/1.1", upstream: "https://127.0.0.1:1/"'
)


@pytest.mark.parametrize("told", [ENGINE, PROVIDER])
def test_errors_of_the_engine_and_of_the_provider_are_failures_of_the_token(told: str) -> None:
    assert is_token_failure(FRONT + told + BACK)


def test_no_algorithm_to_sign_with_is_a_suspicion_only() -> None:
    line = FRONT + NO_ALGORITHM + BACK
    assert may_be_token_failure(line)
    assert not is_token_failure(line)


@pytest.mark.parametrize(
    "line",
    [
        CALLER,
        FRONT + "error:0A000086:SSL routines::certificate verify failed" + BACK,
        "",
    ],
)
def test_other_failures_and_what_callers_write_are_not(line: str) -> None:
    assert not is_token_failure(line)
    assert not may_be_token_failure(line)
