"""`nginx: {mode: existing}`: includes for an nginx that somebody else runs, here one of the test's own."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.conftest import early_log, on
from tests.integration.fault_stage import IN_A_HURRY, OURS
from tests.integration.running import (
    SERVER_NAME,
    Running,
    egress_spec,
    handclasp,
    ingress_spec,
    write_spec,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.integration.running import Material

pytestmark = pytest.mark.integration
# For what takes long and concerns the command more than nginx.
ONE_BUILD = on("distribution")
HURRY: dict[str, Any] = {"program": IN_A_HURRY, "env": OURS}


@dataclass
class Site:
    """An installation with a page of its own, its spec beside it, and whoever answers upstream."""

    binary: Path
    folder: Path
    material: Material
    own_port: int
    link_port: int
    upstream: Backend
    lines: dict[str, str] = field(default_factory=dict)  # in the http context, by purpose

    def __post_init__(self) -> None:
        for name in ("logs", "temp"):
            (self.folder / name).mkdir(parents=True)
        self.spec_path = self.material.folder / f"{self.folder.name}.yaml"
        self.state = self.spec_path.with_suffix(".state")
        self.http_conf = self.state / "generation" / "current" / "http.conf"
        self.command = [
            *(str(self.binary), "-p", f"{self.folder}/", "-c", str(self.conf)),
            *early_log(self.binary, str(self.folder / "logs" / "error.log")),
        ]
        self.write()
        self.specify()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / "nginx.pid").read_text())
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if str(self.folder) in arguments:
                os.killpg(pid, signal.SIGKILL)

    @property
    def conf(self) -> Path:
        return self.folder / "nginx.conf"

    def write(self, **lines: str) -> None:
        """nginx.conf with these lines in its http context, beside those of before."""
        self.lines.update(lines)
        temporary = " ".join(
            f"{name}_temp_path temp/{name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        user = "user root;" if os.geteuid() == 0 else ""
        self.conf.write_text(
            f"{user} worker_processes 1; pid nginx.pid; error_log logs/error.log info;\n"
            "events {}\n"
            "http {\n"
            f"access_log off; {temporary}\n"
            + "".join(f"{line}\n" for line in self.lines.values())
            + f"server {{ listen 127.0.0.1:{self.own_port}; return 200 mine; }}\n"
            "}\n"
        )

    def include(self) -> None:
        """Does what the finding says."""
        self.write(include=f'include "{self.http_conf}";')

    def specify(self, reload: Sequence[str] | None = None, **link: Any) -> None:
        """The spec: one egress link."""
        self.save(
            egress_spec(
                self.material,
                f"127.0.0.1:{self.link_port}",
                f"https://127.0.0.1:{self.upstream.port}",
                **link,
            ),
            reload,
        )

    def save(self, spec: dict[str, Any], reload: Sequence[str] | None = None) -> None:
        spec["nginx"] = {
            "mode": "existing",
            "prefix": f"{self.folder}",
            "config": str(self.conf),
            "reload": list(reload or [*self.command, "-s", "reload"]),
        }
        write_spec(self.material.folder, self.spec_path.stem, spec)

    def start(self) -> None:
        """Starts the installation's nginx, as its owner does."""
        subprocess.run(self.command, cwd=self.folder, timeout=20, check=True)
        deadline = time.monotonic() + 10
        while not (self.folder / "nginx.pid").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def accepted(self) -> bool:
        """Whether nginx could be started with what lies on the disk."""
        done = subprocess.run([*self.command, "-t"], capture_output=True, timeout=20, check=False)
        return done.returncode == 0

    def agent(self, **options: Any) -> Running:
        """An agent with a log of its own: an earlier one's `ready` is not this one's."""
        self.spec_path.with_suffix(".log").unlink(missing_ok=True)
        return Running(self.spec_path, self.binary, **options)

    def refused(self, within: float = 40, **options: Any) -> Running:
        """An agent that does not get as far as ready, after its end."""
        with self.agent(expect_ready=False, **options) as agent:
            agent.process.wait(within)
        return agent

    def serving(self) -> None:
        """Includes in place and an nginx that has them; no agent."""
        self.include()
        assert self.refused().process.returncode == 3  # nothing to reload yet
        self.start()
        assert self.ask()[0] == 200

    def ask(self, path: str = "/", **headers: str) -> tuple[int, str, dict[str, str]]:
        """Through the link: status, body, headers."""
        request = urllib.request.Request(
            f"http://localhost:{self.link_port}{path}", headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), dict(error.headers)

    def fragment(self, name: str = "link-orders.conf") -> str:
        return (self.http_conf.parent / name).read_text()


@pytest.fixture(scope="module")
def upstream(material: Material) -> Iterator[Backend]:
    with Backend(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as one:
        yield one


@pytest.fixture
def site(
    material: Material, nginx_build: Path, free_port: Callable[[], int], upstream: Backend
) -> Iterator[Site]:
    own, link = free_port(), free_port()
    folder = material.folder / f"site-{own}"
    with Site(nginx_build, folder, material, own, link, upstream) as one:
        yield one


def test_the_first_run_names_the_line_to_add_and_the_second_one_serves(site: Site) -> None:
    site.start()
    line = f'include "{site.http_conf}";'
    checked = handclasp(
        *("check", "-c", site.spec_path, "--nginx", site.binary, "--state-dir", site.state),
        cwd=site.folder,
    )
    assert checked.returncode == 1
    assert line in checked.stdout
    first = site.refused()
    assert first.process.returncode == 1
    assert line in first.text
    site.include()
    assert site.accepted()
    with site.agent() as agent:
        status, body, _ = site.ask("/orders")
        assert (status, json.loads(body)["peer"]) == (200, "svc-b")
        assert agent.status()["ready"]
    assert agent.process.returncode == 0
    # The agent supervised nothing: the links serve on without it.
    assert site.ask("/orders")[0] == 200


def test_a_changed_spec_is_put_into_effect_and_a_bad_one_leaves_the_old_one_serving(
    site: Site,
) -> None:
    site.serving()
    with site.agent() as agent:
        site.specify(identity="svc-x")
        agent.reload()
        agent.wait_for("change in effect")
        assert json.loads(site.ask()[1])["peer"] == "svc-x"
        before = site.fragment()
        site.write(broken="no_such_directive on;")
        site.specify(identity="svc-b")
        agent.reload()
        agent.wait_for("change refused")
        assert "no_such_directive" in agent.text
        assert site.fragment() == before
        assert json.loads(site.ask()[1])["peer"] == "svc-x"


def test_a_spec_that_nginx_refuses_at_the_start_does_not_replace_good_includes(
    site: Site, free_port: Callable[[], int]
) -> None:
    site.serving()
    before = site.fragment()
    taken = free_port()
    # Only the whole configuration shows it: both want to be the default server of that address.
    site.write(rival=f"server {{ listen 127.0.0.1:{taken} default_server; return 200 rival; }}")
    site.link_port, good = taken, site.link_port
    site.specify()
    agent = site.refused()
    assert agent.process.returncode == 1
    assert "duplicate default server" in agent.text
    site.link_port = good
    assert site.fragment() == before
    assert site.accepted()
    assert site.ask()[0] == 200


@ONE_BUILD
def test_a_start_with_a_reload_that_did_nothing_goes_back_to_the_includes_before(
    site: Site,
) -> None:
    site.serving()
    before = site.fragment()
    reloads = site.folder / "reloads"
    # A command that says it reloaded and did not.
    told = f"echo x >> {shlex.quote(str(reloads))}"
    site.specify(["/bin/sh", "-c", told], identity="svc-x")
    agent = site.refused(**HURRY)
    assert agent.process.returncode == 1
    assert "nginx still has its old workers" in agent.text
    assert reloads.read_text() == "x\nx\n"  # there, and back
    assert site.fragment() == before
    assert site.ask()[0] == 200


@ONE_BUILD
def test_a_change_that_the_master_refuses_is_not_called_in_effect(
    site: Site, free_port: Callable[[], int]
) -> None:
    site.serving()
    with socket.create_server(("127.0.0.1", free_port())) as stranger, site.agent(**HURRY) as agent:
        before, good = site.fragment(), site.link_port
        site.link_port = stranger.getsockname()[1]  # `nginx -t` does not mind an address in use
        site.specify()
        agent.reload()
        agent.wait_for("change refused", within=40)
        assert "nginx still has its old workers" in agent.text
        assert "change in effect" not in agent.text
        site.link_port = good
        assert site.fragment() == before
        assert site.ask()[0] == 200


def test_a_first_run_without_a_running_nginx_keeps_the_includes_it_tested(site: Site) -> None:
    site.include()
    assert not site.accepted()
    agent = site.refused()
    assert agent.process.returncode == 3
    assert "the reload command failed" in agent.text
    assert "stay in" in agent.text
    assert site.accepted()
    site.start()
    with site.agent():
        assert site.ask()[0] == 200


def test_a_first_run_against_a_configuration_that_nginx_refuses_keeps_nothing(site: Site) -> None:
    site.write(broken="no_such_directive on;")
    assert site.refused().process.returncode == 1
    assert not site.http_conf.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/no/such/program"], "cannot run the reload command /no/such/program"),
        (["/bin/sh", "-c", "echo no way; exit 7"], "the reload command failed (7): no way"),
    ],
)
def test_a_reload_command_that_does_not_work_is_quoted_and_the_old_includes_stay(
    site: Site, command: list[str], said: str
) -> None:
    site.serving()
    before = site.fragment()
    site.specify(command, identity="svc-x")
    agent = site.refused()
    assert agent.process.returncode == 3
    assert said in agent.text
    assert site.fragment() == before
    assert json.loads(site.ask()[1])["peer"] == "svc-b"


@ONE_BUILD
def test_a_reload_command_that_hangs_is_ended_with_all_its_processes(site: Site) -> None:
    site.serving()
    before = site.fragment()
    pids = site.folder / "pids"
    site.specify(["/bin/sh", "-c", f"sleep 300 & echo $! >> {shlex.quote(str(pids))}; wait"])
    with site.agent(expect_ready=False, **HURRY) as agent:
        deadline = time.monotonic() + 20
        while not pids.exists():
            assert time.monotonic() < deadline, agent.text
            time.sleep(0.05)
        # A TERM in the middle of it: going back is tried, with a command that hangs as well.
        agent.process.terminate()
        agent.process.wait(20)
    assert agent.process.returncode == 3
    assert "going back failed too" in agent.text
    assert site.fragment() == before
    for pid in pids.read_text().split():
        assert not _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_check_refuses_an_installation_that_lets_odd_headers_through(site: Site) -> None:
    site.serving()
    check = (
        *("check", "-c", site.spec_path, "--nginx", site.binary, "--state-dir", site.state),
        *("--format", "json"),
    )
    assert handclasp(*check, cwd=site.folder).returncode == 0
    site.write(odd='underscores_in_headers "on"; # ignore_invalid_headers off;')
    done = handclasp(*check, cwd=site.folder)
    assert done.returncode == 1
    seen = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]
    assert [one["where"]["file"] for one in seen] == [str(site.conf)]
    assert "underscores_in_headers on" in seen[0]["seen"]
    site.write(odd="ignore_invalid_headers off;")
    done = handclasp(*check, cwd=site.folder)
    assert done.returncode == 1
    assert "ignore_invalid_headers off" in done.stdout


def test_links_take_over_nothing_that_changes_what_they_do(site: Site, nginx_build: Path) -> None:
    cache = "proxy_cache_path temp/cache keys_zone=theirs:1m; proxy_cache theirs;"
    site.write(
        theirs=f"{cache} proxy_cache_valid any 1h; proxy_cache_key same; proxy_store off;"
        " proxy_intercept_errors on; error_page 500 404 =200 /theirs; auth_request /theirs;"
        " mirror /mirrored; gzip on; gzip_types *; gzip_min_length 1; proxy_pass_request_body off;"
        " proxy_pass_request_headers off; proxy_hide_header Content-Type; expires 1h; proxy_bind 127.0.0.9;"
        " proxy_ssl_verify off; proxy_ssl_name elsewhere; proxy_ssl_session_reuse on;"
    )
    site.serving()
    seen = len(site.upstream.seen)
    for path in ("/one", "/two"):
        status, body, headers = site.ask(path, **{"Accept-Encoding": "gzip", "X-Mine": "1"})
        told = json.loads(body)
        assert (status, told["path"]) == (200, path)
        assert ["X-Mine", "1"] in told["headers"]
        assert "Content-Encoding" not in headers
        assert "Expires" not in headers
        assert headers["Content-Type"].startswith("application/json")
    assert site.ask("/status/404")[:2] == (404, "the backend says 404")
    time.sleep(0.2)  # a mirrored request would come by itself
    assert [one.path for one in site.upstream.seen[seen:]] == ["/one", "/two", "/status/404"]


def test_a_directive_that_cannot_be_kept_out_of_links_is_refused_before_the_reload(
    site: Site,
) -> None:
    site.serving()
    site.write(body="proxy_set_body nothing;")
    site.specify(identity="svc-x")
    agent = site.refused()
    assert agent.process.returncode == 1
    assert "`proxy_set_body` stands in the http context" in agent.text
    assert json.loads(site.ask()[1])["peer"] == "svc-b"


def test_render_writes_includes_that_an_existing_nginx_takes(site: Site) -> None:
    spec = egress_spec(
        site.material,
        f"127.0.0.1:{site.link_port}",
        f"https://127.0.0.1:{site.upstream.port}",
    )
    # As for an nginx of our own, with workers that may read keys: those of this one are others.
    spec["nginx"] = {"user": "games"} if os.geteuid() == 0 else {}
    write_spec(site.material.folder, site.spec_path.stem, spec)
    folder = site.folder / "handclasp"
    done = handclasp(
        *("render", "-c", site.spec_path, "--nginx", site.binary, "--state-dir", site.state),
        *("--output", folder),
        cwd=site.folder,
    )
    assert done.returncode == 0, done.stderr
    line = f'include "{folder}/http.conf";'
    assert line in done.stdout
    assert not (folder / "nginx.conf").exists()
    assert "$hc_id_" not in (folder / "link-orders.conf").read_text()
    site.write(include=line, theirs="proxy_pass_request_headers off;")
    site.start()
    status, body, _ = site.ask("/orders", **{"X-Mine": "1"})
    told = json.loads(body)
    assert (status, told["peer"]) == (200, "svc-b")
    assert ["X-Mine", "1"] in told["headers"]


def test_an_ingress_link_serves_from_an_existing_nginx(
    site: Site, free_port: Callable[[], int]
) -> None:
    site.start()
    tls = free_port()
    with Backend() as backend:
        spec = ingress_spec(site.material, f"127.0.0.1:{tls}", f"http://127.0.0.1:{backend.port}")
        ours = egress_spec(site.material, f"127.0.0.1:{site.link_port}", f"https://127.0.0.1:{tls}")
        spec["identities"] |= ours["identities"]
        site.save({**spec, "egress": ours["egress"]})
        site.refused()
        site.include()
        with site.agent():
            assert site.ask("/in")[0] == 200
        assert backend.last.values("X-Client-Verify") == ["SUCCESS"]
        assert backend.last.values("Host")[0].startswith((SERVER_NAME, "127.0.0.1"))
