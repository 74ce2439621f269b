"""Which servers a caller's headers are too large for."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest
from h11._connection import DEFAULT_MAX_INCOMPLETE_EVENT_SIZE

from handclasp.identity.encoders import Style, encode
from handclasp.identity.limits import LIMITS, Limit, fits, too_large
from tests.identity import golden_cases


def test_one_leaf_fits_everywhere_and_a_long_chain_does_not() -> None:
    assert too_large(encode("x-client-cert", golden_cases.load("p256"))) == ()
    who = golden_cases.load("rsa4096")
    assert who.chain is not None
    links = who.chain.intermediates
    longer = replace(who, chain=replace(who.chain, intermediates=links * 2))
    headers = encode("xfcc", longer, golden_cases.FULL)
    refused = {excess.limit.server: excess for excess in too_large(headers)}
    assert refused["gunicorn"].header == "X-Forwarded-Client-Cert"
    assert refused["Tomcat"].header is None
    assert "Node.js" not in refused


@pytest.mark.parametrize(
    ("line", "total", "excess"),
    [
        (100, None, False),
        (99, None, True),
        (None, 110, False),
        (None, 109, True),
        (None, None, False),
    ],
)
def test_a_bound_is_the_last_size_that_is_admitted(
    line: int | None, total: int | None, excess: bool
) -> None:
    limit = Limit("x", line, total, "", "")
    headers = [("A", "b" * 95)]  # 100 bytes with name, colon, blank and line end
    assert bool(too_large(headers, limits=[limit], others=10)) is excess


def test_all_headers_count_together_and_the_longest_by_itself() -> None:
    limit = Limit("x", 50, 90, "", "")
    longest = too_large([("A", "b"), ("B", "b" * 60)], limits=[limit], others=0)
    assert [(one.header, one.size) for one in longest] == [("B", 65)]
    together = too_large([("A", "b" * 41), ("B", "b" * 41)], limits=[limit], others=0)
    assert [(one.header, one.size) for one in together] == [(None, 92)]


def test_a_server_is_asked_by_name() -> None:
    headers = encode("handclasp", golden_cases.load("twenty-sans"), Style(certificate=False))
    assert fits(headers, "Tomcat")
    assert not fits([("A", "b" * 9000)], "Tomcat")
    with pytest.raises(KeyError):
        fits(headers, "nobody's")


def test_the_table_agrees_with_the_servers_that_are_installed() -> None:
    limits = {limit.server: limit for limit in LIMITS}
    assert len(limits) == len(LIMITS)
    assert limits["uvicorn and hypercorn (h11)"].total == DEFAULT_MAX_INCOMPLETE_EVENT_SIZE
    for server, module, name, bound in (
        ("gunicorn", "gunicorn.config", "LimitRequestFieldSize", "default"),
        ("waitress", "waitress.adjustments", "Adjustments", "max_request_header_size"),
    ):
        try:
            loaded = importlib.import_module(module)
        except ImportError:
            continue
        limit = limits[server]
        assert getattr(getattr(loaded, name), bound) == (limit.line or limit.total)
