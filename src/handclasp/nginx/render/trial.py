"""A configuration of its own by which new identities are tried: workers read each as they will in earnest, on
a socket that nobody else knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.render.context import identity_variable
from handclasp.nginx.render.passing import passing_configuration
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import PurePosixPath

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.parts import Process


def trial_name(number: int) -> str:
    """The name (SNI) by which the identity of this number is asked for (RFC 2606)."""
    return f"identity-{number}.invalid"


def trial_configuration(
    folders: Mapping[str, PurePosixPath],
    lookups: Collection[str],
    *,
    prefix: PurePosixPath,
    socket: PurePosixPath,
    process: Process,
    facts: Facts,
) -> str:
    """nginx.conf for identities by name → directory of the version; they are numbered in that order.

    `lookups`: those that workers read at each handshake; the others are read when nginx loads.
    """
    http: list[str] = []
    for number, (name, folder) in enumerate(folders.items()):
        files = str(folder)
        if name in lookups:
            variable = identity_variable(name)
            http += block("map", "$realpath_root", variable, body=["default $realpath_root;"])
            files = f"{variable}/.."
        http += block(
            "server",
            body=[
                directive("listen", f"unix:{socket}", "ssl"),
                directive("server_name", trial_name(number)),
                directive("root", folder / "root"),
                directive("ssl_certificate", f"{files}/cert.pem"),
                directive("ssl_certificate_key", f"{files}/key.pem"),
                directive("ssl_session_tickets", "off"),
                directive("ssl_session_cache", "off"),
                "return 204;",
            ],
        )
    return passing_configuration(
        http, prefix=prefix, process=process, facts=facts, more_connections=len(folders)
    )
