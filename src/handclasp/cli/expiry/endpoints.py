"""Servers are asked for their chains, many at once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.certs.read import read_objects
from handclasp.errors import UsageError
from handclasp.monitor.entries import entry_of_remote
from handclasp.monitor.expiry import Entry
from handclasp.spec.names import check_host_name, is_ip, split_host_port
from handclasp.spec.values import Url
from handclasp.wire.client import observe
from handclasp.wire.observation import FailureKind, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptography import x509

    from handclasp.cli.expiry.credentials import Asking
    from handclasp.wire.observation import Observation

_MANY = 20  # servers from which on a progress bar is shown
_LOOKUPS = 64  # threads that look names up; the loop's own few would be a queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server: as it was written, and where it is. `name` overrides the one that is asked for; `link` is
    the one of a spec whose upstream it is."""

    source: str
    host: str
    port: int
    name: str | None = None
    link: str | None = None

    @property
    def server_name(self) -> str | None:
        """The SNI; an address is never one (RFC 6066 section 3)."""
        return self.name or (None if is_ip(self.host) else self.host)


def parse_endpoint(text: str) -> Endpoint | None:
    """`https://HOST[:PORT]` or `HOST:PORT`; None for what is a path. Raises UsageError.

    A file with such a name, where there is one, is the file.
    """
    if "://" in text:
        scheme, _, rest = text.partition("://")
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        try:
            url = Url.parse(f"{scheme}://{authority}", schemes=("https", "grpcs"))
        except ValueError as error:
            raise UsageError(f"{text}: {error}") from None
        if url.host is None or url.port is None:
            raise UsageError(f"{text}: a server is named by host and port")
        return Endpoint(source=text, host=url.host, port=url.port)
    if "/" in text or not re.search(r"[^:]:[0-9]+\Z", text) or Path(text).exists():
        return None
    try:
        host, port = split_host_port(text, what="HOST:PORT")
        host = host if is_ip(host) else check_host_name(host)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Endpoint(source=text, host=host, port=port)


def ask(
    groups: Sequence[tuple[Asking, Sequence[Endpoint]]], *, timeout: float, jobs: int
) -> list[Entry]:
    """One entry for each endpoint, in order, those that cannot be reached with the reason.

    `timeout` (seconds) bounds each, `jobs` how many are asked at the same time. Raises UsageError or
    EnvironmentFault for credentials that cannot be used.
    """
    count = sum(len(endpoints) for _, endpoints in groups)
    if not count:
        return []
    with contextlib.ExitStack() as stack:
        opened = [
            (stack.enter_context(asking.opened()), list(dict.fromkeys(endpoints)))
            for asking, endpoints in groups
        ]
        told = stack.enter_context(_progress(count))
        return asyncio.run(_ask(opened, timeout=timeout, jobs=jobs, told=told))


async def _ask(
    groups: Sequence[tuple[Asking, Sequence[Endpoint]]],
    *,
    timeout: float,  # noqa: ASYNC109  part of the result
    jobs: int,
    told: Callable[[], None],
) -> list[Entry]:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(min(jobs, _LOOKUPS)))
    free = asyncio.Semaphore(jobs)

    async def one(asking: Asking, endpoint: Endpoint) -> Entry:
        async with free:
            seen = await _observed(asking, endpoint, timeout)
        told()
        entry = _entry(endpoint, seen, verified=asking.trust is not None, timeout=timeout)
        if endpoint.link is None:
            return entry
        breaks = (f"{endpoint.link} refuses its upstream",)
        return replace(entry, name=f"upstream of {endpoint.link}", breaks=breaks)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(one(asking, endpoint))
            for asking, endpoints in groups
            for endpoint in endpoints
        ]
    return [task.result() for task in tasks]


async def _observed(asking: Asking, endpoint: Endpoint, timeout: float) -> Observation:  # noqa: ASYNC109
    name = asking.server_name or endpoint.server_name
    return await observe(
        Target(host=endpoint.host, port=endpoint.port, server_name=name),
        identity=asking.credential,
        trust=asking.trust,
        verify_name=None if asking.trust is None else name or endpoint.host,
        timeout=timeout,
        first_read=0.0,  # the chain has come by then; whether we are let in is not the question
    )


def _entry(endpoint: Endpoint, seen: Observation, *, verified: bool, timeout: float) -> Entry:
    if seen.peer is None:
        reason = "it sent none"
        if seen.failure is not None:
            number = seen.failure.errno
            reason = seen.failure.text
            if seen.failure.kind is FailureKind.OS and number is not None:
                reason = os.strerror(
                    number
                )  # asyncio has words of its own for what the system says
            elif seen.failure.kind is FailureKind.TIMEOUT:
                reason = f"no answer within {timeout:g} s"
        told = "no certificate was seen" if seen.reached else "it cannot be reached"
        return Entry(source=endpoint.source, problem=f"{told}: {reason}")
    certificates: list[x509.Certificate] = []
    for number, data in enumerate(seen.peer.chain):
        contents = read_objects(data, source=endpoint.source)
        if not contents.certificates and number == 0:
            reason = contents.findings[0].seen if contents.findings else "it is none"
            return Entry(source=endpoint.source, problem=f"its certificate is damaged: {reason}")
        certificates += contents.certificates
    verification = _verification(seen) if verified else None
    return entry_of_remote(endpoint.source, certificates, verification=verification)


def _verification(seen: Observation) -> str:
    """The verdict on the server's chain; that the server may refuse us is another matter."""
    if seen.handshake_complete:
        return "ok"
    if seen.failure is None:
        return "not known"
    if seen.failure.verify_code is not None:
        return seen.failure.verify_message or seen.failure.text
    return f"not known: {seen.failure.text}"


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    if count < _MANY or not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=count, label="asking", file=sys.stderr) as bar:
        yield lambda: bar.update(1)
