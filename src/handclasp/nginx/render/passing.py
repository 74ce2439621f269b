"""Configurations of an nginx that runs for a moment, for one purpose and with one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.process import temporary_paths
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.parts import Process

_CONNECTIONS = 64


def passing_configuration(
    http: Iterable[str],
    *,
    prefix: PurePosixPath,
    process: Process,
    facts: Facts,
    more_connections: int = 0,
) -> str:
    """nginx.conf with `http` in its http context; of `process` it takes the account."""
    lines = [
        directive("daemon", "off"),
        directive("worker_processes", 1),
        directive("pid", prefix / "nginx.pid"),
        directive("error_log", prefix / "logs" / "error.log", "info"),
    ]
    if process.user:
        lines.append(directive("user", process.user, *([process.group] if process.group else [])))
    if facts.has(Feature.OBJECT_CACHE_INHERITABLE):
        lines.append(directive("ssl_object_cache_inheritable", "off"))
    connections = _CONNECTIONS + more_connections
    lines += block("events", body=[directive("worker_connections", connections)])
    body = [
        directive("access_log", "off"),
        directive("server_names_hash_bucket_size", 512),
        directive("variables_hash_max_size", 4096),
        *temporary_paths(facts, prefix / "temp"),
        *http,
    ]
    return "\n".join([*lines, *block("http", body=body)]) + "\n"
