"""Which upstreams are believed, which are refused and what is said then; TLS settings; our certificate."""

from __future__ import annotations

import json
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.features import Feature
from tests import pki
from tests.conftest import facts_of
from tests.integration.running import (
    SERVER_NAME,
    Material,
    Running,
    egress_spec,
    handclasp,
    write_spec,
)
from tests.integration.upstreams import Answer, Upstream, ask, dead_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handclasp.nginx.facts import Facts

pytestmark = pytest.mark.integration

# OpenSSL 3.0.2 (Ubuntu 22.04) reports 20 where later ones report 21, and words 26 otherwise.
UNKNOWN_ISSUER = (
    "(21:unable to verify the first certificate)",
    "(20:unable to get local issuer certificate)",
)
BAD: dict[str, str | tuple[str, ...]] = {
    "wrong-ca": UNKNOWN_ISSUER,
    "wrong-name": f'upstream SSL certificate does not match "{SERVER_NAME}"',
    "expired": "(10:certificate has expired)",
    "not-yet-valid": "(9:certificate is not yet valid)",
    "revoked": "(23:certificate revoked)",
    "self-signed": "(18:self-signed certificate)",
    "ip-san-only": f'upstream SSL certificate does not match "{SERVER_NAME}"',
    "client-only": ("(26:unsuitable certificate purpose)", "(26:unsupported certificate purpose)"),
    "no-intermediate": UNKNOWN_ISSUER,
}


def _write_bad(material: Material) -> None:
    usual: dict[str, Any] = {"sans": [SERVER_NAME], "usages": [pki.SERVER]}
    day = timedelta(days=1)
    material.add("wrong-ca", issuer=material.other_ca, **usual)
    material.add("wrong-name", sans=["other.example.com"], usages=[pki.SERVER])
    material.add("expired", **usual, not_before=pki.NOW - 2 * day, not_after=pki.NOW - day)
    material.add("not-yet-valid", **usual, not_before=pki.NOW + day)
    revoked = material.add("revoked", **usual)
    (material.folder / "ca.crl").write_bytes(pki.crl(material.ca, [revoked]))
    itself = pki.authority("self-signed", key_label="leaf self-signed")
    alone = pki.leaf(itself, "self-signed", **usual)
    pki.Pair(alone.certificate, alone.private_key).write(material.folder, "self-signed")
    material.add("ip-san-only", sans=["ip:127.0.0.1"], usages=[pki.SERVER])
    material.add("client-only", sans=[SERVER_NAME], usages=[pki.CLIENT])
    middle = pki.authority("Not Sent", issuer=material.ca)
    orphan = pki.leaf(middle, "no-intermediate", **usual)
    pki.Pair(orphan.certificate, orphan.private_key).write(material.folder, "no-intermediate")


def only(version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    def adjust(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = version

    return adjust


def weak(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA@SECLEVEL=0")


def one_group(context: ssl.SSLContext) -> None:
    context.set_ecdh_curve("secp384r1")


SERVERS: dict[str, Callable[[ssl.SSLContext], None]] = {
    "any": lambda _: None,
    "tls12": only(ssl.TLSVersion.TLSv1_2),
    "tls13": only(ssl.TLSVersion.TLSv1_3),
    "weak": weak,
    "p384": one_group,
}
POLICIES: dict[str, tuple[str, Any, int]] = {
    "intermediate-any": ("any", "intermediate", 200),
    "intermediate-12": ("tls12", "intermediate", 200),
    "intermediate-13": ("tls13", "intermediate", 200),
    "intermediate-weak": ("weak", "intermediate", 502),
    "intermediate-p384": ("p384", "intermediate", 200),
    "modern-13": ("tls13", "modern", 200),
    "modern-12": ("tls12", "modern", 502),
    "written-12": ("tls12", {"protocols": ["TLSv1.2"]}, 200),
    "written-13": ("tls13", {"protocols": ["TLSv1.2"]}, 502),
    "written-weak": ("weak", {"ciphers": ["ECDHE-ECDSA-AES128-SHA", "@SECLEVEL=0"]}, 200),
    "written-p384": ("p384", {"groups": ["secp384r1"]}, 200),
    "written-x25519": ("p384", {"groups": ["X25519"]}, 502),
    "written-suite": ("any", {"ciphers": ["TLS_CHACHA20_POLY1305_SHA256"]}, 200),
}
# Groups and the suites of TLS 1.3 need proxy_ssl_conf_command (1.19.4).
NEW_POLICIES = ("written-p384", "written-x25519", "written-suite")


@dataclass
class World:
    material: Material
    running: Running
    folder: Path
    servers: dict[str, Upstream]

    @property
    def facts(self) -> Facts:
        return facts_of(self.running.nginx)

    def refuses(self, tls: Any) -> bool:
        """`check` says that this nginx cannot."""
        code, found = _refusal(self.material, "unable", self.running.nginx, tls=tls)
        return (code, found) == (1, {"nginx-feature-missing"})

    def ask(self, link: str, **more: Any) -> Answer:
        return ask(self.folder / f"{link}.sock", **more)

    def logged(self, act: Callable[[], object]) -> str:
        """What nginx's error log gained."""
        before = len(self.running.error_log)
        act()
        return self.running.error_log[before:]


@pytest.fixture(scope="module")
def world(material: Material, nginx_build: Path) -> Iterator[World]:
    mark = f"verify-{nginx_build.parent.name}"
    folder = material.folder / mark
    _write_bad(material)
    middle = pki.authority("Client Middle", issuer=material.ca)
    material.add("svc-deep", issuer=middle)
    server, ca = material.pair("server-a"), material.folder / "ca.pem"
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(Upstream(server, ca, adjust=adjust))
            for name, adjust in SERVERS.items()
        }
        for name in BAD:
            servers[name] = stack.enter_context(Upstream(material.pair(name)))
        others = material.folder / "other-ca.pem"
        for version in ("12", "13"):
            servers[f"choosy{version}"] = stack.enter_context(
                Upstream(server, others, adjust=SERVERS[f"tls{version}"])
            )
        servers["v6"] = stack.enter_context(Upstream(server, ca, host="::1"))
        socket = material.folder / f"{mark}-up.sock"
        servers["unix"] = stack.enter_context(Upstream(server, ca, unix=socket))
        spec = _spec(material, folder, servers)
        if not facts_of(nginx_build).has(Feature.PROXY_SSL_CONF_COMMAND):
            spec["egress"] = [link for link in spec["egress"] if link["name"] not in NEW_POLICIES]
        with Running(write_spec(material.folder, mark, spec), nginx_build) as running:
            yield World(material, running, folder, servers)


def _spec(material: Material, folder: Path, servers: dict[str, Upstream]) -> dict[str, Any]:
    spec = egress_spec(material, "", "")
    base = spec["egress"][0]
    spec["identities"]["svc-deep"] = material.identity("svc-deep")
    spec["trust"]["revoking"] = {"certificates": ["ca.pem"], "crl": ["ca.crl"]}
    spec["egress"] = []

    def link(name: str, upstream: str, **more: Any) -> None:
        listen = f"unix:{folder}/{name}.sock"
        spec["egress"].append(
            {**base, "name": name, "listen": listen, "upstream": upstream, **more}
        )

    for name in BAD:
        trust = "revoking" if name == "revoked" else "company"
        link(name, f"https://127.0.0.1:{servers[name].port}", trust=trust)
    link("unrevoked", f"https://127.0.0.1:{servers['any'].port}", trust="revoking")
    for name, (server, policy, _) in POLICIES.items():
        link(name, f"https://127.0.0.1:{servers[server].port}", tls=policy)
    for name in ("choosy12", "choosy13"):
        link(name, f"https://127.0.0.1:{servers[name].port}")
    link("deep", f"https://127.0.0.1:{servers['any'].port}", identity="svc-deep")
    link("v6", f"https://[::1]:{servers['v6'].port}")
    link("unix", f"https://unix:{servers['unix'].unix}")
    # A name of the hosts file, and another name in the certificate.
    link("named", f"https://localhost:{servers['any'].port}")
    link("dead", f"https://127.0.0.1:{dead_port()}")
    return spec


@pytest.mark.parametrize("case", sorted(BAD))
def test_an_upstream_with_a_bad_certificate_gets_no_request(world: World, case: str) -> None:
    seen: list[Answer] = []
    log = world.logged(lambda: seen.append(world.ask(case)))
    assert seen[0].status == 502
    assert seen[0].header("X-Handclasp-Link") == case
    told = BAD[case]
    assert any(words in log for words in ((told,) if isinstance(told, str) else told))
    assert "[error]" in log
    assert world.servers[case].seen == []


def test_the_same_list_of_revoked_certificates_lets_the_others_pass(world: World) -> None:
    assert world.ask("unrevoked").status == 200


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_protocols_ciphers_and_groups_are_those_of_the_policy(world: World, policy: str) -> None:
    server, tls, status = POLICIES[policy]
    if policy in NEW_POLICIES and not world.facts.has(Feature.PROXY_SSL_CONF_COMMAND):
        assert world.refuses(tls)
        return
    before = len(world.servers[server].seen)
    assert world.ask(policy).status == status
    assert len(world.servers[server].seen) - before == (status == 200)
    if policy == "written-suite":
        assert world.servers[server].last.cipher == "TLS_CHACHA20_POLY1305_SHA256"


@pytest.mark.parametrize("version", ["12", "13"])
def test_an_upstream_that_refuses_our_certificate_is_a_502_that_says_where_to_look(
    world: World, version: str
) -> None:
    seen: list[Answer] = []
    log = world.logged(lambda: seen.append(world.ask(f"choosy{version}")))
    (got,) = seen
    assert got.status == 502
    assert "error log" in got.text
    # TLS 1.2 refuses in the handshake; TLS 1.3 when nginx already reads the answer.
    assert ("while SSL handshaking to upstream" in log) == (version == "12")
    assert world.servers[f"choosy{version}"].seen == []


def test_the_certificate_is_sent_with_its_chain(world: World) -> None:
    """The upstream knows the root only."""
    assert world.ask("deep").body == f"svc-deep {SERVER_NAME}\n".encode()


@pytest.mark.parametrize("kind", ["v6", "unix", "named"])
def test_the_verified_name_is_sni_and_host_whatever_the_address(world: World, kind: str) -> None:
    assert world.ask(kind).status == 200
    server = world.servers["any" if kind == "named" else kind]
    assert server.last.sni == SERVER_NAME
    port = "" if kind == "unix" else f":{server.port}"
    assert server.last.values("Host") == [SERVER_NAME + port]


def test_the_page_of_a_failure_is_text_or_json_and_names_link_and_request(world: World) -> None:
    got = world.ask("dead")
    assert (got.status, got.header("Content-Type")) == (502, "text/plain")
    request_id = got.header("X-Request-ID")
    assert request_id
    assert "link dead" in got.text
    assert request_id in got.text
    got = world.ask("dead", headers=[("Accept", "application/json")])
    assert (got.status, got.header("Content-Type")) == (502, "application/json")
    told = json.loads(got.body)
    assert (told["error"], told["link"]) == ("upstream-failed", "dead")
    assert told["request_id"] == got.header("X-Request-ID")
    assert world.ask("dead", method="HEAD").body == b""
    # The access log has the method that was sent, not the one of an internal redirect.
    world.ask("dead", method="POST", body=b"x")
    access = world.running.state / "nginx" / "logs" / "access.log"
    deadline = time.monotonic() + 5  # a request is logged after it has been answered
    methods: list[str] = []
    while "POST" not in methods and time.monotonic() < deadline:
        methods = [json.loads(line)["method"] for line in access.read_text().splitlines()]
    assert methods[-1] == "POST"


# --- what is refused before anything runs


def _refusal(material: Material, name: str, nginx: Path, **link: Any) -> tuple[int, set[str]]:
    spec = egress_spec(material, "127.0.0.1:1", "https://127.0.0.1:1")
    spec["egress"][0] |= link
    path = write_spec(material.folder, name, spec)
    done = handclasp(
        *("check", "-c", path, "--nginx", nginx, "--format", "json"),
        *("--state-dir", material.folder / "check.state"),
        cwd=material.folder,
    )
    findings = json.loads(done.stdout)["findings"]
    return done.returncode, {one["slug"] for one in findings if one["severity"] == "error"}


@pytest.mark.parametrize(
    ("link", "slug"),
    [
        ({}, None),
        ({"insecure_accept_any": True}, "insecure-accept-any"),
        ({"verify": {}}, "verify-name-missing"),
        ({"verify": {}, "upstream": "https://unix:/run/up.sock"}, "verify-name-missing"),
        ({"listen": "0.0.0.0:1"}, "expose-missing"),
        ({"listen": "0.0.0.0:1", "expose": True}, None),
        ({"listen": "[::]:1"}, "expose-missing"),
        ({"listen": "192.0.2.1:1"}, "expose-missing"),
        ({"upstream": "https://servera.example.com:1", "verify": {}}, None),
    ],
    ids=str,
)
def test_a_link_that_would_lend_or_skip_what_it_must_not_is_refused(
    material: Material, nginx_builds: dict[str, Path], link: dict[str, Any], slug: str | None
) -> None:
    code, errors = _refusal(material, "refusal", nginx_builds["wheel"], **link)
    assert (code, errors) == ((1, {slug}) if slug else (0, set()))
