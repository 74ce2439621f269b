"""The house rules that import-linter cannot see: what is pure, what is light, what is short."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import handclasp

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(handclasp.__file__).parent

# The modules that may touch the outside: everything else takes values and returns values.
# A name that ends in a dot is a room whose whole business is the outside.
EDGES = {
    "handclasp.cli.": "the outermost edge: files named on the command line, one event loop per command",
    "handclasp.ca.delivery": "hands issued certificates and keys out",
    "handclasp.ca.directory": "a CA's directory",
    "handclasp.ca.files": "writes new certificates and keys",
    "handclasp.ca.ledger": "the ledger, an SQLite file",
    "handclasp.demo.agents": "starts and ends `handclasp run`",
    "handclasp.demo.play": "signals",
    "handclasp.demo.scenes": "sends the requests",
    "handclasp.demo.servers": "the far ends: sockets and threads",
    "handclasp.demo.stage": "the temporary directory",
    "handclasp.agent.": "the long-running process: clock, sockets, signals, resolver",
    "handclasp.findings.pages": "writes the generated pages",
    "handclasp.issuers.command": "runs the program that issues",
    "handclasp.spec.read": "reads the spec file",
    "handclasp.hsm.isolated": "runs PKCS#11 work in a process of its own",
    "handclasp.hsm.modules": "looks which PKCS#11 module is installed",
    "handclasp.hsm.openssl_proof": "has the openssl command sign with a key of a token",
    "handclasp.hsm.softhsm": "makes a token for trying",
    "handclasp.hsm.support": "looks which provider or engine is installed",
    "handclasp.hsm.worker": "that process: forks as nginx's workers do",
    "handclasp.hsm.login": "opens sessions of tokens through the code of their module",
    "handclasp.issuers.acme": "orders of an ACME server, one request at a time in a thread",
    "handclasp.issuers.acme_account": "the account's key and URL, in the state directory",
    "handclasp.issuers.acme_challenges": "files that answer challenges",
    "handclasp.issuers.acme_client": "requests to an ACME server",
    "handclasp.issuers.acme_dns": "a program that sets DNS records",
    "handclasp.issuers.apart": "a thread for what blocks",
    "handclasp.issuers.readiness": "looks whether what issuers need is there",
    "handclasp.issuers.spiffe": "listens to the SPIFFE Workload API",
    "handclasp.issuers.vault": "certificates from Vault",
    "handclasp.issuers.vault_http": "requests to Vault",
    "handclasp.issuers.vault_login": "how long a token of Vault lasts",
    "handclasp.keys.files": "reads key files and their modes, stages them",
    "handclasp.keys.output": "takes back new files when one of them cannot be written",
    "handclasp.keys.secret": "reads passwords from files and the environment",
    "handclasp.wire.client": "the one handshake client: its clock and its deadline",
    "handclasp.wire.connect": "opens connections",
    "handclasp.wire.context": "makes the ssl context, which loads certificate files",
    "handclasp.wire.conversation": "reads and writes the connection",
    "handclasp.wire.failures": "tells exceptions of ssl apart",
    "handclasp.wire.session": "asks the ssl object what was agreed",
    "handclasp.wire.stream": "the connection as bytes with deadlines",
    "handclasp.nginx.enforcement": "what workers look at in every request, in the state directory",
    "handclasp.nginx.claim": "takes the state directory",
    "handclasp.nginx.dump": "runs `nginx -T`",
    "handclasp.nginx.durable": "writes that survive a crash",
    "handclasp.nginx.handover": "stops one master for the next",
    "handclasp.nginx.inheritance": "takes duplicates of a master's listening sockets",
    "handclasp.nginx.launch": "starts the nginx process",
    "handclasp.nginx.locate": "finds the binary and runs `nginx -V`",
    "handclasp.nginx.log_tail": "follows the error log",
    "handclasp.nginx.master_exit": "names of signals",
    "handclasp.nginx.master_record": "remembers the master across agents",
    "handclasp.nginx.orphans": "finds and ends workers that lost their master",
    "handclasp.nginx.pidfd": "opens a descriptor of a process",
    "handclasp.nginx.proc": "reads /proc",
    "handclasp.nginx.process": "supervises the master: signals and pidfd",
    "handclasp.nginx.state": "the state directory",
    "handclasp.nginx.switch": "moves the links of the state directory",
    "handclasp.nginx.versions": "the version directories of identities and trust",
    "handclasp.nginx.watching": "waits for the master to come up and to reload",
    "handclasp.nginx.workers": "looks workers up, and waits for them",
}

OUTSIDE = frozenset(
    [
        "asyncio",
        "http",
        "multiprocessing",
        "os",
        "select",
        "selectors",
        "shutil",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib.request",
    ]
)
"""Modules of the standard library through which effects, or the machine's state, come in."""

FILE_CALLS = frozenset(
    [
        "chmod",
        "exists",
        "glob",
        "is_dir",
        "is_file",
        "iterdir",
        "mkdir",
        "open",
        "read_bytes",
        "read_text",
        "rename",
        "rmdir",
        "stat",
        "symlink_to",
        "unlink",
        "write_bytes",
        "write_text",
    ]
)
"""Methods of pathlib.Path that touch the disk: `Path` itself cannot be forbidden, models hold it."""

LINES = 300  # not counting blank ones
LONG_FILES = {
    "findings/catalogue/": "a table: one entry after the other",
}
"""Files, and folders of files, that may be longer, each with the reason."""

FORBIDDEN_NAMES = frozenset(
    ["base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"]
)
HEAVY = frozenset(["aiohttp", "asyncio", "click", "cryptography", "pydantic", "ssl", "yaml"])


def modules() -> dict[str, Path]:
    """Dotted name → file, of the whole package."""
    return {
        ".".join(
            (handclasp.__name__, *path.relative_to(SOURCE).with_suffix("").parts)
        ).removesuffix(".__init__"): path
        for path in sorted(SOURCE.rglob("*.py"))
    }


def is_edge(name: str) -> bool:
    return any(_is_of(name, edge) for edge in EDGES)


def _is_of(name: str, edge: str) -> bool:
    return name == edge or (edge.endswith(".") and f"{name}.".startswith(edge))


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below `node`, without what stands under `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from _executed(child)


def effects(source: str) -> list[str]:
    """What in `source` reaches outside, as `line N: what`."""
    found = []
    for node in _executed(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found += [
            f"line {node.lineno}: import {name}"  # type: ignore[attr-defined]
            for name in names
            if name in OUTSIDE or name.partition(".")[0] in OUTSIDE
        ]
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id="open"):
                    found.append(f"line {node.lineno}: open()")
                case ast.Attribute(attr=attr) if attr in FILE_CALLS:
                    found.append(f"line {node.lineno}: .{attr}()")
    return found


def _loaded_by(statement: str) -> set[str]:
    """The names in sys.modules after `statement` in a fresh interpreter."""
    result = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")},
    )
    return set(result.stdout.split())


def _frozen_exceptions(classes: set[type]) -> list[str]:
    return sorted(
        f"{kind.__module__}.{kind.__qualname__}"
        for kind in classes
        if dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    )


def _descendants(kind: type) -> set[type]:
    children: set[type] = set(type.__subclasses__(kind))
    return children.union(*(_descendants(child) for child in children))


def test_pure_modules_reach_for_nothing_outside() -> None:
    broken = {
        name: found
        for name, path in modules().items()
        if not is_edge(name) and (found := effects(path.read_text("utf-8")))
    }
    assert not broken, "make it pure, or name it in EDGES with the reason"


@pytest.mark.parametrize("edge", sorted(EDGES))
def test_every_named_edge_is_one(edge: str) -> None:
    """A module that has become pure, or has gone, loses its licence."""
    covered = [path for name, path in modules().items() if _is_of(name, edge)]
    assert any(effects(path.read_text("utf-8")) for path in covered)


@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import os.path",
        "from os import environ",
        "from urllib import request",
        "def f():\n    import time",
        "open('x')",
        "path.read_text()",
        "if True:\n    import ssl",
    ],
)
def test_an_effect_is_seen_wherever_it_stands(source: str) -> None:
    assert effects(source)


@pytest.mark.parametrize(
    "source",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ssl",
        "import ossaudit",
        "from urllib.parse import quote",
        "from handclasp.nginx import process",
        "reader.read()",
    ],
)
def test_harmless_source_is_called_harmless(source: str) -> None:
    assert effects(source) == []


def test_no_exception_class_is_a_frozen_dataclass() -> None:
    """contextlib assigns `__traceback__` to what passes through it, which a frozen class refuses."""
    for module in pkgutil.walk_packages(handclasp.__path__, "handclasp."):
        if module.name != "handclasp.__main__":
            importlib.import_module(module.name)
    ours = {kind for kind in _descendants(BaseException) if kind.__module__.startswith("handclasp")}
    assert ours, "the walk found none of our exception classes"
    assert _frozen_exceptions(ours) == []


def test_a_frozen_exception_would_be_found() -> None:
    @dataclasses.dataclass(frozen=True)
    class FrozenError(Exception):
        pass

    assert _frozen_exceptions({FrozenError, ValueError})
    assert FrozenError in _descendants(Exception)


def test_no_module_is_named_after_nothing() -> None:
    named = {name for name in modules() if FORBIDDEN_NAMES & set(name.split("."))}
    assert not named, "name the noun it is about"


def test_the_package_itself_loads_nothing_heavy() -> None:
    loaded = _loaded_by("import handclasp")
    assert "handclasp" in loaded
    assert not HEAVY & loaded


def test_the_backend_library_loads_nothing_else_of_ours() -> None:
    """An application that reads the identity header does not get the control plane with it."""
    loaded = _loaded_by(
        "import pkgutil, importlib, handclasp.backend as b\n"
        "for m in pkgutil.walk_packages(b.__path__, 'handclasp.backend.'): importlib.import_module(m.name)"
    )
    ours = {name for name in loaded if name.partition(".")[0] == "handclasp"}
    assert ours - {"handclasp"} == {name for name in ours if name.startswith("handclasp.backend")}
    assert not (HEAVY - {"cryptography", "asyncio", "ssl"}) & loaded


def _lines(path: Path) -> int:
    return sum(1 for line in path.read_text("utf-8").splitlines() if line.strip())


def test_files_are_short_or_say_why_not() -> None:
    long = {
        name: lines
        for path in modules().values()
        if (lines := _lines(path)) > LINES
        and not (name := str(path.relative_to(SOURCE))).startswith(tuple(LONG_FILES))
    }
    assert not long, "split it, or name it in LONG_FILES with the reason"


@pytest.mark.parametrize("name", sorted(LONG_FILES))
def test_every_exemption_from_length_is_used(name: str) -> None:
    files = [path for path in modules().values() if str(path.relative_to(SOURCE)).startswith(name)]
    assert any(_lines(path) > LINES for path in files)
