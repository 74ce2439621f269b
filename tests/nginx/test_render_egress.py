"""The text of egress links: what must be in it on every build, and what must never be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.nginx.planning import DISTRIBUTION, WHEEL, Planner, egress
from tests.nginx.recorded_builds import USABLE

GRPC = {"upstream": "grpcs://192.0.2.1", "protocol": "grpc"}
LINKS = [
    egress("plain"),
    egress("other", identity="svc-x", routes=[{"path": "/x/", "trust": "others"}]),
    egress("named", upstream="https://up.example.com", verify={}, host="preserve"),
    egress("down", upstream="https://nowhere.example", verify={}),
    egress("any", accept_hosts=["*"], buffering=False),
    egress("revoking", trust="revoking", session_reuse=True),
    egress("calls", **GRPC),
    egress("calls-down", protocol="grpc", upstream="grpcs://nowhere.example", verify={}),
]
ADDRESSES = {"up.example.com": ("192.0.2.7",)}
BUILDS = [name for name in USABLE if not name.startswith(("aws-lc", "boringssl"))]


def blocks(text: str, name: str) -> list[str]:
    """Bodies of the blocks that begin with `name`."""
    return re.findall(rf"^\s*{name}[^{{]*\{{\n(.*?)^\s*\}}", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", params=BUILDS)
def text(request: pytest.FixtureRequest) -> str:
    return "\n".join(Planner(request.param).text(*LINKS, addresses=ADDRESSES).values())


def test_no_pass_directive_holds_a_variable(text: str) -> None:
    passes = re.findall(r"^\s*(?:proxy|grpc)_pass (.*);$", text, re.MULTILINE)
    assert len(passes) >= 6
    assert not [one for one in passes if "$" in one]
    # Each leads to a block of ours, never to an implicit upstream, which has no pool.
    named = set(re.findall(r"^upstream (\S+) \{", text, re.MULTILINE))
    assert {one.partition("://")[2] for one in passes} <= named


def test_every_location_that_passes_verifies_names_and_strips(text: str) -> None:
    passing = [one for one in blocks(text, "location") if re.search(r"(proxy|grpc)_pass ", one)]
    assert passing
    for body in passing:
        kind = "grpc" if "grpc_pass" in body else "proxy"
        for line in (
            f"{kind}_ssl_verify on;",
            f"{kind}_ssl_server_name on;",
            f"{kind}_intercept_errors off;",
            f"include strip-{kind}.conf;",
        ):
            assert line in body
        for name in ("trusted_certificate", "verify_depth", "name", "certificate", "protocols"):
            assert len(re.findall(rf"{kind}_ssl_{name} ", body)) == 1
        assert re.search(rf"{kind}_ignore_headers X-Accel-Redirect", body)
        assert "non_idempotent" not in body


def test_nothing_is_written_to_disk_and_sessions_are_resumed_only_where_asked(text: str) -> None:
    passing = [one for one in blocks(text, "location") if "proxy_pass " in one]
    for body in passing:
        assert "proxy_max_temp_file_size 0;" in body
        assert "proxy_request_buffering off;" in body
    # The location and its twin for requests that are sent once.
    assert text.count("proxy_ssl_session_reuse on;") == 2


def test_identities_and_variables_go_together() -> None:
    """One map variable per identity; certificate and key of a location use the same one."""
    for build in (DISTRIBUTION, WHEEL):
        files = Planner(build).text(*LINKS, addresses=ADDRESSES)
        assert set(re.findall(r"map \$realpath_root (\S+) \{", files["http.conf"])) == {
            "$hc_id_svc_b",
            "$hc_id_svc_x",
        }
        for body in blocks(files["link-other.conf"], "location"):
            assert set(re.findall(r"\$hc_id_\w+", body)) <= {"$hc_id_svc_x"}


def test_tls_settings_are_written_where_the_build_can() -> None:
    links: list[dict[str, Any]] = [egress("a", tls={"groups": ["X25519", "secp384r1"]})]
    body = Planner(DISTRIBUTION).text(*links)["link-a.conf"]
    assert "proxy_ssl_conf_command Groups X25519:secp384r1;" in body
    body = Planner("debian-11-1.18.0").text(egress("a"))["link-a.conf"]
    assert "conf_command" not in body


def test_small_buffers_on_static_builds_and_larger_ones_without_buffering() -> None:
    for build, sizes in ((DISTRIBUTION, ("16k", "32k")), (WHEEL, ("8k", "16k"))):
        files = Planner(build).text(*LINKS, addresses=ADDRESSES)
        assert f"proxy_buffer_size {sizes[0]};" in files["link-plain.conf"]
        assert f"proxy_buffer_size {sizes[1]};" in files["link-any.conf"]


def test_failures_are_answered_in_named_locations_that_take_no_path_away(text: str) -> None:
    for target in re.findall(r"error_page (?:413|429|50\d) (\S+);", text):
        assert target.startswith("@hc_") or target.endswith("/grpc")
