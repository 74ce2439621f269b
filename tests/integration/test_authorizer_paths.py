"""Rules by path and method against requests that mean one thing to nginx and another to the backend, and
against the memory of answers: what one rule said about a certificate is no answer of another's."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests import pki
from tests.integration.authorizer_stage import (
    WITHOUT_X_SSL_CERT,
    assert_caller_is,
    logged,
    pair_of,
    refused_for,
    status_over,
)
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
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.integration.ingress_stage import Answer
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

MAIN = "paths.example.com"
SVC_B, ADMIN = ["dns:svc-b.internal"], ["dns:admin.internal"]
RULES = [
    {"path": "/", "methods": ["GET", "POST"], "allow": [*SVC_B, *ADMIN]},
    {"path": "/admin/", "allow": ADMIN},
    {"path": "/reports/", "methods": ["GET"], "allow": SVC_B},
    {"path": "/reports/", "methods": ["PUT", "PURGE"], "allow": ADMIN},
    {"path": "/wide/", "methods": ["GET"], "allow": SVC_B},
    {"path": "/wide/", "allow": ADMIN},
]


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("admin", sans=["admin.internal"])
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    clients = {"trust": "company", "allow": ["dns:nobody.internal"], "rules": RULES}
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        links = [
            link("paths", listen, url, clients=clients, forward=list(WITHOUT_X_SSL_CERT)),
            # The same rules where nginx decides alone.
            link(
                "native",
                listen,
                url,
                clients={**clients, "rules": [_by_name(rule) for rule in RULES]},
            ),
        ]
        # Callers without certificate may enter where no rule says who may.
        optional = [{"path": "/"}, {"path": "/admin/", "allow": ADMIN}]
        links.append(
            link(
                "optional",
                listen,
                url,
                clients={
                    "trust": "company",
                    "verify": "optional",
                    "allow": SVC_B,
                    "rules": optional,
                },
                forward=["handclasp"],
            )
        )
        spec = spec_of(material, links, log={"access": "all"})
        with running_stage(material, nginx_build, "paths", spec, port, backend=backend) as running:
            yield running


def _by_name(rule: Mapping[str, object]) -> dict[str, object]:
    named = rule["allow"]
    assert isinstance(named, list)
    return {
        **rule,
        "allow": [one.replace("dns:", "cn:").removesuffix(".internal") for one in named],
    }


def arrivals(stage: Stage) -> int:
    return len(stage.extra["backend"].seen)


def ask(
    stage: Stage, target: str, who: str = "svc-b", *, method: str = "GET", sni: str = MAIN
) -> Answer | None:
    """A raw request line; None when nginx ends the connection without an answer."""
    request = f"{method} {target} HTTP/1.1\r\nHost: {sni}\r\nConnection: close\r\n\r\n"
    with stage.caller.connect(sni, stage.pair(who)) as tls:
        tls.sendall(request.encode("latin-1"))
        answers = read_answers(tls, method=method)
    assert len(answers) <= 1
    return answers[0] if answers else None


# Paths


AMBIGUOUS = [
    "/b\xc3\xbcro/",
    "/b%fcro//",
    "//admin",
    "//admin/",
    "/./admin/",
    "/x/../admin/",
    "/x/..//admin/",
    "/%2e/admin/",
    "/x/%2e%2e/admin/",
    "/x/%2E./admin",
    "/%2fadmin",
    "/x/..%2fadmin/",
    "/x/..%5cadmin/",
    "/x\\..\\admin/",
    "/x;/../admin/",
    "/;/admin/",
    "/admin;x",
    "/admin%3bx",
    "/admin%00",
    "/admin%00/../x",
    "/%2561dmin%2500",
    "/x/%252e%252e/admin/",
    "/x/%c0%ae%c0%ae/admin/",
    "/admin/..",
    "/admin/.",
    "/admin%0a",
    "/admin%7f",
    "/admin#x",
    "/%",
    "/%a",
    "/%zz/admin",
    "/admin\xff",
    "/x/../",
    "/reports/../admin/",
    "/admin%3fx",
    "/admin%3F",
    "/admin%23x",
    "/%2561dmin/x",
    "/%25%36%31dmin/",
    "/x%e0%80%afadmin",
    "/%e0%80%ae%e0%80%ae/admin",
    "/x%f0%80%80%afadmin",
    "/x%F8%80%80%80%AFadmin",
]
REFUSED = [
    "/admin",
    "/admin/",
    "/admin?",
    "/admin/?x=/",
    "/admin/x/y",
    "/%61dmin",
    "/%61%64%6d%69%6e/",
    "http://paths.example.com/admin/",
    "HTTP://paths.example.com/%61dmin",
]
PASSED = [
    "/",
    "/?a=b",
    "/?../admin/",
    "/?//admin;%2f",
    "/adminx",
    "/admi",
    "/administrator/",
    "/Admin/",
    "/ADMIN",
    "/x/admin/",
    "/a...b/",
    "/.hidden",
    "/a%20b",
    "/admin%20/",
    "/admin%20",
    "/admin.",
    "/admin.json",
    "/100%25",
    "/%e0%a0%80/%f0%90%80%80/caf%e9",
    "/b%C3%BC",
    "http://paths.example.com/x",
]


@pytest.mark.parametrize("sni", [MAIN, "native.example.com"])
def test_ambiguous_paths_are_refused_whoever_asks(stage: Stage, sni: str) -> None:
    before = arrivals(stage)
    for target in AMBIGUOUS:
        for who in ("svc-b", "admin"):
            answer = ask(stage, target, who, sni=sni)
            assert answer is not None, target
            assert answer.status == 400, target
    assert arrivals(stage) == before


@pytest.mark.parametrize("sni", [MAIN, "native.example.com"])
def test_paths_below_a_rule_are_refused_to_whom_only_a_wider_one_lets_in(
    stage: Stage, sni: str
) -> None:
    for target in (one.replace(MAIN, sni) for one in REFUSED):
        before = arrivals(stage)
        refused = ask(stage, target, sni=sni)
        assert refused is not None, target
        assert refused.status == 403, target
        assert arrivals(stage) == before
        passed = ask(stage, target, "admin", sni=sni)
        assert passed is not None, target
        assert passed.status == 200, target


@pytest.mark.parametrize("sni", [MAIN, "native.example.com"])
def test_paths_beside_a_rule_pass_as_they_were_sent(stage: Stage, sni: str) -> None:
    for target in (one.replace(MAIN, sni) for one in PASSED):
        answer = ask(stage, target, sni=sni)
        assert answer is not None, target
        assert answer.status == 200, target
        _, absolute, rest = target.partition(sni)
        assert stage.extra["backend"].last.path == (rest if absolute else target)


@pytest.mark.parametrize(
    "target", ["*", "admin/", "paths.example.com:443", "http://", "http:///admin/", "?x", ""]
)
def test_targets_that_are_no_path_reach_nobody(stage: Stage, target: str) -> None:
    before = arrivals(stage)
    for method in ("GET", "OPTIONS", "CONNECT"):
        answer = ask(stage, target, "admin", method=method)
        assert answer is None or answer.status in (400, 403, 405), (method, answer)
    assert arrivals(stage) == before


def test_http2_paths_are_judged_alike(stage: Stage) -> None:
    for target in (*AMBIGUOUS, "*", "admin/", ""):
        before = arrivals(stage)
        with Http2Client(stage.caller, MAIN, stage.pair("admin")) as client:
            assert client.request(target).status in (0, 400), target
        assert arrivals(stage) == before
    with Http2Client(stage.caller, MAIN, stage.pair()) as client:
        for target in ("/admin", "/admin/", "/%61dmin", "/admin?x"):
            assert client.request(target).status == 403
            assert client.request("/x").status == 200
    assert_caller_is(stage.extra["backend"].last, stage.material.client, WITHOUT_X_SSL_CERT)


# Methods


METHODS = [
    ("GET", "/reports/", {"svc-b"}),
    ("HEAD", "/reports/", {"svc-b"}),
    ("PUT", "/reports/", {"admin"}),
    ("PURGE", "/reports/", {"admin"}),
    ("POST", "/reports/", set()),
    ("DELETE", "/reports/", set()),
    ("OPTIONS", "/reports/", set()),
    ("GETX", "/reports/", set()),
    ("XGET", "/reports/", set()),
    ("GET_PUT", "/reports/", set()),
    ("TRACE", "/reports/", set()),
    ("GET", "/wide/", {"svc-b"}),
    ("HEAD", "/wide/", {"svc-b"}),
    ("POST", "/wide/", {"admin"}),
    ("PROPFIND", "/wide/", {"admin"}),
    ("GET", "/x", {"svc-b", "admin"}),
    ("POST", "/x", {"svc-b", "admin"}),
    ("DELETE", "/x", set()),
    ("DELETE", "/admin/", {"admin"}),
    ("get", "/wide/", set()),
    ("Get", "/reports/", set()),
]


@pytest.mark.parametrize("sni", [MAIN, "native.example.com"])
def test_a_method_is_judged_by_the_rules_that_name_it(stage: Stage, sni: str) -> None:
    for method, path, allowed in METHODS:
        for who in ("svc-b", "admin"):
            before = arrivals(stage)
            answer = ask(stage, path, who, method=method, sni=sni)
            passed = answer is not None and answer.status == 200
            assert passed == (who in allowed), (method, path, who, answer)
            assert arrivals(stage) == before + passed
            if answer is not None and not passed:
                assert answer.status in (400, 403, 405), (method, path, who)


def test_the_log_says_why_and_the_answer_does_not(stage: Stage) -> None:
    for target, method, who, status, reason in (
        ("/admin/", "GET", "svc-b", 403, "no-rule-holds"),
        ("//admin", "GET", "svc-b", 400, "path-ambiguous"),
        ("/reports/", "POST", "svc-b", 403, "method-not-covered"),
        ("/admin/", "GET", "admin", 200, ""),
    ):
        answer = ask(stage, target, who, method=method)
        assert answer is not None
        assert answer.status == status
        assert refused_for(stage.running, MAIN, reason)
        if reason:
            told = str(answer.headers).lower() + answer.text.lower()
            assert reason not in told
            assert "hc-reason" not in told


@pytest.mark.parametrize("sni", [MAIN, "native.example.com"])
def test_an_ambiguous_path_is_told_as_every_other_refusal(stage: Stage, sni: str) -> None:
    """Text or JSON by Accept and a status for gRPC, each with the id of the log line."""
    credentials = stage.pair("admin")
    for accept, kind in (("*/*", "text/plain"), ("application/json", "application/json")):
        answer = stage.caller.get(
            "//x", sni=sni, credentials=credentials, headers=[("Accept", accept)]
        )
        assert (answer.status, answer.value("Content-Type")) == (400, kind)
        request_id = answer.value("X-Request-ID")
        assert request_id
        assert request_id in answer.text
        assert "more than one way" in answer.text
        if kind == "application/json":
            assert answer.json["error"] == "ambiguous-path"
        assert "nginx" not in answer.text
        assert log_of(stage, request_id) == ("400", "path-ambiguous")
    with Http2Client(stage.caller, sni, credentials) as client:
        fields = [("content-type", "application/grpc"), ("te", "trailers")]
        told = client.request("/x/../t.T/M", method="POST", headers=fields, body=b"\0" * 5)
    assert (told.status, told.body, told.value("grpc-status")) == (200, b"", "3")
    assert log_of(stage, told.value("x-request-id")) == ("200", "path-ambiguous")


def test_what_nginx_itself_cannot_read_is_not_called_ambiguous(stage: Stage) -> None:
    answer = ask(stage, "/x", method="GET\x01")
    assert answer is not None
    assert answer.status == 400
    assert "more than one way" not in answer.text
    # Nor is a 400 or 420 of the backend.
    for code in (400, 420):
        answer = ask(stage, f"/status/{code}")
        assert answer is not None
        assert (answer.status, answer.text) == (code, f"the backend says {code}")


def log_of(stage: Stage, request_id: str | None) -> tuple[str, str]:
    def line() -> list[dict[str, str]]:
        return [one for one in logged(stage.running) if one["request_id"] == request_id]

    assert request_id
    assert until(lambda: len(line()) == 1)
    return line()[0]["status"], line()[0]["reason"]


def test_headers_that_rename_path_or_method_do_not_arrive(stage: Stage) -> None:
    """A POST that the backend takes for a DELETE was judged as a POST."""
    paths = ["X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Envoy-Original-Path"]
    paths += ["X-Script-Name", "X-Original-Method", "X-Middleware-Subrequest"]
    methods = ["X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"]
    headers = [*((one, "/admin/") for one in paths), *((one, "DELETE") for one in methods)]
    headers += [(one.replace("-", "_"), two) for one, two in headers]
    for sni in (MAIN, "native.example.com"):
        refused = stage.caller.get(
            "/admin/", sni=sni, credentials=stage.pair(), headers=headers, method="POST"
        )
        assert refused.status == 403
        answer = stage.caller.get(
            "/x", sni=sni, credentials=stage.pair(), headers=headers, method="POST"
        )
        assert answer.status == 200
        seen = stage.extra["backend"].last
        assert [one for one in (*paths, *methods) if seen.values(one)] == []
    # Where no rule goes by method they are the application's business.
    stage.caller.get(
        "/x", sni="optional.example.com", credentials=stage.pair(), headers=headers, method="POST"
    )
    seen = stage.extra["backend"].last
    assert [one for one in (*paths, *methods) if seen.values(one)] == methods


def test_callers_without_certificate_enter_where_no_rule_names_anybody(stage: Stage) -> None:
    sni = "optional.example.com"
    seen = stage.extra["backend"].seen
    for _ in range(2):  # the second time from memory
        for path, who, status in (
            ("/x", None, 200),
            ("/admin/", None, 403),
            ("/admin/", "admin", 200),
            ("/admin/", "svc-b", 403),
            ("/x", "svc-b", 200),
            ("/x", "svc-x", 403),  # to show a certificate is to be judged by it
            ("/x", "stranger", 400),
            ("//admin/", None, 400),
            ("/%61dmin/", None, 403),
        ):
            before = len(seen)
            credentials = stage.pair(who) if who else None
            answer = stage.caller.get(path, sni=sni, credentials=credentials)
            assert answer.status == status, (path, who)
            assert len(seen) == before + (status == 200)
            if status == 200:
                pair = pair_of(stage.material, who) if who else None
                assert_caller_is(seen[-1], pair, ["handclasp"])
    assert ask_nobody(stage, sni, "/admin/") == 403
    assert refused_for(stage.running, sni, "no-certificate")


def ask_nobody(stage: Stage, sni: str, path: str) -> int:
    return stage.caller.get(path, sni=sni).status


# The memory of answers


def steps(stage: Stage, who: str, order: tuple[tuple[str, str], ...], *, together: bool) -> None:
    """Asks in this order, over one connection or over new ones; each gets what its rule says."""
    allowed = {(method, path): "svc-b" in names for method, path, names in METHODS}
    allowed[("GET", "/admin/")] = False

    def judged(tls: ssl.SSLSocket, method: str, path: str) -> None:
        status = status_over(tls, MAIN, path, method=method)
        assert status == (200 if allowed[(method, path)] else 403), (method, path, order)

    if together:
        with stage.caller.connect(MAIN, stage.pair(who)) as tls:
            for method, path in order:
                judged(tls, method, path)
        return
    for method, path in order:
        with stage.caller.connect(MAIN, stage.pair(who)) as tls:
            judged(tls, method, path)


@pytest.mark.parametrize("together", [True, False], ids=["one-connection", "new-connections"])
def test_what_was_said_of_one_path_or_method_is_no_answer_for_another(
    stage: Stage, together: bool
) -> None:
    """Every order of an allowed and a refused request of one certificate, each order with a certificate
    that nobody was asked about before; then all again, remembered."""
    pairs = (
        (("GET", "/x"), ("GET", "/admin/")),
        (("GET", "/reports/"), ("PUT", "/reports/")),
        (("GET", "/wide/"), ("POST", "/wide/")),
        (("HEAD", "/wide/"), ("PROPFIND", "/wide/")),
    )
    for number, order in enumerate(
        order for pair in pairs for order in itertools.permutations(pair)
    ):
        who = f"fresh-{number}-{together}"
        stage.material.add(who, sans=["svc-b.internal"], key_label="same")
        steps(stage, who, order * 2, together=together)
        if number % 2:
            steps(stage, who, tuple(reversed(order)), together=not together)


def test_one_connection_of_http2_mixes_them_too(stage: Stage) -> None:
    stage.material.add("fresh-h2", sans=["svc-b.internal"], key_label="same")
    with Http2Client(stage.caller, MAIN, stage.pair("fresh-h2")) as client:
        for _ in range(3):
            assert client.request("/admin/").status == 403
            assert client.request("/x").status == 200
            assert client.request("/wide/", method="POST").status == 403
            assert client.request("/wide/").status == 200


def test_what_was_said_of_one_certificate_is_no_answer_for_another_with_its_names(
    stage: Stage,
) -> None:
    """Same subject, same names, same key: another serial makes another certificate, and another answer."""
    for who in ("one", "two"):
        pair = stage.material.add(
            who, subject=pki.dn("twin"), sans=["svc-b.internal"], key_label="same"
        )
        answer = stage.caller.get("/x", sni=MAIN, credentials=stage.pair(who))
        assert answer.status == 200
        assert_caller_is(stage.extra["backend"].last, pair, WITHOUT_X_SSL_CERT)
