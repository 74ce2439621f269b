"""The harness with real servers: proofs with their broken twins, and one tiny run."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from bench import __main__, binaries, load, processes, proof
from bench.material import SERVER_NAME, write_material
from bench.model import Site
from bench.origin import start_nginx, start_origin, start_tunnel
from bench.subjects import subject
from tests.conftest import lacks

FOUND = binaries.find_binaries()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(lacks("nginx" in FOUND), reason=binaries.HOW_TO_INSTALL["nginx"]),
]


@pytest.fixture
def running():
    started: list[processes.Running] = []
    yield started
    for one in reversed(started):
        one.stop()


@pytest.fixture
def site(tmp_path_factory) -> Site:
    # Workers of root run as nobody and must reach these files.
    folder = tmp_path_factory.mktemp("bench")
    for part in (folder, folder.parent, folder.parent.parent):
        part.chmod(0o755)
    return Site(str(folder), str(write_material(folder / "material")), 0, 0, SERVER_NAME)


def start_subject(running, site, role, name, target, *, change=("", "")):
    one = replace(site, listen=processes.free_port(), target=target)
    text = subject(role, name).configuration(one)
    assert change[0] in text
    folder = Path(site.folder) / f"{role}-{len(running)}"
    running.append(start_nginx(FOUND["nginx"], folder, text.replace(*change), (one.listen,)))
    return one.listen


def begin(running, site):
    origin = start_origin(FOUND["nginx"], Path(site.folder) / "origin", site)
    running.append(origin.running)
    return origin


def test_an_egress_is_proven_and_one_without_its_certificate_is_not(running, site):
    origin = begin(running, site)
    good = start_subject(running, site, "egress", "handclasp", origin.fresh)
    assert proof.prove_egress(good) == "TLSv1.3, pooled connection"
    bad = start_subject(
        running,
        site,
        "egress",
        "handclasp",
        origin.fresh,
        change=(f"{site.material}/client.", f"{site.material}/stranger."),
    )
    with pytest.raises(proof.NotTheJobError, match="did not see the client certificate"):
        proof.prove_egress(bad)


def test_the_seed_makes_a_handshake_per_request_and_resumes_where_it_may(running, site):
    origin = begin(running, site)
    fresh = start_subject(running, site, "egress", "seed", origin.fresh)
    assert proof.prove_egress(fresh).endswith("full handshake per request")
    resuming = start_subject(running, site, "egress", "seed", origin.resuming)
    assert proof.prove_egress(resuming).endswith("resumed session")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("", ""), None),
        (("X-Client-Cert $ssl", "X-Other $ssl"), "forged|did not see"),
        (('x-forwarded-client-cert ""', 'x-nothing ""'), "forged identity header"),
        (("ssl_verify_client on", "ssl_verify_client optional_no_ca"), "unknown CA"),
    ],
)
def test_an_ingress_is_proven_unless_it_leaves_part_of_the_job_out(
    running, site, change, complaint
):
    origin = begin(running, site)
    port = start_subject(running, site, "ingress", "handclasp", origin.plain, change=change)
    folder = Path(site.folder) / "tunnel"
    tunnel = start_tunnel(FOUND["nginx"], folder, site, port)
    running.append(tunnel.running)
    if complaint is None:
        seen = proof.prove_ingress(tunnel.pooled, tunnel.stranger, strips=True)
        assert seen == "certificate forwarded, forged headers removed"
    else:
        with pytest.raises(proof.NotTheJobError, match=complaint):
            proof.prove_ingress(tunnel.pooled, tunnel.stranger, strips=True)


def test_uploads_are_read_to_their_end_so_the_pool_survives(running, site):
    origin = begin(running, site)
    port = start_subject(running, site, "egress", "handclasp", origin.fresh)
    proof.get(port, "/seen")
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/sink", body=b"x" * 1024 * 1024)
    assert connection.getresponse().read() == b"hello world\n"
    connection.close()
    _subject, _protocol, _reused, requests = proof.get(port, "/seen")[1].split("|")
    assert int(requests) == 3


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(tmp_path):
    with pytest.raises(processes.StartError, match="exited with 3: out of order"):
        processes.start(
            ["/bin/sh", "-c", "echo out of order; exit 3"],
            folder=tmp_path,
            ports=(processes.free_port(),),
        )


def test_cpu_time_of_a_busy_process_is_counted_in_microseconds(tmp_path):
    busy = processes.start(
        ["/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 20"],
        folder=tmp_path,
        ports=(),
    )
    try:
        for _ in range(100):
            if "S" in (processes._PROC / str(busy.process.pid) / "stat").read_text().split()[2]:
                break
            time.sleep(0.05)
        spent = busy.cpu_us()
        assert 5_000 < spent < 10_000_000
        assert busy.memory_kib() > 0
    finally:
        busy.stop()
    assert not busy.alive()


@pytest.mark.skipif(lacks("wrk" in FOUND), reason=binaries.HOW_TO_INSTALL["wrk"])
def test_a_quick_run_measures_writes_json_and_names_what_is_not_installed(
    tmp_path, monkeypatch, capsys
):
    present = {kind: FOUND[kind] for kind in FOUND if kind in {"nginx", "wrk"}}
    monkeypatch.setattr(__main__, "find_binaries", lambda: present)
    monkeypatch.setattr(__main__, "time_commands", lambda *_, **__: ())
    code = __main__.main(
        [
            *("--quick", "--no-docs", "--source", "hand", "--out", str(tmp_path)),
            *("--scenario", "egress-keepalive"),
            *("--subject", "handclasp", "--subject", "haproxy"),
        ]
    )
    printed = capsys.readouterr()
    assert code == 0, printed.err
    (path,) = tmp_path.glob("*.json")
    ours, theirs = json.loads(path.read_text())["cells"]
    assert ours["subject"] == "handclasp"
    assert ours["samples"][0]["requests"] > 100
    assert 1 < ours["samples"][0]["cpu_us"] / ours["samples"][0]["requests"] < 5000
    assert theirs["skipped"] == "skipped: not installed (apt install haproxy)"
    assert re.search(r"^\| haproxy .*skipped: not installed", printed.out, re.MULTILINE)


def test_without_wrk_the_command_says_so_and_exits_with_3(monkeypatch, capsys):
    monkeypatch.setattr(__main__, "find_binaries", lambda: {"nginx": FOUND["nginx"]})
    assert __main__.main(["--quick", "--no-docs"]) == 3
    assert "apt install wrk" in capsys.readouterr().err


@pytest.mark.skipif(lacks("wrk" in FOUND), reason=binaries.HOW_TO_INSTALL["wrk"])
def test_load_on_a_port_nobody_listens_on_is_a_failure(site):
    with pytest.raises(load.LoadError):
        load.run(
            FOUND["wrk"].path,
            f"http://127.0.0.1:{processes.free_port()}/",
            seconds=1,
            connections=1,
        )
