"""Names and certificates that are not the caller's to use, or were made to break what they end up in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from cryptography.x509.oid import NameOID

from handclasp.backend import IdentityError, parse
from handclasp.nginx.features import Feature
from tests import pki
from tests.identity.specimens import name
from tests.integration.authorizer_stage import WITHOUT_X_SSL_CERT, assert_caller_is, refused_for
from tests.integration.dialect_stage import (
    DIALECTS_OF,
    MAIN,
    arrivals,
    every_dialect,
    host,
    last,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cryptography import x509

    from tests.integration.ingress_stage import Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration

# Names that try to end the value they are written into, or the rule they are compared with.
BREAKERS = {
    "xfcc": 'x";URI=spiffe://admin',
    "xfcc-backslash": 'x\\";URI=spiffe://admin',
    "xfcc-comma": "x,Hash=00;URI=spiffe://admin",
    "xfcc-encoded": "x%22;URI=spiffe://admin",
    "traefik": 'x";SAN="spiffe://admin',
    "json": 'x","sans":["uri:spiffe://admin"],"y":"',
    "crlf": "x\r\nX-Client-Cert: y\r\nClient-Cert: z",
    "newline": "svc-b\n",
    "nul": "svc-b\0.internal",
    "umlaut": "dienst-ü",
    "other-planes": "é\u2028日𝄞",
    "comma": "svc-b,O=Admin",
    "backslash": "svc-b\\",
    "semicolons": ";;;,,,===",
    "hash": "#04024869",
    "edges": " svc-b ",
}
SAN_BREAKERS = {
    "quote": ['uri:spiffe://x/";URI=spiffe://admin', "svc-x.internal"],
    "semicolon": ["uri:spiffe://x/y;URI=spiffe://admin", 'dns:a";DNS=svc-b.internal'],
    "comma": ["dns:x,dns:svc-b.internal", "uri:x:,URI=spiffe://admin"],
    "json": ['uri:x:","sans":["uri:spiffe://admin"]', "dns:y"],
    "blank": ["dns: svc-b.internal", "dns:svc-b.internal "],
    "wildcard": ["dns:*.internal", "dns:*"],
    "other-kind": ["uri:dns:svc-b.internal", "email:svc-b.internal@evil.example"],
    "twenty": [f"dns:n{number}.internal" for number in range(20)],
}


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with every_dialect(material, nginx_build, "certificates") as running:
        yield running


# Names


@pytest.mark.parametrize("sni", [None, "nobody.invalid", "guarded", "xguarded.example.com"])
def test_a_connection_without_a_known_name_is_rejected(stage: Stage, sni: str | None) -> None:
    stage.assert_unknown_name_is_rejected(stage.caller, sni)


@pytest.mark.parametrize("sni", [MAIN.upper(), "Guarded.Example.COM"])
def test_the_case_of_the_name_changes_nothing(stage: Stage, sni: str) -> None:
    for spelling in (MAIN, sni):
        for who, status in (("svc-b", 200), ("svc-x", 403)):
            answer = stage.caller.get("/", sni=sni, host=spelling, credentials=stage.pair(who))
            assert answer.status == status
    twin = stage.caller.get("/", sni=sni, credentials=stage.pair())
    assert twin.status == 200
    assert_caller_is(last(stage), stage.material.client, WITHOUT_X_SSL_CERT)


def status_for_host(stage: Stage, spelled: str, who: str) -> int | None:
    """None for an end without an answer, as builds before 1.19.4 have it for a Host that is nobody's."""
    request = f"GET / HTTP/1.1\r\nHost: {spelled}\r\nConnection: close\r\n\r\n"
    answers = stage.caller.send(request.encode(), sni=MAIN, credentials=stage.pair(who))
    if not answers and not stage.facts.has(Feature.REJECT_HANDSHAKE):
        return None
    (answer,) = answers
    return answer.status


@pytest.mark.parametrize(
    "spelled",
    [f"{MAIN}.", f"{MAIN}:443", f"{MAIN}:80", f"{MAIN.upper()}.", f"x@{MAIN}", f"{MAIN}/"],
)
def test_another_spelling_of_the_host_is_another_links_for_nobody(
    stage: Stage, spelled: str
) -> None:
    for who in ("svc-b", "svc-x"):
        before = arrivals(stage)
        status = status_for_host(stage, spelled, who)
        assert status in ({None, 200, 400, 421} if who == "svc-b" else {None, 400, 403, 421})
        assert arrivals(stage) == before + (status == 200)
    assert stage.caller.get("/", sni=MAIN, credentials=stage.pair()).status == 200
    assert_caller_is(last(stage), stage.material.client, WITHOUT_X_SSL_CERT)


def test_rules_of_another_name_cannot_be_borrowed(stage: Stage) -> None:
    """The name of the handshake lets svc-x in; the Host would be another link's."""
    before = arrivals(stage)
    for sni, other in (("all", "guarded"), ("optional", "admins"), ("all", "admins")):
        answer = stage.caller.get(
            "/", sni=host(sni), host=host(other), credentials=stage.pair("svc-x")
        )
        assert answer.status == 421
    assert arrivals(stage) == before
    twin = stage.caller.get("/", sni=host("all"), credentials=stage.pair("svc-x"))
    assert twin.status == 200


# Certificates


def test_a_certificate_of_another_ca_with_the_same_names_is_refused(stage: Stage) -> None:
    material = stage.material
    real = material.client.certificate
    same = {"sans": ["svc-b.internal"], "subject": real.subject, "serial": real.serial_number}
    copied_ca = pki.authority("Test CA", key_label="an attacker's")
    for who, issuer in (("namesake", material.other_ca), ("copied", copied_ca)):
        material.add(who, issuer=issuer, **same)
    own = pki.leaf(copied_ca, "svc-b", sans=["svc-b.internal"])
    selfsigned = pki.authority("svc-b", is_ca=False, key_label="self-signed")
    selfsigned.write(material.folder, "selfsigned")
    pki.Pair(own.certificate, own.private_key, (copied_ca,)).write(material.folder, "chained")
    for who in ("namesake", "copied", "selfsigned", "chained", "stranger"):
        for link_name in ("all", "guarded", "optional"):
            before = arrivals(stage)
            answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
            assert answer.status == 400, who
            assert arrivals(stage) == before
    assert stage.caller.get("/", sni=MAIN, credentials=stage.pair()).status == 200


def subject(text: str) -> x509.Name:
    return name((NameOID.ORGANIZATIONAL_UNIT_NAME, text), (NameOID.COMMON_NAME, text))


@pytest.mark.parametrize("breaker", BREAKERS)
def test_a_subject_does_not_break_out_of_any_header(stage: Stage, breaker: str) -> None:
    who = f"subject-{breaker}"
    pair = stage.material.add(who, subject=subject(BREAKERS[breaker]), key_label="same")
    assert_told_truly(stage, who, pair)


@pytest.mark.parametrize("breaker", SAN_BREAKERS)
def test_an_alternative_name_breaks_neither_headers_nor_rules(stage: Stage, breaker: str) -> None:
    who = f"san-{breaker}"
    pair = stage.material.add(who, sans=SAN_BREAKERS[breaker], key_label="same")
    assert_told_truly(stage, who, pair)


UNPRINTABLE = {
    "newline": ["dns:svc-b.internal\n", "uri:x:\r\nX-Client-Cert: y"],
    "nul": ["dns:svc-b.internal\0.evil.example", "uri:spiffe://example.org/\0"],
}


@pytest.mark.parametrize("breaker", UNPRINTABLE)
def test_an_alternative_name_that_cannot_be_printed_is_nobodys(stage: Stage, breaker: str) -> None:
    """Where everybody may enter it arrives, unable to end a line, and the backend does not take it."""
    who = f"san-{breaker}"
    stage.material.add(who, sans=UNPRINTABLE[breaker], key_label="same")
    for link_name in ("all", "legacy"):
        answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
        assert answer.status == 200
        for dialect in DIALECTS_OF[link_name]:
            with pytest.raises(IdentityError):
                parse(last(stage).headers, dialect)
    assert_no_rule_holds(stage, who)


def assert_told_truly(stage: Stage, who: str, pair: pki.Pair) -> None:
    """On links that let everybody in; those with rules refuse it, for it has nobody's name."""
    for link_name in ("all", "legacy"):
        answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
        assert answer.status == 200
        assert_caller_is(last(stage), pair, DIALECTS_OF[link_name])
        (xfcc,) = last(stage).values("X-Forwarded-Client-Cert")
        assert "URI=spiffe://admin" not in re.split("[;,]", xfcc), "what a careless reader sees"
    assert_no_rule_holds(stage, who)


def assert_no_rule_holds(stage: Stage, who: str) -> None:
    before = arrivals(stage)
    for link_name in ("guarded", "admins", "optional"):
        answer = stage.caller.get("/", sni=host(link_name), credentials=stage.pair(who))
        assert answer.status == 403
        assert refused_for(stage.running, host(link_name), "no-rule-holds")
    assert arrivals(stage) == before
