"""What is read out of `nginx -T` of an installation that is not ours, and what our servers then state."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.findings import Severity
from handclasp.nginx.existing import dump_findings, include_line, include_missing, pid_file
from handclasp.nginx.render import render
from tests.nginx.planning import DISTRIBUTION, LAYOUT, WHEEL, Planner, egress, ingress

OURS = PurePosixPath("/state/generation/current/http.conf")
MAIN = "/etc/nginx/nginx.conf"


def dump(main: str, **files: str) -> str:
    """As `nginx -T` prints it: `conf_d_a` stands for /etc/nginx/conf.d/a.conf."""
    texts = {
        MAIN: main,
        **{f"/etc/nginx/conf.d/{name}.conf": text for name, text in files.items()},
        str(OURS): "underscores_in_headers off;",
    }
    return "".join(f"# configuration file {name}:\n{text}\n\n" for name, text in texts.items())


def places(text: str) -> list[tuple[str | None, int | None]]:
    return [(one.where.file, one.where.line) for one in dump_findings(text, OURS)]


def test_a_configuration_with_our_include_and_nothing_else_of_note_is_fine() -> None:
    assert places(dump(f"http {{ {include_line(OURS)} }}")) == []


def test_a_missing_include_is_an_error_with_the_line_to_add() -> None:
    text = dump("http { }").replace(str(OURS), "/elsewhere/http.conf")
    (finding,) = dump_findings(text, OURS)
    assert finding == include_missing(OURS)
    assert finding.severity is Severity.ERROR
    assert include_line(OURS) in finding.fix


@pytest.mark.parametrize(
    "line",
    ["underscores_in_headers on;", 'underscores_in_headers\n"on" ;', "ignore_invalid_headers off;"],
)
def test_unsafe_header_rules_are_found_with_their_line(line: str) -> None:
    assert places(dump(f"events {{}}\nhttp {{\n{line}\n}}")) == [(MAIN, 3)]


@pytest.mark.parametrize(
    "text",
    [
        "# underscores_in_headers on;",
        "add_header X 'underscores_in_headers on;';",
        'add_header X "a\\"; underscores_in_headers on; ";',
        "underscores_in_headers off;",
        "map $a $b { default underscores_in_headers; }",
        "set $x ${y}on; # }",
    ],
)
def test_what_only_looks_like_an_unsafe_rule_is_not_one(text: str) -> None:
    assert places(dump(f"http {{\n{text}\n}}")) == []


def test_our_own_files_are_not_judged() -> None:
    main = f"http {{ {include_line(OURS)} }}"
    text = dump(main).replace("underscores_in_headers off", "underscores_in_headers on")
    assert places(text) == []


@pytest.mark.parametrize("name", ["proxy_set_body", "proxy_method", "sub_filter", "post_action"])
def test_what_links_would_take_over_is_refused_in_the_http_context_alone(name: str) -> None:
    assert places(dump(f"http {{\n{name} a b;\n}}")) == [(MAIN, 2)]
    assert places(dump(f"http {{ server {{ {name} a b; }} }}")) == []
    assert places(dump(f"http {{ server {{ location ~ ^/${{x}} {{ {name} a b; }} }} }}")) == []


def test_an_include_is_judged_where_it_is_included() -> None:
    held = "proxy_set_body x;"
    assert places(dump("http { include conf.d/*.conf; }", a=held)) == [
        ("/etc/nginx/conf.d/a.conf", 1)
    ]
    assert places(dump("http { server { include conf.d/*.conf; } }", a=held)) == []
    nested = dump("http { include conf.d/a.conf; }", a="include conf.d/b.conf;", b=held)
    assert places(nested) == [("/etc/nginx/conf.d/b.conf", 1)]
    assert places(dump("http { include *.conf; }", a=held)) == []  # includes itself, and not conf.d


def test_the_pid_file_is_that_of_the_main_context() -> None:
    prefix = PurePosixPath("/srv/nginx")
    assert pid_file(dump("pid logs/nginx.pid; http { }"), prefix) == prefix / "logs/nginx.pid"
    assert pid_file(dump("pid /run/nginx.pid;"), prefix) == PurePosixPath("/run/nginx.pid")
    assert pid_file(dump("http { }"), prefix) is None
    assert pid_file("", prefix) is None


@given(st.text("ab \n\t\\\"'#{};$on", max_size=80))
def test_no_text_makes_reading_fail(text: str) -> None:
    """Whatever stands in the files, there is an answer, and each place in it exists."""
    seen = dump(text + "\nunderscores_in_headers on;")
    for file, line in places(seen):
        assert file == MAIN
        assert line is not None
        assert 0 < line <= seen.count("\n")


@given(st.text("ab \n;", max_size=40))
def test_what_comes_before_a_rule_does_not_move_its_line(text: str) -> None:
    found = places(dump(f"http {{\n{text};\nunderscores_in_headers on;\n}}"))
    assert (MAIN, text.count("\n") + 3) in found


@pytest.mark.parametrize("build", [DISTRIBUTION, WHEEL])
def test_servers_of_an_existing_installation_state_what_they_would_take_over(build: str) -> None:
    planner = Planner(build)
    plan = planner.plan(egress("one"), egress("two"))
    base = PurePosixPath("/inc")
    files = render(plan, planner.facts, LAYOUT, include_base=base)
    include = "include /inc/inherited.conf;"
    for link in ("one", "two"):
        text = files[f"link-{link}.conf"]
        assert text.count(include) == text.count("server {") == 2
    stated = dict(
        line.removesuffix(";").split(" ", 1) for line in files["inherited.conf"].splitlines()
    )
    assert stated["satisfy"] == "all"
    # Of the look whether a caller is denied: neither from memory, nor another one behind links.
    for name in ("open_file_cache", "disable_symlinks"):
        assert stated[name] == "off"
    for name in ("proxy_cache", "proxy_store", "auth_request", "gzip", "mirror", "grpc_bind"):
        assert stated[name] == "off"
    assert stated["proxy_ssl_crl"] == stated["grpc_ssl_crl"] == '""'
    # slice is a module of one of the builds only
    assert ("slice" in stated) == (build == DISTRIBUTION)


@pytest.mark.parametrize(("build", "able"), [(DISTRIBUTION, True), ("debian-11-1.18.0", False)])
def test_tls_servers_take_over_no_command_for_openssl(build: str, able: bool) -> None:
    """`ssl_conf_command VerifyCAFile` of its http context would make more CAs believed."""
    planner = Planner(build)
    suites = {"ciphers": ["TLS_AES_128_GCM_SHA256"]} if able else {}
    links = [ingress("one"), ingress("two", listen="192.0.2.1:8443", tls=suites)]
    plan = planner.plan(ingress=links)
    files = render(plan, planner.facts, LAYOUT, include_base=PurePosixPath("/inc"))
    neutral = "ssl_conf_command Options -SessionTicket;"
    assert (neutral in files["link-one.conf"]) is able
    assert (files["listeners.conf"].count("ssl_conf_command") == 2) is able
    assert files["link-two.conf"].count("ssl_conf_command") == able
    ours = render(plan, planner.facts, LAYOUT)
    assert neutral not in ours["link-one.conf"] + ours["listeners.conf"]


def test_an_nginx_of_our_own_has_nothing_to_take_over() -> None:
    files = Planner(WHEEL).text(egress("one"))
    assert "inherited.conf" not in files
    assert "inherited" not in files["link-one.conf"]
