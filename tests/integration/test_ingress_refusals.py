"""What a refused caller is told, in which form, and what stays hidden."""

from __future__ import annotations

import json
import ssl
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import (
    NAMES,
    Stage,
    link,
    ports,
    read_answers,
    running_stage,
    spec_of,
    until,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

REFUSED = {  # case → link, who, status, slug, words, gRPC status
    "missing": ("api", None, 400, "client-certificate-missing", "No client certificate", "16"),
    "refused": ("api", "stranger", 400, "client-certificate-refused", "was refused", "16"),
    "expired": ("api", "expired", 400, "client-certificate-refused", "was refused", "16"),
    "not-allowed": ("api", "svc-x", 403, "not-allowed", "may not use", "7"),
}
CASES = pytest.mark.parametrize("case", REFUSED)


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    """`log: {access: refused}`: what is logged must not depend on the form of the answer."""
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    old: dict[str, Any] = {
        "not_before": pki.NOW - timedelta(days=2),
        "not_after": pki.NOW - timedelta(days=1),
    }
    material.add("expired", **old)
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    clients = {"trust": "company", "allow": ["cn:svc-b"]}
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        links = [link("api", listen, url, clients=clients)]
        spec = spec_of(material, links, log={"access": "refused"})
        with running_stage(
            material, nginx_build, "refusals", spec, port, backend=backend
        ) as running:
            yield running


def refused(stage: Stage, case: str, *headers: tuple[str, str], **more: Any) -> Answer:
    """The answer, once it is sure that the backend was not asked."""
    name, who, *_ = REFUSED[case]
    before = len(stage.extra["backend"].seen)
    credentials = stage.pair(who) if who else None
    answer = stage.caller.get(
        more.pop("path", "/secret"),
        sni=f"{name}.example.com",
        credentials=credentials,
        headers=headers,
        **more,
    )
    assert len(stage.extra["backend"].seen) == before
    return answer


def logged(stage: Stage, request_id: str | None) -> dict[str, Any]:
    """The line of the access log with this request id."""
    path = stage.running.state / "nginx" / "logs" / "access.log"
    assert request_id
    assert until(lambda: request_id in path.read_text())
    (line,) = [line for line in path.read_text().splitlines() if request_id in line]
    told: dict[str, Any] = json.loads(line)
    return told


@CASES
def test_the_page_says_which_refusal_it_was_and_carries_the_id_of_the_log_line(
    stage: Stage, case: str
) -> None:
    _, who, status, slug, words, _ = REFUSED[case]
    for accept, form in (("*/*", "text/plain"), ("application/json", "application/json")):
        answer = refused(stage, case, ("Accept", accept))
        assert answer.status == status
        assert answer.value("Content-Type") == form
        request_id = answer.value("X-Request-ID")
        assert request_id
        assert request_id in answer.text
        assert words in answer.text
        if form == "application/json":
            assert answer.json == {
                "error": slug,
                "message": answer.json["message"],
                "request_id": request_id,
            }
        line = logged(stage, request_id)
        assert (line["link"], line["status"]) == ("api", str(status))
        assert line["verify"].startswith({None: "NONE", "svc-x": "SUCCESS"}.get(who, "FAILED:"))


@CASES
@pytest.mark.parametrize(
    "accept",
    ["application/json", "application/problem+json", "text/html, application/json;q=0.9"],
)
def test_json_is_for_those_who_accept_it(stage: Stage, case: str, accept: str) -> None:
    assert refused(stage, case, ("Accept", accept)).value("Content-Type") == "application/json"


@CASES
def test_json_is_not_for_those_who_do_not(stage: Stage, case: str) -> None:
    for accept in ("text/html", "application/jsonp-not", "application/xml", "json"):
        kind = refused(stage, case, ("Accept", accept)).value("Content-Type")
        assert kind == ("application/json" if "jsonp" in accept else "text/plain")
    assert refused(stage, case).value("Content-Type") == "text/plain"


@CASES
def test_the_page_gives_no_detail_away(stage: Stage, case: str) -> None:
    """No path, version, subject, issuer, verification text, name of a CA or of the backend."""
    for accept in ("*/*", "application/json"):
        answer = refused(stage, case, ("Accept", accept), ("X-Client-Subject", "CN=root"))
        said = answer.text + repr(answer.headers)
        for secret in (
            *("svc-", "stranger", "Test CA", "Other CA", "FAILED", "expired", "unable", "error:"),
            *("CN=", "127.0.0.1", str(stage.extra["backend"].port), "/secret", "nginx/"),
            *(stage.facts.version_text, str(stage.running.state), ".pem", "OpenSSL", "verify"),
        ):
            assert secret not in said
        assert answer.value("Server") == "nginx"


@CASES
@pytest.mark.parametrize("content_type", ["application/grpc", "application/grpc+proto"])
def test_a_grpc_caller_gets_a_status_in_trailers_only(
    stage: Stage, case: str, content_type: str
) -> None:
    """gRPC over HTTP/2: HTTP status 200, grpc-status in the one header block."""
    name, who, *_, code = REFUSED[case]
    before = len(stage.extra["backend"].seen)
    credentials = stage.pair(who) if who else None
    with Http2Client(stage.caller, f"{name}.example.com", credentials) as client:
        fields = [("content-type", content_type), ("te", "trailers")]
        answer = client.request("/t.T/M", method="POST", headers=fields, body=b"\0" * 5)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.value("grpc-status") == code
    assert (answer.value("content-type") or "").startswith("application/grpc")
    assert len(stage.extra["backend"].seen) == before
    # Status 200 is not left out of the log of refusals.
    assert logged(stage, answer.value("x-request-id"))["status"] == "200"


@CASES
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_no_method_gets_past(stage: Stage, case: str, method: str) -> None:
    name, who, status, *_ = REFUSED[case]
    before = len(stage.extra["backend"].seen)
    with stage.caller.connect(
        f"{name}.example.com", stage.pair(who) if who else None
    ) as connection:
        body = "" if method == "HEAD" else "Content-Length: 5\r\n"
        head = f"{method} / HTTP/1.1\r\nHost: {name}.example.com\r\nConnection: close\r\n{body}\r\n"
        connection.sendall(head.encode() + (b"" if method == "HEAD" else b"hello"))
        (answer,) = read_answers(connection, method=method)
    assert answer.status == status
    assert len(stage.extra["backend"].seen) == before


@CASES
def test_a_large_body_of_a_refused_caller_goes_nowhere(stage: Stage, case: str) -> None:
    answer = refused(stage, case, method="POST", body=b"x" * 200_000)
    assert answer.status == REFUSED[case][2]


@pytest.mark.parametrize(
    "path",
    [
        "/.handclasp/",
        "/.handclasp/403/text",
        "/.handclasp/495/json",
        "/.handclasp/496/grpc",
        "/.handclasp/497/text?x=1",
        "/.handclasp/420/text",
        "//.handclasp/403/text",
        "/x/../.handclasp/403/text",
        "/%2ehandclasp/403/text",
        "/.handclasp/999/text",
        "/.handclasp/403/$hc_answer",
    ],
)
def test_our_own_locations_cannot_be_asked_for(stage: Stage, path: str) -> None:
    """Nobody gets a page saying he was refused, or was not, by asking for it."""
    answer = stage.caller.get(path, sni="api.example.com", credentials=stage.pair())
    if answer.status == 200:  # the backend's own
        assert answer.json["path"] == path
    else:
        assert answer.status == 404
        assert "Request id" not in answer.text


def test_the_status_of_the_backend_is_not_mistaken_for_ours(stage: Stage) -> None:
    for code in (400, 401, 403, 404, 421, 429, 495, 496, 497, 500, 502, 503, 504):
        for accept in ("*/*", "application/json", "application/grpc"):
            answer = stage.caller.get(
                f"/status/{code}",
                sni="api.example.com",
                credentials=stage.pair(),
                headers=[("Accept", accept), ("Content-Type", accept)],
            )
            assert (answer.status, answer.text) == (code, f"the backend says {code}")


def test_a_refused_connection_does_not_carry_further_requests(stage: Stage) -> None:
    """A caller without certificate cannot keep asking: nginx closes after 495 and 496."""
    request = b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
    for who in (None, "stranger"):
        credentials = stage.pair(who) if who else None
        answers = stage.caller.send(request * 3, sni="api.example.com", credentials=credentials)
        assert [answer.status for answer in answers] == [400]


def test_tls_1_2_and_1_3_refuse_alike(stage: Stage) -> None:
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with stage.caller.connect("api.example.com", None, version=version) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: api.example.com\r\n\r\n")
            (answer,) = read_answers(connection)
        assert answer.status == 400
