"""`handclasp deny` and revocation lists: refused from the next request on, wherever that can be done."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import ssl
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from handclasp.agent.control import ask as control_ask
from handclasp.certs.dn import issuer_text
from tests import pki
from tests.conftest import BUILDS
from tests.integration.ingress_stage import link, ports, spec_of, until
from tests.integration.rotation_stage import long_form
from tests.integration.running import COMMAND, Running, handclasp, write_spec
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

ASKING, NATIVE = "asking.example.com", "native.example.com"


@dataclass
class Denying:
    """A link that asks the agent, and one that nginx decides by itself, in one running instance."""

    material: Material
    running: Running
    port: int

    def connection(self, name: str, who: str = "svc-b") -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.material.folder / "ca.pem")
        context.load_cert_chain(*self.material.pair(who))
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10)
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sock = context.wrap_socket(plain, server_hostname=name)
        return connection

    def websocket(self) -> ssl.SSLSocket:
        """An open one through the asking link."""
        opened = self.connection(ASKING).sock
        assert isinstance(opened, ssl.SSLSocket)
        opened.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {ASKING}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        assert b"101" in opened.recv(4096)
        return opened

    def status(self, name: str, who: str = "svc-b") -> int:
        connection = self.connection(name, who)
        try:
            return ask(connection, name)
        finally:
            connection.close()

    def both(self, who: str = "svc-b") -> tuple[int, int]:
        """Of the asking link and of the native one."""
        return self.status(ASKING, who), self.status(NATIVE, who)

    def agent(self, method: str, path: str, told: object = None) -> dict[str, Any]:
        """Straight to the agent's control socket."""
        control = self.running.state / "run" / "control.sock"
        return asyncio.run(control_ask(control, method, path, told))

    def generation(self) -> int:
        return int(self.agent("GET", "/status.json")["generation"])

    def deny(self, *arguments: object, form: str = "text") -> subprocess.CompletedProcess[str]:
        return handclasp(
            *("deny", "--state-dir", self.running.state, "--format", form),
            *map(str, arguments),
            cwd=self.material.folder,
        )


ODDLY = {
    "outer-blanks": " Test CA ",
    "tab": "Test\tCA",
    "line-end": "Test CA\n",
    "more-blanks": "  test \r\n\v ca  ",
}
"""CNs that OpenSSL takes for `Test CA`."""


def ask(connection: http.client.HTTPSConnection, name: str) -> int:
    connection.request("GET", "/", headers={"Host": name})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def answers(denying: Denying) -> set[Path]:
    """The files in which nginx keeps what the agent said."""
    return {
        one for one in (denying.running.state / "nginx" / "answers").rglob("*") if one.is_file()
    }


def spec(material: Material, port: int, backend: Backend, **clients: Any) -> dict[str, Any]:
    url, listen = f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}"
    asked = {"trust": "company", "allow": ["dns:svc-b.internal", "dns:svc-x.internal"], **clients}
    links = [
        link("asking", listen, url, clients=asked, forward=["rfc9440"]),
        link("native", listen, url),
    ]
    trust = {"company": {"certificates": ["ca.pem"], "crl": ["ca.crl"]}}
    return spec_of(material, links, trust=trust, rotation={"watch": False})


@pytest.fixture(scope="module")
def denying(material: Material, nginx_build: Path) -> Iterator[Denying]:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    (material.folder / "ca.crl").write_bytes(pki.crl(material.ca))
    svc_b, svc_x = (material.pair(name)[0].read_bytes() for name in ("svc-b", "svc-x"))
    (material.folder / "two.pem").write_bytes(svc_b + svc_x)
    (material.folder / "ca-first.pem").write_bytes(material.ca.pem + svc_b)
    spelled = pki.authority("TEST ca", organisation="example  ORG", key_label="ca Test CA")
    material.add("other-case", issuer=spelled, sans=["svc-x.internal"])
    for name, common_name in ODDLY.items():
        odd = pki.authority(common_name, key_label="ca Test CA")
        material.add(name, issuer=odd, sans=["svc-x.internal"])
    (port,) = ports(1)
    with Backend() as backend:
        path = write_spec(material.folder, f"deny-{port}", spec(material, port, backend))
        with Running(path, nginx_build) as running:
            yield Denying(material, running, port)


@pytest.fixture(autouse=True)
def nobody_stays_denied(denying: Denying) -> Iterator[None]:
    yield
    for one in denying.agent("GET", "/denied")["denied"]:
        serial = one["serial"] and int(one["serial"], 16)
        denying.agent("POST", "/undo", {**one, "serial": serial})


def test_a_denied_file_is_refused_at_once_and_open_connections_with_it(denying: Denying) -> None:
    kept = {name: denying.connection(name) for name in (ASKING, NATIVE)}
    generation = denying.generation()
    assert [ask(connection, name) for name, connection in kept.items()] == [200, 200]
    kept_answers = answers(denying)
    assert kept_answers
    done = denying.deny("svc-b.pem", "--why", "stolen")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [ask(connection, name) for name, connection in kept.items()] == [403, 403]
    assert denying.both() == (403, 403)
    assert denying.both("svc-x") == (200, 200), "nobody else is refused"
    status = denying.agent("GET", "/status.json")
    assert status["generation"] == generation, "without a reload"
    assert status["callers"]["denied"] == 1
    assert status["callers"]["answers"]["denied"] >= 1
    assert until(lambda: not any(path.stat().st_size for path in kept_answers if path.exists()))
    assert all(path.stat().st_size for path in answers(denying) - kept_answers)
    assert denying.deny("svc-b.pem", "--undo").returncode == 0
    assert [ask(connection, name) for name, connection in kept.items()] == [200, 200]
    for connection in kept.values():
        connection.close()


def test_a_fingerprint_alone_is_honest_about_links_that_nginx_decides(denying: Denying) -> None:
    digest = denying.material.client.certificate.fingerprint(hashes.SHA256()).hex()
    done = denying.deny(digest, form="json")
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["ok"] is False
    assert {one["name"]: one["at_once"] for one in told["links"]} == {
        "asking": True,
        "native": False,
    }
    assert denying.both() == (403, 200)


@pytest.mark.parametrize("spelled", ["upper", "spaced"])
def test_a_serial_with_its_issuer_is_refused_everywhere(denying: Denying, spelled: str) -> None:
    certificate = denying.material.client.certificate
    issuer = issuer_text(certificate)
    issuer = (
        issuer.upper() if spelled == "upper" else issuer.replace(",", " , ").replace("CN", "cn")
    )
    assert denying.both() == (200, 200)
    done = denying.deny("--serial", f"{certificate.serial_number:X}", "--issuer", issuer)
    assert done.returncode == 0, done.stdout + done.stderr
    assert denying.both() == (403, 403)


def test_a_serial_of_another_issuer_refuses_nobody_and_says_so(denying: Denying) -> None:
    serial = f"{denying.material.client.certificate.serial_number:X}"
    done = denying.deny("--serial", serial, "--issuer", "CN=Another")
    assert done.returncode == 1
    assert "not among the CAs known there" in done.stdout
    assert denying.both() == (200, 200)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "which certificate"),
        (["nowhere.pem"], "no such file"),
        (["svc-b.key"], "holds no certificate"),
        (["two.pem"], "holds 2 certificates"),
        (["--serial", "12", "--issuer", ""], "--issuer is empty"),
        (["--serial", "12"], "without its issuer"),
        (["--serial", "xy", "--issuer", "CN=a"], "not a serial"),
        (["--serial", "12", "--issuer", "no name"], "not a distinguished name"),
        (["svc-b.pem", "--list"], "name no certificate beside it"),
    ],
)
def test_what_names_no_certificate_is_refused_with_words(
    denying: Denying, arguments: list[str], words: str
) -> None:
    done = denying.deny(*arguments)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert denying.both() == (200, 200)


def test_the_leaf_of_a_file_is_meant_wherever_it_stands(denying: Denying) -> None:
    assert denying.deny("ca-first.pem").returncode == 0
    assert denying.both() == (403, 403)


def test_the_file_of_a_ca_stands_for_what_it_issued_where_the_agent_decides(
    denying: Denying,
) -> None:
    done = denying.deny("ca.pem")
    assert done.returncode == 1
    assert "native: NOT refused at once: nginx decides there by itself" in done.stdout
    assert denying.both() == (403, 200)
    assert denying.deny("ca.pem", "--undo").returncode == 0
    assert denying.both() == (200, 200)


def test_the_serial_of_a_ca_is_not_said_to_be_refused_where_nginx_decides(
    denying: Denying,
) -> None:
    authority = denying.material.ca.certificate
    done = denying.deny(
        *("--serial", f"{authority.serial_number:X}", "--issuer", issuer_text(authority))
    )
    assert done.returncode == 1
    assert "native: NOT refused at once: nginx decides there by itself" in done.stdout
    assert denying.both() == (403, 200)


def test_a_ca_that_is_not_known_is_not_said_to_be_refused(denying: Denying) -> None:
    done = denying.deny("other-ca.pem")
    assert done.returncode == 1
    for name in ("asking", "native"):
        assert f"{name}: not concerned: the CA concerned does not lead to the trust" in done.stdout
    assert "is it the right certificate?" in done.stdout
    assert denying.both() == (200, 200)


def test_a_ca_of_the_name_of_a_known_one_is_not_said_to_be_refused(denying: Denying) -> None:
    twin = pki.authority("Test CA", key_label="twin")
    (denying.material.folder / "twin-ca.pem").write_bytes(twin.pem)
    done = denying.deny("twin-ca.pem")
    assert done.returncode == 1
    assert "refused from now on" not in done.stdout
    assert denying.both() == (200, 200)


def test_a_renewed_ca_of_the_same_key_is_denied_with_the_one_before(denying: Denying) -> None:
    renewed = pki.authority("Test CA")
    (denying.material.folder / "renewed-ca.pem").write_bytes(renewed.pem)
    assert denying.deny("renewed-ca.pem").returncode == 1, "nginx decides on one link"
    assert denying.both() == (403, 200)
    assert denying.status(ASKING, "other-case") == 403, "it spells its issuer otherwise"


@pytest.mark.parametrize("spelled", ["other-case", *ODDLY])
def test_a_leaf_that_spells_its_issuer_otherwise_is_refused_as_said(
    denying: Denying, spelled: str
) -> None:
    """OpenSSL compares names without case and outer and repeated blanks, and so lets it in."""
    before = denying.both(spelled)
    assert before == (200, 200)
    done = denying.deny(f"{spelled}.pem")
    assert done.returncode == 0, done.stdout
    assert denying.both(spelled) == (403, 403)
    assert denying.both() == (200, 200)


@pytest.mark.parametrize("turned", [True, False])
def test_an_issuer_that_nobody_is_called_is_not_said_to_be_refused(
    denying: Denying, *, turned: bool
) -> None:
    certificate = denying.material.client.certificate
    issuer = ",".join(reversed(issuer_text(certificate).split(","))) if turned else "CN=Nobody"
    done = denying.deny("--serial", f"{certificate.serial_number:X}", "--issuer", issuer)
    assert done.returncode == 1
    assert "asking: refused from now on" not in done.stdout
    assert ("turned round it is" in done.stdout) is turned


def test_what_is_told_is_taken_from_standard_input_and_as_openssl_prints_it(
    denying: Denying,
) -> None:
    certificate = denying.material.client.certificate
    piped = f"{COMMAND} deny --state-dir {denying.running.state} -"
    for order, expected in ((piped, (403, 403)), (f"{piped} --undo", (200, 200))):
        pem = denying.material.pair("svc-b")[0].read_bytes()
        subprocess.run(order.split(), input=pem, check=True, timeout=60, capture_output=True)
        assert denying.both() == expected
    serial = f"serial={certificate.serial_number:X}"
    done = denying.deny("--serial", serial, "--issuer", issuer_text(certificate))
    assert done.returncode == 0, done.stdout
    denying.deny(f" {certificate.fingerprint(hashes.SHA256()).hex()}\n", "--why", "a\nb")
    assert denying.both() == (403, 403)
    listed = denying.deny("--list").stdout
    assert len(listed.splitlines()) == 3, "a line for each and a head"
    assert "a b" in listed


def test_the_leaked_key_of_a_ca_opens_nothing_once_its_file_is_denied(
    material: Material, nginx_build: Path
) -> None:
    """A CA that only callers send; its key issues to itself, under other spellings, and makes another CA."""
    sub = pki.authority("Sub CA", issuer=material.ca)
    (material.folder / "sub.pem").write_bytes(sub.pem)
    spelled = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "EXAMPLE org", _ASN1Type.T61String),
            x509.NameAttribute(NameOID.COMMON_NAME, " sub  CA", _ASN1Type.BMPString),
        ]
    )
    odd = replaced_subject(sub, spelled)
    issuers = {"plainly": sub, "oddly": odd, "below": pki.authority("X", issuer=sub)}
    for name, issuer in issuers.items():
        leaf = material.add(name, issuer=issuer, sans=["svc-x.internal"])
        if name == "oddly":
            material.pair(name)[0].write_bytes(leaf.pem + sub.pem)
    (port,) = ports(1)
    with Backend() as backend:
        written = spec(material, port, backend)
        written["trust"]["company"].pop("crl")
        path = write_spec(material.folder, f"leaked-{port}", written)
        with Running(path, nginx_build) as running:
            here = Denying(material, running, port)
            assert [here.status(ASKING, name) for name in issuers] == [200, 200, 200]
            done = here.deny("sub.pem")
            assert "asking: refused from now on, and with it every caller" in done.stdout
            assert "native: NOT refused at once" in done.stdout
            assert [here.status(ASKING, name) for name in issuers] == [403, 403, 403]
            assert here.status(ASKING) == 200, "the root issued that itself"
            assert here.deny("sub.pem", "--undo").returncode == 0
            assert [here.status(ASKING, name) for name in issuers] == [200, 200, 200]


def replaced_subject(authority: pki.Pair, subject: x509.Name) -> pki.Pair:
    """Something of this name to issue with in the CA's stead."""
    (root,) = authority.issuers
    certificate = pki.leaf(root, subject=subject).certificate
    return pki.Pair(certificate, authority.private_key, authority.issuers)


def test_undoing_what_was_not_denied_is_told_apart(denying: Denying) -> None:
    done = denying.deny("svc-b.pem", "--undo")
    assert (done.returncode, "was not denied" in done.stdout) == (1, True)


@pytest.mark.parametrize("spelled", ["sha256:{}", "sha256 Fingerprint={}", "SHA256 Fingerprint={}"])
def test_a_fingerprint_is_taken_as_openssl_and_rules_write_it(
    denying: Denying, spelled: str
) -> None:
    digest = denying.material.client.certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    denying.deny(spelled.format(digest))
    assert denying.both() == (403, 200)


def test_the_agents_socket_alone_takes_orders(denying: Denying, tmp_path: Path) -> None:
    done = handclasp("deny", "--state-dir", tmp_path, "svc-b.pem", cwd=denying.material.folder)
    assert done.returncode == 3
    assert "no agent answers" in done.stderr
    assert (denying.running.state / "run" / "control.sock").stat().st_mode & 0o777 == 0o600


def test_a_list_that_changes_on_disk_is_in_force_without_a_reload(denying: Denying) -> None:
    generation = denying.generation()
    kept = denying.connection(ASKING)
    assert ask(kept, ASKING) == 200
    crl = denying.material.folder / "ca.crl"
    try:
        replace(crl, b"-----BEGIN X509 CRL-----\nnone\n-----END X509 CRL-----\n")
        denying.running.wait_for("revocation lists not taken")
        assert ask(kept, ASKING) == 200, "a broken list changes nothing"
        replace(crl, pki.crl(denying.material.ca, [denying.material.client], number=2))
        denying.running.wait_for("revocation lists read")
        assert ask(kept, ASKING) == 403
        assert denying.status(ASKING, "svc-x") == 200
        assert denying.generation() == generation
    finally:
        replace(crl, pki.crl(denying.material.ca, number=3))
    denying.running.wait_for("revocation lists read", count=2)
    assert ask(kept, ASKING) == 200
    kept.close()


def replace(path: Path, content: bytes) -> None:
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(content)
    fresh.rename(path)


def test_denials_outlive_the_agent_and_a_refused_change(
    material: Material, nginx_build: Path, denying: Denying
) -> None:
    """In an instance of its own, since its agent is killed."""
    (port,) = ports(1)
    with Backend() as backend:
        path = write_spec(material.folder, f"outlive-{port}", spec(material, port, backend))
        with Running(path, nginx_build) as running:
            here = Denying(material, running, port)
            assert here.both() == (200, 200)
            assert here.deny("svc-b.pem").returncode == 0
            good = path.read_text()
            path.write_text(good.replace("svc-x.internal", "svc x internal !"))
            running.reload()
            running.wait_for("change refused")
            assert here.both() == (403, 403)
            path.write_text(good)
            running.process.kill()
            running.process.wait(5)
            assert here.both() == (403, 403), "nginx alone remembers"
            with Running(path, nginx_build) as again:
                again.wait_for("nginx adopted")
                assert here.both() == (403, 403)
                assert here.both("svc-x") == (200, 200)


def test_a_change_that_is_refused_or_fails_lets_no_denied_caller_back_in(
    material: Material, nginx_build: Path, denying: Denying
) -> None:
    """The changed spec has another kind of rule for the native link, whose file it no longer needs."""
    (port,) = ports(1)
    with Backend() as backend:
        written = spec(material, port, backend)
        path = write_spec(material.folder, f"refused-{port}", written)
        with Running(path, nginx_build) as running:
            here = Denying(material, running, port)
            assert here.deny("svc-b.pem").returncode == 0
            good = path.read_text()
            native = written["ingress"][1]
            native["clients"]["allow"] = ["cn:svc-b", "cn:svc-x", "dns:nobody.internal"]
            native["listen"] = [native["listen"], f"127.0.0.1:{backend.port}"]
            write_spec(material.folder, f"refused-{port}", written)
            running.reload()
            seen = statuses_until(here, lambda: "change refused" in running.text)
            assert seen == {403}
            running.process.kill()
            running.process.wait(5)
            with Running(path, nginx_build, expect_ready=False) as failing:
                assert failing.process.wait(30) == 3, failing.text
                assert here.status(NATIVE) == 403, "the nginx of before serves on"
                assert here.status(ASKING) in (403, 503)
            path.write_text(good)
            with Running(path, nginx_build) as again:
                again.wait_for(" ready ", count=2)
                assert here.both() == (403, 403)


def statuses_until(denying: Denying, over: Callable[[], bool]) -> set[int]:
    """What the native link answers to somebody denied, asked again and again."""
    seen = set()
    for _ in range(400):
        seen.add(denying.status(NATIVE))
        if over():
            break
    return seen


ENDINGS: list[tuple[dict[str, Any], float | None, str]] = [
    ({"cut": True}, 0, "are ended within seconds"),
    ({"max_stream_age": "3s"}, 3, "end within 3 s (`clients.max_stream_age`)"),
    ({"max_stream_age": "none"}, None, "live on until they end (`clients.cut`)"),
    ({}, 600, "end within 600 s"),
]


@pytest.mark.parametrize(
    ("nginx_build", "keys", "ends_in", "told"),
    [
        (build, *ending)
        for build in BUILDS
        for ending in ENDINGS
        # Where nginx is not told anything one build stands for both.
        if ending[1] in (0, 3) or build == "wheel" or long_form()
    ],
    indirect=["nginx_build"],
)
def test_an_open_websocket_ends_when_the_spec_says_so(
    material: Material,
    nginx_build: Path,
    denying: Denying,
    keys: dict[str, Any],
    ends_in: float | None,
    told: str,
) -> None:
    (port,) = ports(1)
    with Backend() as backend:
        written = spec(material, port, backend)
        for one in written["ingress"]:
            one["clients"] |= keys
        path = write_spec(material.folder, f"cut-{port}", written)
        with Running(path, nginx_build) as running:
            here = Denying(material, running, port)
            with here.websocket() as websocket:
                answer = json.loads(here.deny("svc-b.pem", form="json").stdout)
                assert (answer["ends_in"], answer["cut"]) == (ends_in, ends_in == 0)
                soon = ends_in is not None and ends_in < 10
                if ends_in == 3:
                    assert not ended(websocket)
                assert until(lambda: ended(websocket), 15 if soon else 1) is soon
                assert here.both("svc-x") == (200, 200)
                assert here.both() == (403, 403)
            again = here.deny("svc-b.pem")
            assert "was denied already" in again.stdout
            assert told in again.stdout, "what is open may be older"


def ended(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True
