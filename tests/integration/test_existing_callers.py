"""`nginx: {mode: existing}` with links that ask the agent: the workers of that nginx are let in, and its http
context cannot get round the agent."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import socket
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.features import Feature
from tests.integration.running import SERVER_NAME, handclasp, ingress_spec, write_spec
from tests.integration.servers import Backend
from tests.integration.test_existing_nginx import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handclasp.nginx.facts import Facts
    from tests.integration.running import Material

pytestmark = pytest.mark.integration
ROOT = os.geteuid() == 0
ACCOUNT = next(
    (name for name in ("www-data", "nobody") if any(one.pw_name == name for one in pwd.getpwall())),
    "nobody",
)
OTHER = "daemon"
AS_ROOT = pytest.mark.skipif(not ROOT, reason="accounts are changed as root only")
ONE_BUILD = pytest.mark.parametrize("nginx_build", ["distribution"], indirect=True)


class Shop(Site):
    """An installation whose workers have an account of their own, and two ingress links: `asked` goes to
    the agent, `plain` is decided by nginx."""

    user: str | None = ACCOUNT
    backend: Backend

    def write(self, **lines: str) -> None:
        super().write(**lines)
        user = f"user {self.user};" if self.user and ROOT else ""
        self.conf.write_text(self.conf.read_text().replace("user root;", user))

    def specify_links(self, plain: int, **nginx: str) -> None:
        spec = ingress_spec(
            self.material,
            f"127.0.0.1:{self.link_port}",
            f"http://127.0.0.1:{self.backend.port}",
            name="asked",
            clients={"trust": "company", "allow": ["dns:svc-b.internal"]},
            forward=["rfc9440"],
        )
        spec["ingress"].append(
            {
                **spec["ingress"][0],
                "name": "plain",
                "listen": f"127.0.0.1:{plain}",
                "clients": {"trust": "company", "allow": ["cn:svc-b", "cn:svc-x"]},
                "forward": ["x-client-cert"],
            }
        )
        self.save(spec)
        if nginx:
            spec["nginx"] |= nginx
            write_spec(self.material.folder, self.spec_path.stem, spec)

    def check(self) -> subprocess.CompletedProcess[str]:
        options = ("-c", self.spec_path, "--nginx", self.binary, "--state-dir", self.state)
        return handclasp("check", *options, "--format", "json", cwd=self.folder)

    def enter(self, who: str, port: int) -> int:
        """Status of a request with that certificate, on a connection of its own."""
        context = ssl.create_default_context(cafile=str(self.material.folder / "ca.pem"))
        context.check_hostname = False
        context.load_cert_chain(*self.material.pair(who))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10)
        connection.sock = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port), 10), server_hostname=SERVER_NAME
        )
        try:
            connection.request("GET", "/", headers={"Host": SERVER_NAME})
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Backend]:
    with Backend() as one:
        yield one


@pytest.fixture
def plain_port(free_port: Callable[[], int]) -> int:
    return free_port()


@pytest.fixture
def shop(
    material: Material,
    nginx_build: Path,
    free_port: Callable[[], int],
    upstream: Backend,
    plain_port: int,
) -> Iterator[Shop]:
    own, link = free_port(), free_port()
    folder = material.folder / f"shop-{own}"
    with Shop(nginx_build, folder, material, own, link, upstream) as one:
        one.backend = upstream
        one.specify_links(plain_port)
        yield one


def slugs(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {one["slug"]: one for one in json.loads(done.stdout)["findings"]}


def test_its_workers_ask_the_agent_and_its_http_context_lets_nobody_past(
    shop: Shop, plain_port: int
) -> None:
    shop.write(
        theirs="satisfy any; allow all; auth_request /theirs; error_page 502 503 =200 /theirs;"
        " proxy_cache_valid any 1h; proxy_cache_min_uses 5; proxy_ignore_headers Cache-Control;"
        " proxy_next_upstream off; proxy_pass_request_headers on;"
    )
    shop.include()
    assert shop.refused().process.returncode == 3  # nothing to reload yet
    shop.start()
    with shop.agent() as agent:
        assert shop.enter("svc-b", shop.link_port) == 200
        assert shop.backend.last.values("Client-Cert")
        assert [shop.enter("svc-x", shop.link_port) for _ in range(2)] == [403, 403]
        assert shop.enter("svc-x", plain_port) == 200
        kept = [path for path in (shop.state / "nginx" / "answers").rglob("*") if path.is_file()]
        assert len(kept) == 2  # one answer for each certificate, whatever min_uses says
        agent.process.kill()
        agent.process.wait(10)
        shop.material.add("late", sans=["svc-b.internal"])
        # Unknown while there is no agent: refused, and that is not remembered either.
        assert shop.enter("late", shop.link_port) == 503
        assert shop.enter("svc-b", shop.link_port) == 200
    with shop.agent():
        assert shop.enter("late", shop.link_port) == 200


@ONE_BUILD
def test_without_the_line_that_states_it_an_allow_of_theirs_would_let_everybody_in(
    shop: Shop,
) -> None:
    """The twin of the test above: `satisfy all` is what makes the difference."""
    shop.write(theirs="satisfy any; allow all;")
    shop.include()
    shop.refused()
    shop.start()
    with shop.agent():
        assert shop.enter("svc-x", shop.link_port) == 403
        inherited = shop.http_conf.parent / "inherited.conf"
        inherited.write_text(inherited.read_text().replace("satisfy all;", ""))
        subprocess.run([*shop.command, "-s", "reload"], timeout=20, check=True)
        deadline = time.monotonic() + 10
        while shop.enter("svc-x", shop.link_port) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@ONE_BUILD
def test_a_denial_is_seen_by_its_workers_on_a_link_that_asks_nobody(
    shop: Shop, plain_port: int
) -> None:
    shop.include()
    shop.refused()
    shop.start()
    with shop.agent():
        assert shop.enter("svc-x", plain_port) == 200
        certificate = shop.material.pair("svc-x")[0]
        options = ("-c", shop.spec_path, "--state-dir", shop.state)
        done = handclasp("deny", certificate, *options, cwd=shop.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert shop.enter("svc-x", plain_port) == 403
        assert shop.enter("svc-b", plain_port) == 200


def test_what_its_http_context_remembers_or_hides_of_files_keeps_no_denied_caller_in(
    shop: Shop, plain_port: int
) -> None:
    """That a file was not there a minute ago (ngx_open_cached_file)."""
    shop.write(
        theirs="open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;"
        " open_file_cache_errors on; disable_symlinks on;"
    )
    shop.include()
    shop.refused()
    shop.start()
    with shop.agent():
        for _ in range(3):
            assert shop.enter("svc-x", plain_port) == 200
            assert shop.enter("svc-b", shop.link_port) == 200
        certificate = shop.material.pair("svc-x")[0]
        options = ("-c", shop.spec_path, "--state-dir", shop.state)
        done = handclasp("deny", certificate, *options, cwd=shop.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert shop.enter("svc-x", plain_port) == 403
        assert shop.enter("svc-b", plain_port) == 200
        done = handclasp("deny", certificate, *options, "--undo", cwd=shop.folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert shop.enter("svc-x", plain_port) == 200


def test_no_ca_of_its_http_context_is_believed(
    shop: Shop, plain_port: int, nginx_facts: Facts
) -> None:
    """OpenSSL is told of one by a command, beside nginx's own directives."""
    if not nginx_facts.has(Feature.SSL_CONF_COMMAND):
        pytest.skip("this build has no such command")
    others = shop.material.folder / "other-ca.pem"
    shop.write(theirs=f"ssl_conf_command VerifyCAFile {others};")
    shop.include()
    shop.refused()
    shop.start()
    with shop.agent():
        for port in (shop.link_port, plain_port):
            assert shop.enter("svc-b", port) == 200
            assert shop.enter("stranger", port) == 400


@AS_ROOT
@ONE_BUILD
def test_an_account_that_is_not_that_of_the_workers_is_an_error(
    shop: Shop, plain_port: int
) -> None:
    shop.include()
    shop.refused()
    shop.specify_links(plain_port, user=OTHER)
    done = shop.check()
    assert done.returncode == 1
    finding = slugs(done)["workers-locked-out"]
    assert finding["severity"] == "error"
    assert f"the workers of that nginx are {ACCOUNT}" in finding["seen"]
    refused = shop.refused()
    assert refused.process.returncode == 1
    assert "[workers-locked-out]" in refused.text


@AS_ROOT
@ONE_BUILD
@pytest.mark.parametrize("named", [{}, {"user": ACCOUNT}])
def test_the_account_is_read_from_that_configuration_or_named_rightly(
    shop: Shop, plain_port: int, named: dict[str, str]
) -> None:
    shop.include()
    shop.refused()
    shop.specify_links(plain_port, **named)
    done = shop.check()
    assert done.returncode == 0, done.stdout
    assert "workers-locked-out" not in slugs(done)
    seen = (shop.state / "ask").stat()
    assert (seen.st_mode & 0o777, seen.st_gid) == (0o750, pwd.getpwnam(ACCOUNT).pw_gid)


def test_render_output_is_refused_for_a_link_that_would_ask_nobody(
    shop: Shop, plain_port: int
) -> None:
    options = ("-c", shop.spec_path, "--nginx", shop.binary, "--state-dir", shop.state)
    folder = shop.folder / "written"
    done = handclasp("render", *options, "--output", folder, cwd=shop.folder)
    assert done.returncode == 2
    assert "link asked asks the agent who may enter" in done.stderr
    assert not folder.exists()
    # Printing them is no promise that somebody answers.
    assert handclasp("render", *options, cwd=shop.folder).returncode == 0
