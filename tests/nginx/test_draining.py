"""Callers are told of a reload beforehand, where the build cannot do so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nginx.configuration_tree import expanded
from tests.nginx.planning import Planner, egress, ingress

if TYPE_CHECKING:
    from tests.nginx.configuration_tree import Node


def looking(build: str) -> list[Node]:
    """Conditions on the agent's file, in every server of a spec with both kinds of link."""
    http = expanded(Planner(build).text(egress=[egress("out")], ingress=[ingress("in")]))
    return [
        one
        for one in http.walk()
        if one.name == "if" and "-f" in one.values and "/draining" in "".join(one.values)
    ]


def test_builds_without_a_least_idle_time_look_for_the_file_of_the_agent() -> None:
    assert len(looking("debian-12-1.22.1")) == 2


def test_builds_that_tell_callers_themselves_do_not() -> None:
    assert looking("wheel-1.31.3") == []


@pytest.mark.parametrize("kind", ["egress", "ingress"])
def test_the_twin_of_a_draining_location_passes_to_the_same_upstream(kind: str) -> None:
    links = {"egress": {"egress": [egress("out")]}, "ingress": {"ingress": [ingress("in")]}}
    http = expanded(Planner("debian-12-1.22.1").text(**links[kind]))
    guarded = [
        one
        for one in http.walk()
        if one.name == "location" and ("(", "$hc_drain", ")") in one.values_of("if")
    ]
    assert guarded
    for location in guarded:
        pages = {
            page.values[-1]
            for page in http.walk()
            if page.name == "error_page" and page.values[0] == "501"
        }
        twins = [one for one in http.walk() if one.name == "location" and one.values[0] in pages]
        assert location.one("proxy_pass") in [one.one("proxy_pass") for one in twins]
