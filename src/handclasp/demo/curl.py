"""Command lines to go on with by hand."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from handclasp.demo.cast import CLIENT, SERVER_NAME
from handclasp.demo.specs import IMPOSTOR_PATH
from handclasp.demo.tries import HELLO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import PurePath

    from handclasp.demo.specs import Ports


def curl_lines(folder: PurePath, ports: Ports, *, proxied: bool) -> list[tuple[str, str]]:
    """(What it shows, command) pairs that work as pasted. `proxied`: the environment names a proxy."""
    curl = "curl --noproxy '*'" if proxied else "curl"
    certs = folder / "certs"
    plain = f"http://127.0.0.1:{ports.b}"
    direct = [
        f"{curl} --cacert {shlex.quote(str(certs / 'ca.pem'))}",
        f"--resolve {SERVER_NAME}:{ports.a}:127.0.0.1",
    ]
    url = f"https://{SERVER_NAME}:{ports.a}{HELLO}"

    def with_certificate(name: str, *more: str) -> str:
        pair = [
            f"--cert {shlex.quote(str(certs / f'{name}.pem'))}",
            f"--key {shlex.quote(str(certs / f'{name}.key'))}",
        ]
        return _joined([*direct, *pair, *more, url])

    return [
        ("through B, as an application does", f"{curl} {plain}{HELLO}"),
        (f"straight to A, as {CLIENT}", with_certificate(CLIENT)),
        ("the same, with a forged header", with_certificate(CLIENT, "-H 'X-Client-Cert: forged'")),
        ("without a certificate", _joined([*direct, url])),
        ("with the other CA's", with_certificate("stranger")),
        ("with the expired one", with_certificate("expired")),
        ("to the impostor, through B", f"{curl} {plain}{IMPOSTOR_PATH}"),
    ]


def status_lines(folder: PurePath, command: str) -> list[tuple[str, str]]:
    """(What it shows, command) pairs that ask the agents. `command` runs handclasp."""
    lines = []
    for name in ("a", "b"):
        spec, state = shlex.quote(str(folder / f"{name}.yaml")), shlex.quote(str(folder / name))
        ask = f"{command} status -c {spec}"
        lines.append((f"what agent {name.upper()} knows", _joined([ask, f"--state-dir {state}"])))
    return lines


def _joined(parts: Sequence[str]) -> str:
    return " \\\n    ".join(parts)
