"""Reading wrk's report and programs' versions."""

from __future__ import annotations

import pytest

from bench import load
from bench.binaries import version_text

REPORT = """Running 2s test @ http://127.0.0.1:1/small
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.02ms    2.50ms  40.12ms   95.11%
    Req/Sec    39.72k     4.11k   46.07k    70.00%
  Latency Distribution
     50%  598.00us
     75%    0.92ms
     90%    1.51ms
     99%   12.88ms
  79188 requests in 2.01s, 13.59MB read
Requests/sec:  39431.77
Transfer/sec:      6.77MB
"""


def test_counts_and_units_of_a_clean_report():
    outcome = load.parse(REPORT)
    assert (outcome.requests, outcome.seconds, outcome.errors) == (79188, 2.01, 0)
    assert outcome.p99_ms == pytest.approx(12.88)


@pytest.mark.parametrize(
    ("written", "milliseconds"), [("900.00us", 0.9), ("12.88ms", 12.88), ("1.20s", 1200)]
)
def test_latency_is_milliseconds_whatever_wrk_writes(written: str, milliseconds: float):
    assert load.parse(REPORT.replace("12.88ms", written)).p99_ms == pytest.approx(milliseconds)


def test_socket_errors_and_refusals_are_added_up():
    report = REPORT.replace(
        "Requests/sec",
        "  Socket errors: connect 1, read 20, write 300, timeout 4000\n"
        "  Non-2xx or 3xx responses: 50000\nRequests/sec",
    )
    assert load.parse(report).errors == 54321


@pytest.mark.parametrize("said", ["", "unable to connect to 127.0.0.1:1 Connection refused\n"])
def test_anything_else_is_a_failure_and_not_a_zero(said: str):
    with pytest.raises(load.LoadError, match="no wrk report"):
        load.parse(said)


def test_wrk_that_cannot_connect_is_a_failure_with_its_own_words(tmp_path):
    wrk = tmp_path / "wrk"
    wrk.write_text("#!/bin/sh\necho 'unable to connect' >&2\nexit 1\n")
    wrk.chmod(0o755)
    with pytest.raises(load.LoadError, match="unable to connect"):
        load.run(str(wrk), "http://127.0.0.1:1/", seconds=1, connections=1)


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        (
            "nginx version: nginx/1.22.1\n"  # noqa: ISC003
            + "built with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)\n",
            "1.22.1, OpenSSL 3.0.19",
        ),
        (
            "nginx version: nginx/1.31.3\nbuilt with OpenSSL 3.3.7 7 Apr 2026",
            "1.31.3, OpenSSL 3.3.7",
        ),
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/", "2.6.12-1+deb12u4"),
        ("v2.11.7 h1:yj0Y4fYZGPkSvibBJ1sTWE33xC0fxztVyXEW5iIdUT4=", "2.11.7"),
        ("/x/bin/envoy  version: 9e5580933739775e8bce/1.40.0/Clean/RELEASE", "1.40.0"),
        ("wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer", "4.1.0-3+b2"),
        ("no idea", "unknown version"),
    ],
)
def test_versions_as_programs_print_them(printed: str, version: str):
    assert version_text(printed) == version
