"""Links whose keys stay in a token: both roles, with the engine and with the provider."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pwd
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml

from handclasp.hsm.support import find_support
from handclasp.nginx.features import Feature
from tests import pki
from tests.conftest import absent, facts_of
from tests.integration.fault_stage import IN_A_HURRY, OURS
from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    handclasp,
    ingress_spec,
    write_spec,
)
from tests.integration.servers import Backend
from tests.integration.softhsm import PIN, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

pytestmark = pytest.mark.integration

WAYS = ("engine", "provider")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def nginx(nginx_builds: dict[str, Path]) -> Path:
    """The distribution's: the wheel is static."""
    return nginx_builds["distribution"]


@pytest.fixture(scope="module")
def token(material: Material) -> Token:
    """A token with `hsm-client` (EC) and `hsm-server` (RSA), which nginx's workers may use."""
    made = Token(material.folder / "token")
    made.certify(material.ca, "hsm-client", sans=["svc-b.internal"])
    made.certify(material.ca, "hsm-server", kind="rsa2048", sans=[SERVER_NAME], usages=[pki.SERVER])
    give_to_workers(made)
    return made


def workers(user: str = "www-data") -> dict[str, Any]:
    return {"workers": 3, **({"user": user} if os.geteuid() == 0 else {})}


def give_to_workers(token: Token) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam("www-data")
        token.let_in(account.pw_uid, account.pw_gid)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, nginx: Path, tmp_path: Path) -> dict[str, str]:
    """The environment in which handclasp takes the engine, or finds the provider alone."""
    support = find_support(3)
    library = getattr(support, request.param)
    if library is None:
        if request.param == "engine" and support.provider is None:
            absent("the PKCS#11 engine of OpenSSL (apt install libengine-pkcs11-openssl)")
        # Where CI=true tools/debian-packages.sh saw to it, if the distribution has it.
        pytest.skip(f"the PKCS#11 {request.param} of OpenSSL is not installed here")
    if request.param == "engine":
        return {}
    if not support.uri_files and not facts_of(nginx).has(Feature.STORE_KEYS):
        pytest.skip(
            "the PKCS#11 provider here reads no files with URIs: tests/nginx/test_token_keys.py"
        )
    return {"OPENSSL_MODULES": str(library.parent), "OPENSSL_ENGINES": str(tmp_path)}


def egress(material: Material, token: Token, plain: int, tls: int, **link: Any) -> dict[str, Any]:
    spec = egress_spec(
        material, f"127.0.0.1:{plain}", f"https://127.0.0.1:{tls}", identity="hsm-client", **link
    )
    spec["identities"] = {"hsm-client": token.identity("hsm-client")}
    return {**spec, "pkcs11": token.section(), "nginx": workers()}


def ingress(material: Material, token: Token, tls: int, backend: int) -> dict[str, Any]:
    spec = ingress_spec(
        material, f"127.0.0.1:{tls}", f"http://127.0.0.1:{backend}", identity="hsm-server"
    )
    spec["identities"] = {"hsm-server": token.identity("hsm-server")}
    return {**spec, "pkcs11": token.section(), "nginx": workers()}


def ask(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://localhost:{port}/", timeout=10) as answer:
            answer.read()
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_both_roles_carry_load_with_keys_in_a_token(
    material: Material,
    token: Token,
    way: dict[str, str],
    nginx: Path,
    free_port: Callable[[], int],
) -> None:
    plain, tls = free_port(), free_port()
    with Backend() as backend:
        a_spec = ingress(material, token, tls, backend.port)
        # A pool of one, used once: each request is a handshake of both keys.
        b_spec = egress(material, token, plain, tls, pool={"size": 1, "requests": 1})
        with (
            Running(write_spec(material.folder, f"a-{tls}", a_spec), nginx, env=way) as a,
            Running(write_spec(material.folder, f"b-{tls}", b_spec), nginx, env=way) as b,
        ):
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                answers = list(pool.map(ask, [plain] * 240))
            if way:
                # Some workers of the provider may not sign after their fork; then it must be noticed.
                assert 200 in answers
                if set(answers) != {200}:
                    failing = next(one for one in (a, b) if "[crit]" in one.error_log)
                    failing.wait_for("a key in a token does not work")
                return
            assert answers == [200] * 240
            for running in (a, b):
                _no_pin_anywhere(running)
                assert "pkcs11" not in running.error_log.lower().replace("openssl.cnf", "")
            assert a.error_log.count("SSL_do_handshake() failed") == 0
            a.reload()
            a.wait_for("nothing changed")
            assert ask(plain) == 200
        assert a.process.returncode == b.process.returncode == 0


def _no_pin_anywhere(running: Running) -> None:
    """Not in arguments, environments, logs or files, but the ones made for it."""
    master = running.master_pid
    assert master is not None
    for process in (Path("/proc") / str(master), Path("/proc") / str(running.process.pid)):
        for name in ("cmdline", "environ"):
            assert PIN.encode() not in (process / name).read_bytes()
    holding = {
        path.relative_to(running.state).parts[-1]
        for path in running.state.rglob("*")
        if path.is_file() and PIN.encode() in path.read_bytes()
    }
    assert {name.partition("-")[0] for name in holding} == {"pin"}
    for path in running.state.rglob("pin-*"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert PIN not in running.text


def test_a_token_that_was_away_serves_again_after_nginx_is_restarted(
    material: Material,
    token: Token,
    way: dict[str, str],
    nginx: Path,
    free_port: Callable[[], int],
) -> None:
    tls = free_port()
    away = token.tokens.with_name("away")
    with Backend() as backend:
        spec = ingress(material, token, tls, backend.port)
        asked = free_port()
        spec["status"] = {"listen": f"127.0.0.1:{asked}"}
        with Running(write_spec(material.folder, f"out-{tls}", spec), nginx, env=way) as running:
            before = running.master_pid
            assert _handshake(tls)
            assert _readyz(asked) == 200
            token.tokens.rename(away)
            try:
                assert not all(_handshake(tls) for _ in range(40))
                running.wait_for("a key in a token does not work", within=10)
                running.wait_for("cannot be loaded: GeneralError", within=10)
                told = running.status()
                assert "GeneralError" in told["tokens"]["outage"]
                assert told["tokens"]["restarts"] == 0
                assert not told["ready"]
                assert _readyz(asked) == 503
                (down,) = told["links"][0]["down"]
                assert "the key of hsm-server in its token does not work" in down
                said = handclasp(
                    "status", "--state-dir", running.state, "-c", running.spec, cwd=material.folder
                )
                assert said.returncode == 1
                assert "NOT ready, a key in a token does not work" in said.stdout
            finally:
                away.rename(token.tokens)
            running.wait_for("nginx restarted", within=15)
            assert all(_handshake(tls) for _ in range(20))
            assert running.master_pid != before
            told = running.status()
            assert told["ready"]
            assert _readyz(asked) == 200
            assert told["links"][0]["down"] == []
            assert (told["tokens"]["outage"], told["tokens"]["restarts"]) == (None, 1)


def _readyz(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _handshake(port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 5) as plain,
            context.wrap_socket(plain, server_hostname=SERVER_NAME),
        ):
            return True
    except OSError:
        return False


def _checked(
    material: Material, spec: Mapping[str, Any], nginx: Path, name: str
) -> tuple[int, dict[str, dict[str, Any]]]:
    """`handclasp check`: its exit code, and what is not info by slug."""
    path = write_spec(material.folder, name, spec)
    done = handclasp(
        *("check", "-c", path, "--nginx", nginx, "--state-dir", path.with_suffix(".state")),
        *("--format", "json"),
        cwd=material.folder,
    )
    assert PIN not in done.stdout + done.stderr
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {one["slug"]: one for one in findings if one["severity"] == "error"}


def test_check_accepts_a_spec_whose_key_is_in_a_token(
    material: Material, token: Token, nginx: Path
) -> None:
    assert _checked(material, egress(material, token, 8080, 8443), nginx, "fine") == (0, {})


@pytest.mark.parametrize(
    ("name", "change", "slug", "told"),
    [
        ("absent", {"key": "pkcs11:token=other;object=hsm-client"}, "pkcs11-token-absent", "prod"),
        (
            "missing",
            {"key": "pkcs11:token=prod;object=no"},
            "pkcs11-object-not-found",
            "hsm-client",
        ),
        ("swapped", {"certificate": "hsm-server.pem"}, "key-cert-mismatch", "object=hsm-client"),
        ("no-pin", {"pin": {"file": "nowhere"}}, "secret-unreadable", "nowhere"),
    ],
)
def test_check_says_what_is_wrong_with_a_key_in_a_token(
    material: Material,
    token: Token,
    nginx: Path,
    name: str,
    change: dict[str, Any],
    slug: str,
    told: str,
) -> None:
    spec = egress(material, token, 8080, 8443)
    spec["identities"]["hsm-client"].update(change)
    code, errors = _checked(material, spec, nginx, name)
    assert (code, slug in errors) == (1, True), errors
    assert told in errors[slug]["seen"]
    assert errors[slug]["where"]["line"] or slug == "key-cert-mismatch"
    if slug == "secret-unreadable":
        assert errors[slug]["where"]["path"] == "identities.hsm-client.pin"
    elif slug != "key-cert-mismatch":
        assert errors[slug]["where"]["path"] == "identities.hsm-client.key"


def test_a_wrong_pin_is_tried_once_for_all_keys_of_a_token(
    material: Material, token: Token, nginx: Path
) -> None:
    wrong = material.folder / "wrong-pin"
    wrong.touch(mode=0o600)
    wrong.write_text("00000000\n")
    spec = egress(material, token, 8080, 8443)
    for name in ("hsm-client", "hsm-server"):
        spec["identities"][name] = token.identity(name, pin={"file": str(wrong)})
    code, errors = _checked(material, spec, nginx, "wrong-pin")
    assert code == 1
    # The last told of the two; the first said that the token refuses it.
    assert "refused this PIN before" in errors["pin-wrong"]["seen"]
    assert errors["pin-wrong"]["where"]["path"] == "identities.hsm-server.pin"
    # A right one clears the count: the tests after this one find the token as it was.
    assert _checked(material, egress(material, token, 8080, 8443), nginx, "fine-again")[0] == 0


@pytest.mark.parametrize("written", [True, False])
def test_a_module_that_fails_is_pointed_at_where_it_is_written(
    material: Material, token: Token, nginx: Path, tmp_path: Path, written: bool
) -> None:
    module = tmp_path / "no-library.so"
    module.write_text("not a library")
    spec = egress(material, token, 8080, 8443)
    if written:
        spec["pkcs11"]["module"] = str(module)
    else:
        del spec["pkcs11"]["module"]
        spec["identities"]["hsm-client"]["key"] += f"?module-path={module}"
    code, errors = _checked(material, spec, nginx, "no-library")
    assert code == 1
    place = "pkcs11.module" if written else "identities.hsm-client.key"
    assert errors["pkcs11-module-failed"]["where"]["path"] == place


def test_a_refused_pin_is_not_tried_again_however_often_the_spec_is_read(
    material: Material, nginx: Path, free_port: Callable[[], int]
) -> None:
    own = Token(material.folder / "rereading" / "token")
    own.certify(material.ca, "hsm-server", kind="rsa2048", sans=[SERVER_NAME], usages=[pki.SERVER])
    give_to_workers(own)
    port = free_port()
    pin = material.folder / "reread-pin"
    pin.touch(mode=0o600)
    pin.write_text(PIN)
    with Backend() as backend:
        spec = ingress(material, own, port, backend.port)
        identity = spec["identities"]["hsm-server"]
        identity["certificate"] = str(material.folder / "rereading" / "hsm-server.pem")
        identity["pin"] = {"file": str(pin)}
        with Running(write_spec(material.folder, "reread", spec), nginx) as running:
            pin.write_text("00000000")
            running.reload()
            running.wait_for("refuses the PIN")
            assert _wrong_pin_counted(own)
            # A right one, given by somebody else, clears the count.
            _listed(own, "--pin-file", own.folder / "pin.given")
            assert not _wrong_pin_counted(own)
            for count in (1, 2):
                running.reload()
                running.wait_for("refused this PIN before", count=count)
                assert not _wrong_pin_counted(own)
            pin.write_text(PIN)
            running.reload()
            running.wait_for("nothing changed")
            assert _handshake(port)


def _listed(token: Token, *options: str | Path) -> list[dict[str, Any]]:
    done = handclasp(
        *("hsm", "list", "--format", "json", *options), cwd=token.folder, env=token.environment
    )
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)["tokens"]
    return listed


def _wrong_pin_counted(token: Token) -> bool:
    return any(one["pin_tries_low"] for one in _listed(token))


ODD = "a b;c#d%20'\"e{f}\\g&h"


def test_a_state_directory_and_a_module_of_any_name_work(
    material: Material, token: Token, nginx: Path, way: dict[str, str], free_port: Callable[[], int]
) -> None:
    """What is in a spec may hold less (spec.names.check_path); --state-dir and a URI's module-path any."""
    tls = free_port()
    odd = material.folder / f"odd-{tls}" / ODD
    odd.mkdir(parents=True)
    module = odd / "soft $hsm.so"
    module.symlink_to(token.module)
    with Backend() as backend:
        spec = ingress(material, token, tls, backend.port)
        del spec["pkcs11"]["module"]
        spec["identities"]["hsm-server"]["key"] += f"?module-path={quote(str(module))}"
        path = write_spec(material.folder, f"odd-{tls}", spec)
        running = Running(path, nginx, arguments=("--state-dir", str(odd / "state")), env=way)
        running.state = odd / "state"
        with running:
            assert all(_handshake(tls) for _ in range(10))
            conf = (running.state / "generation" / "current" / "openssl.cnf").read_text()
            assert "soft $hsm.so" in conf


def test_a_state_directory_that_nginx_would_misread_is_pointed_at_in_the_spec(
    material: Material, token: Token, nginx: Path
) -> None:
    spec = {**egress(material, token, 8080, 8443), "state": str(material.folder / "a*b")}
    path = write_spec(material.folder, "misread", spec)
    done = handclasp("check", "-c", path, "--nginx", nginx, cwd=material.folder)
    assert done.returncode == 2
    lines = path.read_text().splitlines()
    line = 1 + next(index for index, text in enumerate(lines) if text.startswith("state:"))
    assert f"misread.yaml:{line}:" in done.stderr + done.stdout
    assert "which nginx cannot take there" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("pin", "slug", "told"),
    [("", "secret-unreadable", "is empty"), ("   \n", "secret-unreadable", "is empty")],
)
def test_an_empty_pin_is_not_tried(
    material: Material, token: Token, nginx: Path, pin: str, slug: str, told: str
) -> None:
    empty = material.folder / "empty-pin"
    empty.touch(mode=0o600)
    empty.write_text(pin)
    spec = egress(material, token, 8080, 8443)
    spec["identities"]["hsm-client"]["pin"] = {"file": str(empty)}
    code, errors = _checked(material, spec, nginx, "empty-pin")
    assert (code, slug in errors) == (1, True)
    assert told in errors[slug]["seen"]
    assert "pin-wrong" not in errors


def test_a_pin_that_the_engine_would_cut_is_refused_before_nginx_tries_it(
    material: Material, nginx: Path
) -> None:
    long = Token(material.folder / "long", pin="p" * 32)
    long.certify(material.ca, "hsm-long")
    give_to_workers(long)
    spec = egress(material, long, 8080, 8443)
    spec["egress"][0]["identity"] = "hsm-long"
    spec["identities"] = {"hsm-long": long.identity("hsm-long")}
    code, errors = _checked(material, spec, nginx, "long-pin")
    if find_support(3).engine is None:
        pytest.skip("the PKCS#11 engine of OpenSSL is not installed here")
    assert code == 1
    assert "longer than 31 bytes" in errors["pkcs11-not-with-this-nginx"]["seen"]


def test_a_token_that_is_away_at_the_start_is_no_fault_of_the_spec(
    material: Material, token: Token, nginx: Path
) -> None:
    """Exit code 3, after which a service manager tries again; 1 would be for good."""
    away = token.tokens.with_name("away")
    path = write_spec(material.folder, "cold", egress(material, token, 8080, 8443))
    token.tokens.rename(away)
    try:
        with Running(path, nginx, expect_ready=False) as running:
            assert running.process.wait(20) == 3
    finally:
        away.rename(token.tokens)


def test_a_pin_that_was_changed_in_the_token_is_tried_once_when_nginx_dies(
    material: Material, nginx: Path, free_port: Callable[[], int]
) -> None:
    own = Token(material.folder / "changing" / "token")
    own.certify(material.ca, "hsm-server", kind="rsa2048", sans=[SERVER_NAME], usages=[pki.SERVER])
    give_to_workers(own)
    with Backend() as backend:
        spec = ingress(material, own, free_port(), backend.port)
        certificate = str(material.folder / "changing" / "hsm-server.pem")
        spec["identities"]["hsm-server"]["certificate"] = certificate
        path = write_spec(material.folder, "changing-pin", spec)
        with Running(path, nginx, program=IN_A_HURRY, env=OURS) as running:
            subprocess.run(
                [
                    *("pkcs11-tool", "--module", str(own.module), "--token-label", own.label),
                    *("--login", "--pin", PIN, "--change-pin", "--new-pin", "99999999"),
                ],
                env={**os.environ, **own.environment},
                capture_output=True,
                timeout=30,
                check=True,
            )
            give_to_workers(own)
            assert running.master_pid is not None
            os.kill(running.master_pid, signal.SIGKILL)
            running.wait_for("refuses the PIN", within=15)
            running.process.wait(40)
        # Had nginx been started, it would have said so itself.
        assert "PIN incorrect" not in running.error_log
        assert running.process.returncode == 3


def test_the_wheel_is_refused_with_the_reason(
    material: Material, token: Token, nginx_builds: dict[str, Path]
) -> None:
    spec = egress(material, token, 8080, 8443)
    code, errors = _checked(material, spec, nginx_builds["wheel"], "wheel")
    assert code == 1
    assert "linked statically" in errors["pkcs11-not-with-this-nginx"]["seen"]


@pytest.mark.skipif(
    os.geteuid() != 0, reason="workers have an account of their own under root only"
)
def test_workers_that_may_not_use_the_token_are_found_before_nginx_starts(
    material: Material, token: Token, nginx: Path
) -> None:
    spec = {**egress(material, token, 8080, 8443), "nginx": workers("nobody")}
    code, errors = _checked(material, spec, nginx, "locked-out")
    assert code == 1
    assert "nobody" in errors["pkcs11-worker-locked-out"]["seen"]


def test_a_running_nginx_is_restarted_where_a_key_moves_into_a_token(
    material: Material, token: Token, nginx: Path, free_port: Callable[[], int]
) -> None:
    """OpenSSL reads its configuration once, so a reload would leave nginx without its engine."""
    tls = free_port()
    with Backend() as backend:
        address, url = f"127.0.0.1:{tls}", f"http://127.0.0.1:{backend.port}"
        first = {**ingress_spec(material, address, url), "nginx": workers()}
        second = ingress(material, token, tls, backend.port)
        second["identities"]["hsm-server"]["pin"] = {"env": "HSM_PIN"}
        path = write_spec(material.folder, f"move-{tls}", first)
        with Running(path, nginx, env={"HSM_PIN": PIN}) as running:
            before = running.master_pid
            write_spec(material.folder, f"move-{tls}", second)
            running.reload()
            running.wait_for("change in effect")
            running.wait_for("nginx has to be restarted, not reloaded")
            assert running.master_pid != before
            assert all(_handshake(tls) for _ in range(10))
            for pid in (running.master_pid, *running.status()["nginx"]["workers"]):
                environment = Path(f"/proc/{pid}/environ").read_bytes()
                assert PIN.encode() not in environment
                assert b"HSM_PIN" not in environment
            running.reload()
            running.wait_for("nothing changed")
            after = running.master_pid
            second["identities"]["hsm-server"]["pin"] = token.identity("hsm-server")["pin"]
            write_spec(material.folder, f"move-{tls}", second)
            running.reload()
            running.wait_for("change in effect", count=2)  # where the PIN is from
            assert running.master_pid == after


def test_an_nginx_of_one_s_own_is_told_what_its_service_needs(
    material: Material, token: Token, nginx: Path
) -> None:
    spec = egress(material, token, 8080, 8443)
    spec["nginx"] = {"mode": "existing", "reload": ["true"]}
    path = write_spec(material.folder, "existing", spec)
    done = handclasp(
        *("check", "-c", path, "--nginx", nginx, "--no-nginx-test"),
        *("--state-dir", path.with_suffix(".state")),
        cwd=material.folder,
    )
    assert done.returncode == 0, done.stdout
    assert "OPENSSL_CONF=" in done.stdout
    assert f"SOFTHSM2_CONF={token.configuration}" in done.stdout
    written = handclasp(
        *("render", "-c", path, "--nginx", nginx, "--output", material.folder / "includes"),
        cwd=material.folder,
    )
    assert written.returncode == 2
    # The mode is that already; what is missing is the include.
    assert "start `handclasp run` with this spec" in written.stderr
    assert 'generation/current/http.conf";' in written.stderr
    assert "mode: existing" not in written.stderr
    del spec["nginx"]
    written = handclasp(
        *("render", "-c", write_spec(material.folder, "own", spec), "--nginx", nginx),
        *("--output", material.folder / "includes"),
        cwd=material.folder,
    )
    assert written.returncode == 2
    assert "`nginx: {mode: existing, reload: [systemctl, reload, nginx]}`" in written.stderr


def test_the_example_is_served_with_names_and_paths_of_this_machine(
    material: Material, nginx: Path, free_port: Callable[[], int]
) -> None:
    token = Token(material.folder / "example")
    token.certify(material.ca, "svc-b", sans=["svc-b.internal"])
    give_to_workers(token)
    port = free_port()
    with Backend(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as upstream:
        spec = yaml.safe_load((ROOT / "examples/hsm/egress-token.yaml").read_text("utf-8"))
        assert spec["identities"]["svc-b"]["key"] == "pkcs11:token=prod;object=svc-b"
        spec["identities"] = {"svc-b": token.identity("svc-b")}
        spec["pkcs11"] = token.section()
        spec["trust"]["company"]["certificates"] = [str(material.folder / "ca.pem")]
        spec["nginx"] = workers()
        (link,) = spec["egress"]
        link |= {"listen": f"127.0.0.1:{port}", "upstream": f"https://127.0.0.1:{upstream.port}"}
        link["verify"] = {"name": SERVER_NAME}
        with Running(write_spec(material.folder, f"example-{port}", spec), nginx):
            assert ask(port) == 200
        assert upstream.last.peer == "svc-b"
