"""How often nginx asks the agent, and what it does not ask at all."""

from __future__ import annotations

import bisect
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from cryptography.x509.oid import NameOID

from tests.identity.specimens import name
from tests.integration.asking_stage import (
    BARE,
    FULL,
    OPEN,
    PAGES,
    agent,
    arrivals,
    asking,
    assert_who,
    get,
    newcomer,
)
from tests.integration.authorizer_stage import refused_for, status_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with asking(material, nginx_build, "memory") as running:
        yield running


def test_a_thousand_requests_of_a_certificate_are_one_question(stage: Stage) -> None:
    who = newcomer(stage)
    with agent(stage).saying(None) as asked:
        assert get(stage, who).status == 200

        def many(count: int) -> set[int]:
            with stage.caller.connect(FULL, stage.pair(who)) as tls:
                return {status_over(tls, FULL) for _ in range(count)}

        with ThreadPoolExecutor(3) as pool:
            assert set.union(*pool.map(many, [111] * 9)) == {200}
        assert len(asked) == 1
        assert get(stage, who, BARE).status == 200
        assert len(asked) == 2, "another link, another question"


def test_each_rule_and_each_certificate_is_one_question(stage: Stage) -> None:
    sni = PAGES
    one, two = newcomer(stage), newcomer(stage)
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            for who in (one, two):
                assert get(stage, who, sni, "/").status == 200
                assert get(stage, who, sni, "/other?x=y").status == 200
                assert get(stage, who, sni, "/admin/").status == 403
                assert get(stage, who, sni, "/admin/x").status == 403
        assert len(asked) == 4
        assert (
            len(
                {
                    (each.value("X-Handclasp-Rule"), each.value("X-Handclasp-Certificate"))
                    for each in asked
                }
            )
            == 4
        )
        assert get(stage, one, sni, "//admin/").status == 400
        assert len(asked) == 4, "what is refused by its path needs no question"


def test_a_certificate_of_another_ca_is_no_question(stage: Stage) -> None:
    with agent(stage).saying(None) as asked:
        assert get(stage, "stranger").status == 400
        assert stage.caller.get("/", sni=FULL).status == 400
        assert asked == []


def large(stage: Stage, size: int, who: str = "large") -> int:
    """A certificate with so many bytes of subject; its length as nginx shows it."""
    subject = name((NameOID.ORGANIZATIONAL_UNIT_NAME, "u" * size), (NameOID.COMMON_NAME, "svc-b"))
    pair = stage.material.add(who, subject=subject, sans=["svc-b.internal"], key_label="same")
    return len(quote(pair.pem.decode(), safe=""))


@pytest.mark.parametrize(("sni", "limit"), [(BARE, 10 * 1024), (OPEN, 64 * 1024)])
def test_a_certificate_larger_than_admitted_is_refused_without_a_question(
    stage: Stage, sni: str, limit: int
) -> None:
    size = bisect.bisect_right(range(limit), limit, key=lambda size: large(stage, size))
    assert large(stage, size + 16) > limit
    with agent(stage).saying(None) as asked:
        answer = get(stage, "large", sni)
        assert answer.status == 403
        assert asked == []
    assert refused_for(stage.running, sni, "certificate-too-large")
    if sni == OPEN:
        return  # The backend here takes no header of that size.
    assert limit - 64 < large(stage, size - 16) <= limit
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            assert get(stage, "large", sni).status == 200
        assert len(asked) == 1, "the largest one admitted is remembered"


def test_headers_larger_than_nginx_keeps_are_a_refusal_that_is_remembered(stage: Stage) -> None:
    assert 4_500 < large(stage, 3_000) < 10_240
    before = arrivals(stage)
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            assert get(stage, "large").status == 403
        assert len(asked) == 1
        assert refused_for(stage.running, FULL, "headers-too-large")
        assert arrivals(stage) == before
        assert get(stage, "large", BARE).status == 200


def test_the_largest_headers_admitted_are_remembered_with_their_certificate(stage: Stage) -> None:
    """What does not fit into nginx's buffer would be asked about every time, or end in an error."""

    def refused(size: int) -> bool:
        large(stage, size)
        return get(stage, "large").status == 403

    size = bisect.bisect_left(range(3_000), 1, lo=600, key=refused) - 1
    while refused(size):  # signatures differ in length
        size -= 4
    with agent(stage).saying(None) as asked:
        for _ in range(3):
            assert get(stage, "large").status == 200
            assert_who(stage, "large")
        assert asked == []
    sent = [pair for pair in stage.extra["backend"].last.headers if "Client" in pair[0]]
    assert sum(len(name) + len(value) for name, value in sent) > 20_000


def test_without_the_policys_link_every_request_is_a_question(stage: Stage) -> None:
    """Somebody removed it, or made it lead elsewhere: nothing is remembered, decisions stay right."""
    current = stage.running.state / "policy" / "current"
    digest = current.readlink()
    one, other = newcomer(stage), newcomer(stage, "svc-x.internal")

    def judged(questions: int) -> None:
        with agent(stage).saying(None) as asked:
            for _ in range(3):
                assert get(stage, one).status == 200
                assert_who(stage, one)
                assert get(stage, other).status == 403
            assert len(asked) == questions

    try:
        current.unlink()
        judged(6)
        current.symlink_to(current.parent)
        judged(6)
        with agent(stage).saying(b""):
            assert get(stage, one).status == 503
    finally:
        current.unlink(missing_ok=True)
        current.symlink_to(digest)
    judged(2)
    judged(0)
