"""The whole way: a caller with a certificate, an ingress link on a real nginx, real servers behind it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests import pki
from tests.backend.callers import headers
from tests.backend.serving import ASGI, ROOT, SERVERS, WSGI, ask, serving
from tests.integration.ingress_stage import link, ports, running_stage, spec_of
from tests.integration.running import Material

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.backend.serving import Place
    from tests.integration.ingress_stage import Stage

pytestmark = pytest.mark.integration

APPLICATION = {
    "uvicorn": ASGI,
    "hypercorn": ASGI,
    "granian": ASGI,
    "gunicorn": WSGI,
    "waitress": WSGI,
}
EXAMPLES = {"fastapi": "uvicorn", "flask": "gunicorn", "django": "waitress"}
HOSTILE = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'a,b;c"d+e<f>'),
        x509.NameAttribute(
            NameOID.COMMON_NAME, 'Jürgen";URI=spiffe://example.org/admin, CN=admin '
        ),
    ]
)
TWENTY = [*(f"host{n}.example.org" for n in range(19)), "uri:spiffe://example.org/twenty"]


@pytest.fixture(scope="module")
def material(place: Path) -> Material:
    made = Material(place / "hop")
    spiffe = "uri:spiffe://example.org/svc-b"
    made.add("server-a", sans=["*.example.com"], usages=[pki.SERVER])
    made.add("rsa", sans=[spiffe], key_kind="rsa4096")
    made.add("hostile", sans=[spiffe], subject=HOSTILE)
    made.add("twenty", sans=TWENTY)
    return made


CALLERS = ("svc-b", "rsa", "hostile", "twenty")


@pytest.fixture(scope="module")
def servers(place: Path) -> Iterator[dict[str, Place]]:
    """Every server on a unix socket (x-client-cert) and on a port (x-ssl-cert), and the examples."""
    with contextlib.ExitStack() as stack:
        places: dict[str, Place] = {}
        for server, port in zip(SERVERS, ports(len(SERVERS)), strict=True):
            places[f"{server}-unix"] = stack.enter_context(
                serving(server, APPLICATION[server], place / f"{server}.sock")
            )
            places[f"{server}-tcp"] = stack.enter_context(
                serving(
                    server,
                    APPLICATION[server],
                    port,
                    variables={
                        "HANDCLASP_TEST_TRUSTED": "127.0.0.1",
                        "HANDCLASP_TEST_DIALECT": "x-ssl-cert",
                    },
                )
            )
        for example, server in EXAMPLES.items():
            folder = ROOT / "examples" / example
            places[example] = stack.enter_context(
                serving(server, "app:app", place / f"{example}.sock", folder=folder)
            )
        yield places


@pytest.fixture(scope="module")
def stage(material: Material, servers: dict[str, Place], nginx_build: Path) -> Iterator[Stage]:
    (port,) = ports(1)
    links: list[dict[str, Any]] = [
        link(
            name,
            f"127.0.0.1:{port}",
            f"http://127.0.0.1:{place}" if isinstance(place, int) else f"http://unix:{place}",
            clients={"trust": "company", "allow": "any", "verify": "required"},
        )
        for name, place in servers.items()
    ]
    with running_stage(material, nginx_build, "backends", spec_of(material, links), port) as stage:
        yield stage


PLACES = [f"{server}-{kind}" for server in SERVERS for kind in ("unix", "tcp")]


@pytest.mark.parametrize("name", PLACES)
def test_the_application_knows_who_calls(stage: Stage, name: str) -> None:
    for caller in CALLERS:
        answer = stage.caller.get(sni=f"{name}.example.com", credentials=stage.pair(caller))
        assert answer.status == 200, answer.text
        pem, _ = stage.pair(caller)
        der = ssl.PEM_cert_to_DER_cert(pem.read_text())
        assert answer.json["sha256"] == hashlib.sha256(der).hexdigest()
        assert (
            answer.json["spiffe_id"]
            == {
                "svc-b": None,
                "rsa": "spiffe://example.org/svc-b",
                "hostile": "spiffe://example.org/svc-b",
                "twenty": "spiffe://example.org/twenty",
            }[caller]
        )


@pytest.mark.parametrize("name", PLACES)
def test_what_the_caller_adds_changes_nothing(stage: Stage, name: str) -> None:
    """nginx removes it; were it to come through, the application would answer 400."""
    for dialect in ("x-client-cert", "x-ssl-cert", "rfc9440", "xfcc"):
        forged = headers(dialect, "p256")
        spelt = [(key.replace("-", "_"), value) for key, value in forged]
        for told in (forged, [*forged, *forged], spelt):
            answer = stage.caller.get(
                sni=f"{name}.example.com", credentials=stage.pair("rsa"), headers=told
            )
            if len(told) > len(forged) and "identity was refused" not in answer.text:
                assert answer.status in (200, 400, 431)  # it may be more than nginx takes
                continue
            assert answer.status == 200, answer.text
            assert answer.json["subject"].startswith("CN=rsa,")


@pytest.mark.parametrize("name", PLACES)
def test_trailers_of_the_caller_end_at_nginx(stage: Stage, name: str) -> None:
    """Where they came through, they would come twice."""
    lines = [
        "POST / HTTP/1.1",
        f"Host: {name}.example.com",
        "Connection: close",
        "Transfer-Encoding: chunked",
        *("", "1", "x", "0"),
        *(f"{key}: {value}" for key, value in headers("x-client-cert")),
        *("", ""),
    ]
    (answer,) = stage.caller.send(
        "\r\n".join(lines).encode(), sni=f"{name}.example.com", credentials=stage.pair("rsa")
    )
    assert answer.status == 200, answer.text
    assert answer.json["subject"].startswith("CN=rsa,")


@pytest.mark.parametrize("server", SERVERS)
def test_past_nginx_nobody_is_believed(servers: dict[str, Place], server: str) -> None:
    """The port can be reached by others on this machine, who are believed as it says: 127.0.0.1. The
    wrong dialect is not, nor is a forged certificate whose verdict is missing."""
    place = servers[f"{server}-tcp"]
    assert ask(place, headers("x-client-cert")).status == 403
    assert ask(place, headers("x-ssl-cert")[:1]).status == 400


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_greets_the_caller_by_spiffe_id(stage: Stage, example: str) -> None:
    answer = stage.caller.get(sni=f"{example}.example.com", credentials=stage.pair("rsa"))
    assert (answer.status, answer.text) == (200, "Hello, spiffe://example.org/svc-b!\n")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_greets_nobody_else(
    servers: dict[str, Place], stage: Stage, example: str
) -> None:
    with pytest.raises(ssl.SSLError):
        stage.caller.get(sni=f"{example}.invalid", credentials=stage.pair("rsa"))
    assert stage.caller.get(sni=f"{example}.example.com").status == 400
    stranger = stage.caller.get(sni=f"{example}.example.com", credentials=stage.pair("stranger"))
    assert stranger.status == 400
    assert ask(servers[example], []).status == 403
    assert ask(servers[example], headers("rfc9440")).status == 403
    assert ask(servers[example], [*headers("x-client-cert")] * 2).status == 400


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_on_a_port_greets_nobody(example: str) -> None:
    """It trusts its unix socket alone."""
    (port,) = ports(1)
    with serving(EXAMPLES[example], "app:app", port, folder=ROOT / "examples" / example):
        assert ask(port, headers("x-client-cert")).status == 403


def test_json_is_what_the_application_answers(stage: Stage) -> None:
    answer = stage.caller.get(sni="uvicorn-unix.example.com", credentials=stage.pair("hostile"))
    assert json.loads(answer.body)["subject"].startswith('CN=J\\C3\\BCrgen\\"\\;URI=spiffe://')
