"""Who decides about a caller, and under which ids answers are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.nginx.planning import Planner, ingress

if TYPE_CHECKING:
    from handclasp.nginx.parts import IngressServer

ASKING = {"trust": "company", "allow": ["dns:a.internal"]}


def server(clients: dict[str, Any] | None = None, **link: Any) -> IngressServer:
    (one,) = Planner().plan(ingress=[ingress(clients=clients or ASKING, **link)]).ingress
    return one


def ids(**more: Any) -> list[str]:
    return [one.id for one in server(**more).rules]


@pytest.mark.parametrize(
    ("link", "asks"),
    [
        ({"clients": {"trust": "company", "allow": "any"}}, False),
        ({"clients": {"trust": "company", "allow": ["cn:a", "dn:CN=a"]}}, False),
        (
            {
                "clients": {
                    "trust": "company",
                    "allow": ["cn:a"],
                    "rules": [{"path": "/", "allow": ["cn:b"]}],
                }
            },
            False,
        ),
        (
            {
                "clients": {
                    "trust": "company",
                    "allow": ["cn:a"],
                    "rules": [{"path": "/", "allow": ["ou:b"]}],
                }
            },
            True,
        ),
        ({"clients": {"trust": "company", "allow": ["cn:a", "dns:a.internal"]}}, True),
        ({"clients": {"trust": "company", "allow": "any"}, "forward": ["rfc9440"]}, True),
        ({"clients": {"trust": "company", "allow": "any"}, "forward": ["x-ssl-cert"]}, False),
    ],
)
def test_the_agent_is_asked_only_where_nginx_cannot_decide(
    link: dict[str, Any], *, asks: bool
) -> None:
    assert (server(**link).authorizer is not None) == asks


def test_a_build_without_the_modules_is_refused_where_they_are_needed() -> None:
    planner = Planner("debian-12-1.22.1")
    facts = planner.facts
    without = replace(facts, modules=facts.modules - {"http_auth_request"})

    class Lacking(Planner):
        facts = without

    slugs = [one.slug for one in Lacking().result(ingress=[ingress(clients=ASKING)]).findings]
    assert "nginx-feature-missing" in slugs
    slugs = [one.slug for one in Lacking().result(ingress=[ingress()]).findings]
    assert "nginx-feature-missing" not in slugs


@pytest.mark.parametrize(
    "more",
    [
        {"clients": {**ASKING, "allow": ["dns:b.internal"]}},
        {"clients": {**ASKING, "trust": "others"}},
        {"clients": {**ASKING, "depth": 3}},
        {"clients": {**ASKING, "verify": "optional"}},
        {"clients": {**ASKING, "certificate_size": "20k"}},
        {"clients": {**ASKING, "answers": {"fresh": "1m"}}},
        {"clients": {**ASKING, "answers": {"outage": "1m"}}},
        {"forward": ["x-client-cert", "rfc9440"]},
        {"original_certificate": {"trusted": ["dns:hop.internal"]}},
        {"name": "other"},
    ],
    ids=str,
)
def test_an_id_changes_with_everything_an_answer_depends_on(more: dict[str, Any]) -> None:
    assert set(ids()).isdisjoint(ids(**more))


def test_an_id_stays_while_nothing_changes_that_matters() -> None:
    assert ids() == ids()
    assert ids() == ids(limits={"body": "1m"})


def test_rules_of_one_link_have_ids_of_their_own() -> None:
    rules = [
        {"path": "/", "allow": ["dns:a.internal"]},
        {"path": "/admin", "allow": ["dns:a.internal"]},
        {"path": "/admin", "methods": ["GET"], "allow": ["dns:a.internal"]},
    ]
    found = ids(clients={**ASKING, "rules": rules})
    assert len(found) == len(set(found)) == 3
