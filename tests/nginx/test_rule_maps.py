"""Rules by path and method, as nginx's maps choose them: nothing falls back, nothing is ambiguous."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.nginx.parts import RuleSet
from handclasp.nginx.render.allow import rule_map
from handclasp.spec.access import access_rules
from handclasp.spec.links import Clients
from handclasp.spec.paths import AMBIGUOUS, path_problem
from tests.nginx.configuration_tree import tree

if TYPE_CHECKING:
    from collections.abc import Mapping

METHODS = ["GET", "HEAD", "POST", "DELETE", "PURGE"]
PATHS = ["/", "/admin/", "/admin/x", "/a.b", "/data"]
RULES = st.lists(
    st.fixed_dictionaries(
        {"path": st.sampled_from(PATHS), "allow": st.just(["cn:a"])},
        optional={"methods": st.lists(st.sampled_from(METHODS), min_size=1, max_size=3)},
    ),
    min_size=1,
    max_size=6,
)
TARGETS = st.one_of(
    st.sampled_from(
        ["/", "/admin", "/admin/", "/adminx", "/admin/x/y", "/aXb", "/a.b", "/%61dmin"]
    ),
    st.text(st.sampled_from(list("/admin.x%2fF5cC;0?#\\ ü")), max_size=9).map("/{}".format),
    st.lists(
        st.sampled_from(
            [
                *(
                    "%25",
                    "%c0",
                    "%E0",
                    "%e0",
                    "%f0",
                    "%F8",
                    "%fC",
                    "%80",
                    "%8f",
                    "%9F",
                    "%87",
                    "%a0",
                ),
                *(
                    "%3f",
                    "%3F",
                    "%23",
                    "%36",
                    "%46",
                    "%61",
                    "%2",
                    "6",
                    "1",
                    "a",
                    "F",
                    "g",
                    "/",
                    "?",
                ),
            ]
        ),
        max_size=6,
    ).map(lambda parts: "/" + "".join(parts)),
)


def clients(*rules: Mapping[str, object]) -> Clients:
    """Each rule allows a name of its own, its position, so that it can be told which were chosen."""
    told = [{**rule, "allow": [f"cn:{at}"]} for at, rule in enumerate(rules)]
    return Clients.model_validate({"trust": "company", "allow": ["cn:link"], "rules": told})


def python(pattern: str) -> str:
    return pattern.replace(r"\z", r"\Z")


class Maps:
    """What nginx makes of rendered maps (ngx_http_map_module: the first pattern in order)."""

    def __init__(self, given: Clients) -> None:
        self.sets = [RuleSet(f"{at:016x}", rule) for at, rule in enumerate(access_rules(given))]
        lines = "\n".join(rule_map("api", self.sets))
        self.blocks = {block.values[1]: block for block in tree(lines).children}

    def value(self, variable: str, given: Mapping[str, str]) -> str:
        if variable not in self.blocks:
            return given[variable]
        block = self.blocks[variable]
        source = re.sub(r"\$(\w+)", lambda name: self.value(f"${name[1]}", given), block.values[0])
        default = ""
        for one in block.children:
            if one.name == "default":
                default = one.values[0]
            elif one.name.startswith("~") and re.search(python(one.name[1:]), source):
                return one.values[0]
        return default

    def choose(self, target: str, method: str) -> str | set[str]:
        """The reason, or the names of the rules that are asked."""
        uri = unquote(target.partition("?")[0])
        given = {"$request_uri": target, "$uri": uri, "$request_method": method}
        chosen = self.value("$hc_rule_api", given)
        for one in self.sets:
            if one.id == chosen:
                return {rule.value for rule in one.rule.allow}
        return chosen


def covers(rule: str, path: str) -> bool:
    return path == rule or path.startswith(f"{rule}/")


def expected(given: Clients, target: str, method: str) -> str | set[str]:
    """The same from the words of the documentation."""
    # One rule for everything holds for every reading of a path.
    only = all((rule.path, rule.methods) == ("", None) for rule in given.rules)
    if path_problem(target) and not only:
        return "path-ambiguous"
    path = unquote(target.partition("?")[0])
    if only:
        return {one.value for rule in given.rules for one in rule.allow or ()}
    covering = [rule for rule in given.rules if covers(rule.path, path)]
    if not covering:
        return "path-not-covered"
    longest = max(len(rule.path) for rule in covering)
    here = [rule for rule in covering if len(rule.path) == longest]
    wanted = "GET" if method == "HEAD" else method

    def named(rule: object) -> bool:
        methods = getattr(rule, "methods", None) or []
        return method in methods or (wanted in methods and wanted == "GET")

    chosen = [rule for rule in here if named(rule)] or [r for r in here if r.methods is None]
    return {one.value for rule in chosen for one in rule.allow or ()} or "method-not-covered"


@given(rules=RULES, target=TARGETS, method=st.sampled_from([*METHODS, "get", "GETX"]))
def test_the_maps_choose_what_the_documentation_says(
    rules: list[dict[str, object]], target: str, method: str
) -> None:
    given = clients(*rules)
    assert Maps(given).choose(target, method) == expected(given, target, method)


@given(target=TARGETS)
def test_what_nginx_refuses_as_ambiguous_is_what_the_words_say(target: str) -> None:
    refused = any(re.search(python(pattern), target) for pattern in AMBIGUOUS)
    assert refused == (path_problem(target) is not None)


@pytest.mark.parametrize(
    ("rule", "path", "covered"),
    [
        ("/", "/", True),
        ("/", "/admin", True),
        ("/admin", "/admin", True),
        ("/admin", "/admin/", True),
        ("/admin", "/admin/x", True),
        ("/admin", "/administrator", False),
        ("/admin", "/Admin", False),
        ("/admin/", "/admin", True),
        ("/admin/", "/admin/x", True),
        ("/admin/", "/x/admin/", False),
    ],
)
def test_a_rules_path_covers_whole_segments(rule: str, path: str, *, covered: bool) -> None:
    maps = Maps(clients({"path": rule, "methods": ["GET"]}))
    assert maps.choose(path, "GET") == ({"0"} if covered else "path-not-covered")


def test_the_longest_path_decides_and_lends_nothing_from_above() -> None:
    maps = Maps(clients({"path": "/"}, {"path": "/admin/"}))
    assert maps.choose("/administrator", "GET") == {"0"}
    for target in ("/admin/x", "/admin", "/admin/", "/%61dmin/x", "/admin?x"):
        assert maps.choose(target, "GET") == {"1"}, target


@pytest.mark.parametrize(
    "target",
    [
        *("/x/../admin/", "//admin/", "/admin;/", "/x%2fadmin", "*", "/admin%3fx", "/admin%23x"),
        *("/%2561dmin/x", "/x%e0%80%afadmin", "/x%f0%80%80%afadmin", "/%25%36%31dmin"),
    ],
)
def test_an_ambiguous_path_is_refused_whoever_asks(target: str) -> None:
    assert Maps(clients({"path": "/"}, {"path": "/x"})).choose(target, "GET") == "path-ambiguous"


def test_a_rule_without_names_of_its_own_uses_the_links_and_lets_in_who_the_link_lets_in() -> None:
    given = Clients.model_validate(
        {
            "trust": "company",
            "verify": "optional",
            "allow": ["cn:link"],
            "rules": [{"path": "/"}, {"path": "/own", "allow": ["cn:own"]}],
        }
    )
    found = {
        one.path: ([str(rule) for rule in one.allow], one.anonymous) for one in access_rules(given)
    }
    assert found == {"": (["cn:link"], True), "/own": (["cn:own"], False)}


def test_without_path_rules_no_path_is_looked_at() -> None:
    lines = "\n".join(rule_map("api", [RuleSet("f" * 16, access_rules(clients_without())[0])]))
    assert "$uri" not in lines
    assert "$request_uri" not in lines
    assert "f" * 16 in lines


def clients_without() -> Clients:
    return Clients.model_validate({"trust": "company", "allow": ["cn:link"]})
