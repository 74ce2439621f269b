"""Command lines to paste: what a shell makes of them."""

from __future__ import annotations

import shlex
from pathlib import PurePosixPath

from handclasp.demo.curl import curl_lines, status_lines
from handclasp.demo.specs import Ports

PORTS = Ports(a=20001, b=20002, backend=20003, impostor=20004)


def test_each_command_is_one_curl_with_whole_paths() -> None:
    folder = PurePosixPath("/tmp/my demo's")
    for _, command in curl_lines(folder, PORTS, proxied=False):
        words = shlex.split(command)
        assert words[0] == "curl"
        files = [word for word in words if word.startswith("/")]
        assert all(PurePosixPath(file).parent == folder / "certs" for file in files)
        assert words[-1].startswith(("http://127.0.0.1:20002/", "https://server-a.example:20001/"))


def test_a_proxy_in_the_environment_is_passed_by() -> None:
    folder = PurePosixPath("/tmp/demo")
    for _, command in curl_lines(folder, PORTS, proxied=True):
        assert shlex.split(command)[:3] == ["curl", "--noproxy", "*"]


def test_both_agents_can_be_asked() -> None:
    commands = [
        shlex.split(command) for _, command in status_lines(PurePosixPath("/tmp/d"), "handclasp")
    ]
    assert [words[:4] for words in commands] == [
        ["handclasp", "status", "-c", f"/tmp/d/{name}.yaml"] for name in ("a", "b")
    ]
