"""The main context of an nginx of our own, and what only its http context can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.text import block, directive
from handclasp.nginx.render.tokens import token_variables

if TYPE_CHECKING:
    from pathlib import PurePosixPath

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.render.context import Context

_TEMPORARY = {
    "http_proxy": "proxy_temp_path",
    "http_fastcgi": "fastcgi_temp_path",
    "http_uwsgi": "uwsgi_temp_path",
    "http_scgi": "scgi_temp_path",
}


def main_fragment(context: Context) -> list[str]:
    """nginx.conf."""
    process, layout = context.plan.process, context.layout
    lines = [
        "# Written by handclasp from its spec. Changes made here are lost with the next plan.",
        directive("daemon", "off"),
        directive("worker_processes", process.workers),
        directive("worker_rlimit_nofile", process.open_files),
        directive("pid", layout.pid),
        # Client certificate failures are logged at level info only.
        directive("error_log", layout.error_log, "info"),
    ]
    if process.user:
        lines.append(directive("user", process.user, *([process.group] if process.group else [])))
    lines += token_variables(context)
    if context.facts.has(Feature.OBJECT_CACHE_INHERITABLE):
        # With it a reload keeps an object whose file has the inode and second of the old one.
        lines.append(directive("ssl_object_cache_inheritable", "off"))
    lines += block("events", body=[directive("worker_connections", process.connections)])
    lines += block("http", body=[*_own_http(context), "include http.conf;"])
    if context.facts.pcre_jit:
        # Every request is matched against a few patterns; compiled ones are cheaper.
        lines.insert(2, directive("pcre_jit", "on"))
    return lines


def _own_http(context: Context) -> list[str]:
    """What an existing installation has set for itself."""
    return [
        directive("access_log", "off"),
        directive("server_names_hash_bucket_size", 512),  # names of 253 characters fit
        directive("map_hash_bucket_size", 512),
        directive("variables_hash_max_size", 4096),
        *temporary_paths(context.facts, context.layout.temporary),
    ]


def temporary_paths(facts: Facts, folder: PurePosixPath) -> list[str]:
    """Where each module keeps temporary files; the places a build was made with may not be writable."""
    return [
        directive("client_body_temp_path", folder / "client_body"),
        *(
            directive(name, folder / name.removesuffix("_temp_path"))
            for module, name in _TEMPORARY.items()
            if module in facts.modules
        ),
    ]
