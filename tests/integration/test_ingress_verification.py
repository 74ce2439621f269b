"""Whose certificates are believed: CAs, depth, revocation, dates, and how long a session vouches."""

from __future__ import annotations

import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.nginx.features import Feature
from tests import pki
from tests.integration.ingress_stage import (
    NAMES,
    Caller,
    Stage,
    link,
    ports,
    read_answers,
    running_stage,
    spec_of,
)
from tests.integration.old_build import pretending
from tests.integration.running import handclasp, write_spec
from tests.integration.servers import Backend
from tests.openssl import needs_openssl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from handclasp.nginx.facts import Facts
    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    """Links that differ in whom they believe."""
    folder, root = material.folder, material.ca
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    one = pki.authority("Intermediate 1", issuer=root)
    two = pki.authority("Intermediate 2", issuer=one)
    three = pki.authority("Intermediate 3", issuer=two)
    material.add("under-one", issuer=one)
    material.add("under-two", issuer=two)
    material.add("under-three", issuer=three)
    (folder / "under-one-bare.pem").write_bytes((folder / "under-one.pem").read_bytes())
    bare = pki.leaf(one, "under-one-bare")
    bare.write(folder, "under-one-bare")
    (folder / "under-one-bare.pem").write_bytes(bare.pem)  # the intermediate is not sent
    revoked = material.add("revoked")
    revoked_below = material.add("revoked-below", issuer=one)
    (folder / "intermediate.pem").write_bytes(one.pem)
    (folder / "ca.crl").write_bytes(pki.crl(root, [revoked]))
    (folder / "one.crl").write_bytes(pki.crl(one, [revoked_below]))
    wrong: dict[str, dict[str, Any]] = {
        "expired": {"not_after": pki.NOW - timedelta(minutes=5)},
        "early": {"not_before": pki.NOW + timedelta(hours=1)},
        "server-only": {"usages": [pki.SERVER]},
        "no-eku": {"usages": None},
    }
    for name, options in wrong.items():
        options.setdefault("not_before", pki.NOW - timedelta(days=2))
        material.add(name, **options)
    self_signed = pki.authority("svc-b")
    self_signed.write(folder, "self-signed")
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    trust = {
        "both": {"certificates": ["ca.pem", "other-ca.pem"]},
        "listed": {
            "certificates": ["ca.pem", "intermediate.pem"],
            "crl": ["ca.crl", "one.crl"],
        },
    }
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"

        def clients(trust_name: str = "company", **more: Any) -> dict[str, Any]:
            return {"clients": {"trust": trust_name, "allow": "any", **more}}

        links = [
            link("plain", listen, url, **clients()),
            link("deep-1", listen, url, **clients(depth=1)),
            link("deep-2", listen, url, **clients(depth=2)),
            link("both", listen, url, **clients("both")),
            link("listed", listen, url, **clients("listed")),
            link("optional", listen, url, **clients(verify="optional")),
        ]
        spec = spec_of(material, links, trust=trust, log={"access": "all"})
        with running_stage(
            material, nginx_build, "verification", spec, port, backend=backend
        ) as running:
            yield running


def status(stage: Stage, link_name: str, who: str | None) -> int:
    before = len(stage.extra["backend"].seen)
    credentials = stage.pair(who) if who else None
    answer = stage.caller.get("/", sni=f"{link_name}.example.com", credentials=credentials)
    assert (len(stage.extra["backend"].seen) > before) == (answer.status == 200)
    return answer.status


@pytest.mark.parametrize("who", ["svc-b", "svc-x", "under-one", "no-eku"])
def test_a_certificate_of_the_trusted_ca_enters(stage: Stage, who: str) -> None:
    assert status(stage, "plain", who) == 200


@pytest.mark.parametrize(
    "who",
    [None, "stranger", "expired", "early", "server-only", "self-signed", "under-one-bare"],
)
def test_every_other_caller_is_refused(stage: Stage, who: str | None) -> None:
    assert status(stage, "plain", who) == 400


@pytest.mark.parametrize(
    ("who", "verdict"),
    [(None, "NONE"), ("svc-b", "SUCCESS")],
)
def test_optional_verification_admits_callers_without_certificate(
    stage: Stage, who: str | None, verdict: str
) -> None:
    assert status(stage, "optional", who) == 200
    assert stage.extra["backend"].last.values("X-Client-Verify") == [verdict]


@pytest.mark.parametrize("who", ["stranger", "expired", "early", "server-only", "self-signed"])
def test_optional_verification_refuses_a_wrong_certificate(stage: Stage, who: str) -> None:
    assert status(stage, "optional", who) == 400


@pytest.mark.parametrize(
    ("link_name", "who", "expected"),
    [
        ("deep-1", "svc-b", 200),
        ("deep-1", "under-one", 200),
        ("deep-1", "under-two", 400),
        ("deep-2", "under-two", 200),
        ("deep-2", "under-three", 400),
        ("plain", "under-three", 200),
    ],
)
def test_depth_counts_intermediates(stage: Stage, link_name: str, who: str, expected: int) -> None:
    assert status(stage, link_name, who) == expected


def test_each_ca_of_a_bundle_is_believed(stage: Stage) -> None:
    assert status(stage, "both", "svc-b") == status(stage, "both", "stranger") == 200
    assert status(stage, "both", "self-signed") == 400


def test_the_revoked_are_refused_where_the_link_has_a_list_and_nowhere_else(stage: Stage) -> None:
    assert status(stage, "listed", "svc-b") == status(stage, "listed", "under-one") == 200
    assert status(stage, "listed", "under-one-bare") == 200  # its intermediate is in the bundle
    assert status(stage, "listed", "revoked") == 400
    assert status(stage, "listed", "revoked-below") == 400
    assert status(stage, "plain", "revoked") == 200
    log = (stage.running.state / "nginx" / "logs" / "access.log").read_text()
    assert "FAILED:certificate revoked" in log


def test_check_refuses_an_expired_list_and_a_bundle_with_a_ca_that_has_none(
    stage: Stage, material: Material, nginx_build: Path
) -> None:
    old: dict[str, Any] = {
        "last_update": pki.NOW - timedelta(days=9),
        "next_update": pki.NOW - timedelta(days=1),
    }
    (material.folder / "old.crl").write_bytes(pki.crl(material.ca, **old))

    def checked(**trust: Any) -> tuple[int, str]:
        links = [link("x", "127.0.0.1:1", "http://127.0.0.1:1")]
        links[0]["clients"]["trust"] = "t"
        path = write_spec(material.folder, "crl", spec_of(material, links, trust={"t": trust}))
        done = handclasp(
            "check", "-c", path, "--nginx", nginx_build, "--format", "json", cwd=material.folder
        )
        return done.returncode, done.stdout

    both = ["ca.pem", "intermediate.pem"]
    code, told = checked(certificates=["ca.pem"], crl=["old.crl"])
    assert (code, "crl-expired" in told) == (1, True)
    code, told = checked(certificates=both, crl=["ca.crl"])
    assert (code, "crl-missing-for-chain" in told) == (1, True)
    code, told = checked(certificates=["ca.pem"], crl=["one.crl"])
    assert (code, "crl-for-other-ca" in told) == (1, True)
    assert checked(certificates=both, crl=["ca.crl", "one.crl"])[0] == 0


def test_a_certificate_that_expires_is_refused_at_the_next_connection(
    stage: Stage, material: Material
) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    material.add("brief", not_after=end)
    assert status(stage, "plain", "brief") == 200
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 1.05)
    assert status(stage, "plain", "brief") == 400


def second_connection_resumes(
    caller: Caller, sni: str, credentials: Any, version: ssl.TLSVersion, *, then: str | None = None
) -> tuple[bool, int]:
    """Whether the session of a first connection is taken up by a second one, and what that was answered."""
    context = caller.context(credentials, version=version)
    session = None
    resumed, answered = False, 0
    for name in (sni, then or sni):
        with caller.connect(name, context=context, session=session) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            (answer,) = read_answers(tls)
            session, resumed, answered = tls.session, bool(tls.session_reused), answer.status
    return resumed, answered


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
@pytest.mark.parametrize("name", ["plain", "optional", "listed"])
def test_no_session_is_resumed_by_default(stage: Stage, name: str, version: ssl.TLSVersion) -> None:
    sni = f"{name}.example.com"
    assert second_connection_resumes(stage.caller, sni, stage.pair(), version) == (False, 200)


@VERSIONS
def test_no_session_of_one_link_is_resumed_at_another(
    stage: Stage, version: ssl.TLSVersion
) -> None:
    assert second_connection_resumes(
        stage.caller, "plain.example.com", stage.pair("revoked"), version, then="listed.example.com"
    ) == (False, 400)


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_cannot_resume_either(stage: Stage, version: str) -> None:
    certificate, key = stage.pair()
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{stage.port}", "-reconnect", version),
            *("-servername", "plain.example.com", "-cert", str(certificate), "-key", str(key)),
        ],
        input=b"",
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert b"New, TLS" in done.stdout
    assert b"Reused, TLS" not in done.stdout


@VERSIONS
def test_sessions_are_resumed_when_asked_where_the_build_bounds_them(
    material: Material, nginx_builds: dict[str, Path], version: ssl.TLSVersion
) -> None:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        links = [link(name, listen, url, session_reuse=True) for name in ("again", "too")]
        links[1]["clients"] = {"trust": "company", "allow": ["cn:svc-x"]}
        spec = spec_of(material, links)
        with running_stage(material, nginx_builds["wheel"], "sessions", spec, port) as running:
            caller, own = running.caller, running.pair()
            name = "again.example.com"
            assert second_connection_resumes(caller, name, own, version) == (True, 200)
            # At a sibling the allow rules are asked anew, whatever the handshake was.
            other = second_connection_resumes(caller, name, own, version, then="too.example.com")
            assert other[1] in (403, 421)


def test_a_resumed_session_ends_with_its_lifetime(
    material: Material, nginx_builds: dict[str, Path]
) -> None:
    """The bound on how long a session outlives what was verified, though it is taken up again and again.

    The distribution's build is in test_old_identities_for_an_hour.
    """
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    (port,) = ports(1)
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        one = link("short", f"127.0.0.1:{port}", url, session_reuse=True, session_lifetime="1s")
        with running_stage(
            material, nginx_builds["wheel"], "lifetime", spec_of(material, [one]), port
        ) as running:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                context = running.caller.context(running.pair(), version=version)
                assert resumed_until_refused(running.caller, context, within=2.2)


def resumed_until_refused(caller: Caller, context: ssl.SSLContext, *, within: float) -> bool:
    """Whether the first resumption, at once, is granted, and one of those that follow it in time is not."""
    request = b"GET / HTTP/1.1\r\nHost: short.example.com\r\nConnection: close\r\n\r\n"
    session, end = None, time.monotonic() + within
    granted: list[bool] = []
    while len(granted) < 2 or (granted[-1] and time.monotonic() < end):
        with caller.connect("short.example.com", context=context, session=session) as tls:
            tls.sendall(request)
            read_answers(tls)
            session = tls.session
            granted.append(bool(tls.session_reused))
        time.sleep(0.05)
    return granted[:2] == [False, True] and not granted[-1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"session_reuse": False}, "session_reuse"),
        ({"session_lifetime": "1m"}, "session_lifetime"),
        ({"clients": {"trust": "others", "allow": "any"}}, "client verification"),
        ({"clients": {"trust": "company", "allow": "any", "depth": 1}}, "client verification"),
    ],
)
def test_links_that_verify_differently_may_not_share_a_session_store(
    material: Material, nginx_builds: dict[str, Path], change: dict[str, Any], told: str
) -> None:
    links = [
        link(name, "127.0.0.1:1", "http://127.0.0.1:1", session_reuse=True) for name in ("a", "b")
    ]
    links[1].update(change)
    path = write_spec(material.folder, "conflict", spec_of(material, links))
    done = handclasp("check", "-c", path, "--nginx", nginx_builds["wheel"], cwd=material.folder)
    assert done.returncode == 1
    assert "tls-policy-conflict-on-listener" in done.stdout
    assert told in done.stdout


def test_session_reuse_is_refused_by_builds_that_would_renew_them_for_ever(
    material: Material, nginx_build: Path, nginx_facts: Facts, free_port: Callable[[], int]
) -> None:
    one = link("a", f"127.0.0.1:{free_port()}", "http://127.0.0.1:1", session_reuse=True)
    path = write_spec(material.folder, "renewed", spec_of(material, [one]))
    old = pretending(nginx_build, "1.22.1", material.folder)
    able = nginx_facts.has(Feature.TLS13_SESSION_TIMEOUT)
    for nginx, refused in ((old, True), (nginx_build, not able)):
        done = handclasp("check", "-c", path, "--nginx", nginx, cwd=material.folder)
        assert done.returncode == refused, done.stdout
        assert ("1.23.2" in done.stdout) == refused
