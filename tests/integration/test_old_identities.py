"""How long an identity that was replaced, or a caller that is no longer trusted, lives on.

With bounds of a second or two, for the wheel's build is static and has the real time alone. That of the
distribution has its usual bounds in an hour of its own (test_old_identities_for_an_hour).
"""

from __future__ import annotations

import ssl
import time
from typing import TYPE_CHECKING

import pytest

from tests import pki
from tests.integration.ingress_stage import Caller, link, ports, read_answers, spec_of
from tests.integration.rotation_stage import DEDICATED, changing_material
from tests.integration.running import SERVER_NAME, Running, egress_spec, write_spec
from tests.integration.upstreams import Upstream, connect, read_answer, request_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
GET = f"GET / HTTP/1.1\r\nHost: {SERVER_NAME}\r\n\r\n".encode()


@pytest.fixture
def material() -> Iterator[Material]:
    with changing_material() as made:
        yield made


def test_a_connection_of_a_caller_ends_at_the_first_answer_after_its_age(
    material: Material, backend: Backend, nginx_builds: dict[str, Path]
) -> None:
    (port,) = ports(1)
    one = link(
        "api",
        f"127.0.0.1:{port}",
        f"http://127.0.0.1:{backend.port}",
        server_names=[SERVER_NAME],
        connection_age="2s",
    )
    with Running(
        write_spec(material.folder, "in", spec_of(material, [one])), nginx_builds["wheel"]
    ):
        caller = Caller(port, material.folder / "ca.pem")
        with caller.connect(SERVER_NAME, material.pair("svc-b")) as tls:
            tls.sendall(GET)
            assert read_answer(tls).header("Connection") == "keep-alive"
            time.sleep(2.2)
            tls.sendall(GET)
            assert read_answer(tls).header("Connection") == "close"


def test_under_steady_traffic_an_upstream_meets_the_new_identity_within_the_age_of_the_pool(
    material: Material, port: int, nginx_builds: dict[str, Path]
) -> None:
    with Upstream(
        certificate=material.pair("server-a"), client_ca=material.folder / "ca.pem"
    ) as upstream:
        spec = egress_spec(
            material,
            f"127.0.0.1:{port}",
            f"https://127.0.0.1:{upstream.port}",
            pool={"age": "2s"},
        )
        path = write_spec(material.folder, "out", {**spec, **DEDICATED})
        with Running(path, nginx_builds["wheel"]) as agent, connect(port) as kept:

            def ask() -> str | None:
                kept.sendall(request_bytes())
                assert read_answer(kept).status == 200
                return upstream.last.peer

            assert ask() == "svc-b"
            material.add("svc-b", sans=["svc-b.internal"], subject=pki.dn("new-b"), key_label="b2")
            agent.wait_for('rotated what="identity svc-b"')
            deadline = time.monotonic() + 2 + 1
            while (peer := ask()) != "new-b":
                assert peer == "svc-b"
                assert time.monotonic() < deadline
                time.sleep(0.05)


@VERSIONS
def test_a_session_ends_when_the_trust_it_was_made_under_changes(
    material: Material, backend: Backend, nginx_builds: dict[str, Path], version: ssl.TLSVersion
) -> None:
    (port,) = ports(1)
    url = f"http://127.0.0.1:{backend.port}"
    one = link("api", f"127.0.0.1:{port}", url, server_names=[SERVER_NAME], session_reuse=True)
    bundle = material.folder / "ca.pem"
    both = material.ca.pem + material.other_ca.pem
    bundle.write_bytes(both)
    # A CA whose callers are noted would not go without force (test_callers_seen).
    spec = {**spec_of(material, [one]), **DEDICATED, "log": {"callers": False}}
    path = write_spec(material.folder, "in", spec)
    with Running(path, nginx_builds["wheel"]) as agent:
        caller = Caller(port)
        context = caller.context(material.pair("stranger"), version=version)
        first = resumption(caller, context, None)
        assert resumption(caller, context, first[0])[1:] == (True, 200)
        bundle.write_bytes(material.ca.pem)  # the stranger's CA goes
        agent.wait_for('rotated what="trust company"')
        assert resumption(caller, context, first[0])[1:] == (False, 400)


def resumption(
    caller: Caller, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[ssl.SSLSession | None, bool, int]:
    """The session of a connection, whether it took up the one given, and the answer's status."""
    with caller.connect(SERVER_NAME, context=context, session=session) as tls:
        tls.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        (answer,) = read_answers(tls)
        return tls.session, bool(tls.session_reused), answer.status
