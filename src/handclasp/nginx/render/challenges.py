"""Answers to the challenges of ACME servers (http-01: RFC 8555, section 8.3): files, one for each token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.render.passing import passing_configuration
from handclasp.nginx.render.text import block, directive

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.parts import Process
    from handclasp.spec.values import ListenAddress

_LOCATION = r"\A/\.well-known/acme-challenge/(?<hc_token>[A-Za-z0-9_-]+)\z"
"""The alphabet of tokens (section 8.1) has neither dot nor slash: no file that is half written can be asked
for, nor one of another folder, nor the folder itself."""


def challenge_location(folder: PurePosixPath) -> list[str]:
    """The location, for any server; nginx's static files are given to GET and HEAD alone."""
    return block(
        "location",
        "~",
        _LOCATION,
        body=[
            directive("alias", f"{folder}/$hc_token"),
            directive("default_type", "text/plain"),
            directive("disable_symlinks", "on", f"from={folder}"),
            directive("log_not_found", "off"),
        ],
    )


def challenge_server(
    address: ListenAddress, folder: PurePosixPath, inherited: Iterable[str] = ()
) -> list[str]:
    """A default server that gives these answers and nothing else.

    `inherited`: what keeps an existing installation's settings out.
    """
    return block(
        "server",
        body=[
            directive("listen", address, "default_server"),
            directive("server_name", "_"),
            directive("server_tokens", "off"),
            directive("access_log", "off"),
            *inherited,
            *challenge_location(folder),
            *block("location", "/", body=[directive("return", 404)]),
        ],
    )


def challenge_configuration(
    addresses: Iterable[ListenAddress],
    folder: PurePosixPath,
    *,
    prefix: PurePosixPath,
    process: Process,
    facts: Facts,
) -> str:
    """nginx.conf of an nginx that does nothing else, before there is another one."""
    servers = [line for address in addresses for line in challenge_server(address, folder)]
    return passing_configuration(servers, prefix=prefix, process=process, facts=facts)
