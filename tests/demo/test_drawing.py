"""The page: within its columns, and honest about what differed."""

from __future__ import annotations

import re

import pytest

from handclasp.demo.cast import CLIENT, make_cast
from handclasp.demo.crossing import Crossing, Told
from handclasp.demo.drawing import Page
from handclasp.demo.specs import Ports, spec_a, spec_b
from handclasp.demo.tries import TRIES, Outcome
from tests.demo.test_crossing import certificate_of
from tests.pki import NOW

PORTS = Ports(a=20001, b=20002, backend=20003, impostor=20004)
IDENTITIES = [{"subject": "CN=svc-b,O=Demo", "days_left": 89}]
STATUS_A = {"links": [{"name": "api", "allow": ["cn:svc-b"]}], "identities": IDENTITIES}
STATUS_B = {
    "links": [{"name": "orders", "to": ["https://server-a.example"]}],
    "identities": IDENTITIES,
}
CROSSING = Crossing(
    url="http://127.0.0.1:20002/hello",
    client_saw="HTTP 200 OK",
    seconds=0.008,
    b_logged={"method": "GET", "host": "127.0.0.1", "upstream": "127.0.0.1:20001"},
    a_logged={
        "tls": "TLSv1.3",
        "sni": "server-a.example",
        "subject": "CN=svc-b,O=Demo",
        "verify": "SUCCESS",
        "issuer": "CN=Demo CA,O=Demo",
    },
    told=Told(
        method="GET", path="/hello", headers=(certificate_of(CLIENT), ("Accept", "unimportant"))
    ),
    differences=(),
)
LONG = Outcome(
    attempt=TRIES[4],
    client_saw="HTTP 502 Bad Gateway: " + "words " * 40,
    named=TRIES[4].slug,
    log_line='upstream SSL certificate does not match "server-a.example" ' + "and " * 30,
)


def everything(page: Page) -> str:
    cast = make_cast(NOW)
    parts = [
        page.opening("nginx 1.22.1 with OpenSSL 3.0.19", "/usr/sbin/nginx", "/tmp/demo-1234", cast),
        page.listing("a.yaml", spec_a(PORTS)),
        page.listing("b.yaml", spec_b(PORTS)),
        page.crossing(CROSSING, STATUS_A, STATUS_B),
        page.refusals_heading(),
        *(
            page.outcome(number, Outcome(attempt=one, client_saw="nothing", named=one.slug))
            for number, one in enumerate(TRIES)
        ),
        page.outcome(9, LONG),
        page.result(7, (), 1.5),
    ]
    return "\n".join(parts)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    # Narrower than 80 only what is wrapped fits: spec files and the picture are not.
    text = everything(Page(width=width)) if width >= 80 else Page(width=width).outcome(9, LONG)
    too_wide = [line for line in text.splitlines() if len(line) > width]
    assert not too_wide


def test_without_colour_there_is_none_and_with_it_the_text_is_the_same() -> None:
    plain, coloured = everything(Page()), everything(Page(colour=True))
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_terminal_that_knows_only_ascii_gets_ascii() -> None:
    everything(Page(unicode=False)).encode("ascii")


def test_each_station_shows_what_it_saw() -> None:
    text = Page().crossing(CROSSING, STATUS_A, STATUS_B)
    for seen in ("TLSv1.3, asked for server-a.example", "verified: SUCCESS", "89 days left"):
        assert seen in text
    assert "unimportant" not in text
    assert "BEGIN" not in text


def test_what_differed_is_shown_in_the_place_of_the_tick() -> None:
    attempt = TRIES[0]
    good = Outcome(attempt=attempt, client_saw="HTTP 400", named=attempt.slug)
    bad = Outcome(attempt=attempt, client_saw="HTTP 200", differences=("it was not refused",))
    assert "✓ refused as client-cert-not-sent (HC101)" in Page().outcome(1, good)
    assert "✗ it was not refused" in Page().outcome(1, bad)
    assert "✓" not in Page().outcome(1, bad)


def test_the_result_names_everything_that_failed() -> None:
    assert "All 7 expectations held (1.5 s)" in Page().result(7, (), 1.52)
    text = Page().result(7, ("one thing", "another"), 1.5)
    assert "2 of 7 expectations did NOT hold" in text
    assert "one thing" in text
    assert "another" in text
