"""Whether a request crossed as it must: whom the backend was told about, and what A verified."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from handclasp.demo.cast import CLIENT, make_cast
from handclasp.demo.crossing import Told, described, headers_of, is_genuine, judge_crossing
from tests.pki import NOW

CAST = make_cast(NOW)
OURS = CAST[CLIENT].issued.certificate


def certificate_of(name: str) -> tuple[str, str]:
    return "X-Client-Cert", quote(CAST[name].issued.certificate_pem().decode(), safe="")


TOLD = Told(method="GET", path="/hello", headers=(certificate_of(CLIENT),))
LOGGED = {"verify": "SUCCESS", "sni": "server-a.example"}


def test_a_request_that_crossed_and_named_its_caller_is_as_it_must_be() -> None:
    assert judge_crossing(TOLD, LOGGED, OURS, saw="HTTP 200 OK") == ()


@pytest.mark.parametrize(
    ("logged", "difference"),
    [
        ({**LOGGED, "verify": "NONE"}, "A did not verify B: NONE"),
        ({"sni": "server-a.example"}, "A did not verify B: nothing logged"),
        ({**LOGGED, "sni": "other.example"}, "B asked A for other.example, not server-a.example"),
    ],
)
def test_what_a_logged_otherwise_is_a_difference(logged: dict[str, str], difference: str) -> None:
    assert judge_crossing(TOLD, logged, OURS, saw="HTTP 200 OK") == (difference,)


def test_an_answer_that_is_not_the_backend_s_is_a_difference() -> None:
    differences = judge_crossing(Told(), LOGGED, OURS, saw="HTTP 502 Bad Gateway")
    assert "the application did not get the backend's answer: HTTP 502 Bad Gateway" in differences


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("X-Client-Cert", "forged"),),
        (certificate_of("stranger"),),
        (certificate_of(CLIENT), certificate_of("expired")),
    ],
)
def test_only_the_client_s_own_certificate_alone_is_genuine(headers) -> None:
    assert is_genuine(TOLD, OURS)
    assert not is_genuine(Told(method="GET", path="/", headers=headers), OURS)


def test_a_certificate_is_shown_by_whose_it_is_and_a_lie_as_it_stands() -> None:
    assert described(*certificate_of(CLIENT)).startswith("the certificate of CN=svc-b,O=Demo")
    assert described("X-Client-Cert", "forged") == "forged"
    assert described("X-Client-Verify", "SUCCESS") == "SUCCESS"


def test_header_lines_come_apart_at_the_first_colon() -> None:
    assert headers_of(["Host: a:1", "X: b: c"]) == (("Host", "a:1"), ("X", "b: c"))
