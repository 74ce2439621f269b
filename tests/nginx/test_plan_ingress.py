"""What an ingress link is refused for, by what the build can do."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nginx.planning import DISTRIBUTION, WHEEL, Planner, ingress

OLD = "debian-11-1.18.0"


def refusals(build: str, link: dict[str, Any], **top: Any) -> list[str | None]:
    return [
        finding.where.path
        for finding in Planner(build).result(ingress=[link], **top).findings
        if finding.slug == "nginx-feature-missing"
    ]


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"connection_age": "5m"}, "ingress[0].connection_age"),
        ({"pool": {"age": "5m"}}, "ingress[0].pool"),
        ({"tls": {"ciphers": ["TLS_AES_128_GCM_SHA256"]}}, "ingress[0].tls.ciphers"),
    ],
    ids=str,
)
def test_what_a_build_cannot_do_is_refused_instead_of_left_out(
    written: dict[str, Any], place: str
) -> None:
    assert refusals(OLD, ingress(**written)) == [place]
    assert refusals(DISTRIBUTION, ingress(**written)) == []


def test_sessions_that_a_build_would_renew_for_ever_are_those_of_tls_1_3() -> None:
    """Until 1.23.2; what has no TLS 1.3 has sessions that keep the time they were made at."""
    older = {"protocols": ["TLSv1.2"]}

    def stores(build: str, *links: dict[str, Any], **top: Any) -> list[str | None]:
        plan = Planner(build).plan(ingress=list(links), **top)
        return [one.sessions for one in plan.listeners]

    again = ingress(session_reuse=True)
    assert refusals(DISTRIBUTION, again) == ["ingress[0].session_reuse"]
    assert refusals(WHEEL, again) == []
    for tls in ("modern", {"protocols": ["TLSv1.3"]}, {"protocols": ["TLSv1.2", "TLSv1.3"]}):
        assert refusals(DISTRIBUTION, {**again, "tls": tls}) == ["ingress[0].session_reuse"]
    for build in (OLD, DISTRIBUTION):
        assert stores(build, {**again, "tls": older}) != [None]
        assert stores(build, again, tls=older) != [None]
    assert stores(DISTRIBUTION, ingress(tls=older)) == [None]


def test_what_is_not_written_is_no_reason_to_refuse() -> None:
    assert refusals(OLD, ingress(pool={"size": 8}, tls={"protocols": ["TLSv1.2"]})) == []


def test_the_suites_of_the_policy_at_the_top_are_checked_too() -> None:
    suites = {"ciphers": ["TLS_AES_128_GCM_SHA256"]}
    assert refusals(OLD, ingress(), tls=suites) == ["tls.ciphers"]


def test_an_nginx_that_sees_one_of_two_headers_is_said_where_it_matters() -> None:
    link = ingress(original_certificate={"trusted": ["cn:gateway"]})

    def slugs(build: str, link: dict[str, Any]) -> set[str]:
        return {finding.slug for finding in Planner(build).result(ingress=[link]).findings}

    assert "original-certificate-first-of-two" in slugs(DISTRIBUTION, link)
    assert "original-certificate-first-of-two" not in slugs(WHEEL, link)
    assert "original-certificate-first-of-two" not in slugs(DISTRIBUTION, ingress())
