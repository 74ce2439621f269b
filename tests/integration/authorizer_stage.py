"""What tests of the authorizer share: links in every dialect, what a backend makes of a request, and a
stand-in on the agent's socket that counts, passes on, or answers as a test likes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509

from handclasp.backend import IdentityReader
from handclasp.backend.dialects import DIALECTS, stripped_headers
from tests import pki
from tests.integration.ingress_stage import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tests.integration.running import Material, Running
    from tests.integration.servers import Seen

# x-ssl-cert and haproxy give one header different values, so no link can write both.
WITHOUT_X_SSL_CERT = tuple(name for name in DIALECTS if name != "x-ssl-cert")
WITHOUT_HAPROXY = tuple(name for name in DIALECTS if name != "haproxy")
_NAMES = {
    name.lower()
    for dialect in DIALECTS.values()
    for name in (*dialect.fields.values(), *dialect.composed, *dialect.others)
}
FORGEABLE = sorted({*stripped_headers(), *_NAMES, *(one.replace("-", "_") for one in _NAMES)})
FORWARDED = {"x-real-ip"} | {f"x-forwarded-{one}" for one in ("for", "proto", "host", "port")}


def written(dialects: Iterable[str]) -> set[str]:
    """Names, in lower case, of the headers that links write in these dialects."""
    return {
        name.lower()
        for dialect in dialects
        for name in (*DIALECTS[dialect].fields.values(), *DIALECTS[dialect].composed)
    }


def assert_caller_is(seen: Seen, pair: pki.Pair | None, dialects: Iterable[str]) -> None:
    """The backend, by any of the dialects, sees exactly this certificate, or none, and no header of the
    kind beside ours. `parse` compares what is told beside a certificate with the certificate."""
    dialects = tuple(dialects)
    names = [name.lower().replace("_", "-") for name, _ in seen.headers]
    ours = written(dialects) | FORWARDED
    assert [one for one in names if one in FORGEABLE and one not in ours] == []
    assert [one for one in ours if names.count(one) > 1] == []
    for dialect in dialects:
        identity = IdentityReader(dialect).read(seen.headers)
        if pair is None:
            assert identity is None, dialect
        else:
            assert identity is not None, dialect
            assert identity.certificate == pair.der, dialect


def pair_of(material: Material, who: str) -> pki.Pair:
    """A certificate of the cast by its name; the key is not looked at."""
    pem = (material.folder / f"{who}.pem").read_bytes()
    return pki.Pair(x509.load_pem_x509_certificate(pem), material.client.private_key)


def status_over(
    connection: socket.socket, host: str, path: str = "/", *, method: str = "GET"
) -> int:
    """One request over a connection that stays open."""
    client = http.client.HTTPConnection(host)
    client.sock = connection
    client.request(method, path)
    answer = client.getresponse()
    answer.read()
    client.sock = None
    return answer.status


def logged(running: Running) -> list[dict[str, Any]]:
    """The access log, oldest first."""
    path = running.state / "nginx" / "logs" / "access.log"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def refused_for(running: Running, sni: str, reason: str) -> bool:
    """Whether the log gives this reason for the last request for a name; empty for one that passed."""

    def so() -> bool:
        told = [one["reason"] for one in logged(running) if one["sni"].lower() == sni.lower()]
        return told[-1:] == [reason]

    return until(so)


@dataclass
class Asked:
    """One question of nginx's."""

    head: bytes

    def value(self, name: str) -> str:
        """Of a header; empty when it is not there."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode().lower() == name.lower():
                return value.strip().decode()
        return ""


class StandIn:
    """Takes the name of the agent's socket, so that nginx's next connection comes here.

    `answer` makes the bytes of an answer from a question; None passes the question on to the agent, whose
    socket lives on under another name. After an answer of a stand-in's own the connection is closed.
    """

    def __init__(self, path: Path, answer: Callable[[Asked], bytes] | None = None) -> None:
        self.path = path
        self.answer = answer
        self.asked: list[Asked] = []
        self.lingering: threading.Event | None = None  # the end of a connection waits for it
        self._behind = path.with_name("agent.sock")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.settimeout(0.1)
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        found = self.path.stat()
        self.path.rename(self._behind)
        self._listener.bind(str(self.path))
        self.path.chmod(found.st_mode & 0o777)
        with contextlib.suppress(PermissionError):
            os.chown(self.path, found.st_uid, found.st_gid)
        self._listener.listen(64)
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()
        self._behind.rename(self.path)

    @contextlib.contextmanager
    def saying(self, answer: bytes | Callable[[Asked], bytes] | None) -> Iterator[list[Asked]]:
        """Answers so until the block ends; the questions of the block."""
        before, self.answer = (
            self.answer,
            (lambda _: answer) if isinstance(answer, bytes) else answer,
        )
        self.asked = []
        try:
            yield self.asked
        finally:
            self.answer = before

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(0.1)
        with connection, socket.socket(socket.AF_UNIX) as behind, contextlib.suppress(OSError):
            behind.settimeout(5)
            behind.connect(str(self._behind))
            while head := self._question(connection):
                asked = Asked(head)
                self.asked.append(asked)
                if self.answer is not None:
                    connection.sendall(self.answer(asked))
                    if self.lingering:
                        self.lingering.wait(8)
                    return
                behind.sendall(head)
                connection.sendall(_whole_answer(behind))

    def _question(self, connection: socket.socket) -> bytes:
        """Up to the empty line: nginx passes no body on. Empty when the connection ends."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if self._ended.is_set():
                return b""
            try:
                data = connection.recv(65536)
            except TimeoutError:
                continue
            if not data:
                return b""
            head += data
        return head


def _whole_answer(behind: socket.socket) -> bytes:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += behind.recv(65536)
    head, _, body = answer.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        data = behind.recv(65536)
        answer, body = answer + data, body + data
    return answer
