"""Challenges of ACME servers answered before there is an nginx that carries traffic (edge).

An identity that nginx needs is issued before nginx starts, and the CA asks at the address where it will
listen. So an nginx that does nothing else answers there meanwhile, unless our files are given already.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent.challenge_probe import unanswered
from handclasp.agent.port_holder import holder_of
from handclasp.agent.private_nginx import private_nginx
from handclasp.errors import EnvironmentFault
from handclasp.findings import FindingsError
from handclasp.nginx import claim, durable
from handclasp.nginx.layout import ANSWERING
from handclasp.nginx.parts import Process
from handclasp.nginx.render.challenges import challenge_configuration
from handclasp.spec.issuer_acme import challenge_listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.spec.values import ListenAddress

_SERVE_THEM = (
    "End it, or have it serve a directory for us: `challenges: DIRECTORY` in the place of `listen`."
)
_LISTEN_FIRST = (
    "If that is the nginx of these links, it has to answer challenges before it is asked for: put the issuer"
    " into effect first, with no identity that it issues. If it is another, have it serve a directory for us:"
    " `challenges: DIRECTORY` in the place of `listen`."
)


@contextlib.asynccontextmanager
async def answering(
    prepared: Prepared, names: Iterable[str], *, claimed: bool
) -> AsyncIterator[None]:
    """While it lasts, challenges are answered wherever ours are to be, if these identities need that.

    `claimed`: the state directory is ours already. Raises FindingsError (port-in-use, port-privileged) or
    EnvironmentFault where they cannot be; nothing of it is left running then.
    """
    spec = prepared.spec
    asked = [spec.issuers[spec.identities[name].issuer or ""] for name in names]
    # At all of them, as later: a CA may come over IPv6 as well.
    addresses = challenge_listeners(spec.issuers.values() if challenge_listeners(asked) else ())
    if not addresses:
        yield
        return
    with _ending_in_time(asyncio.current_task(), wanted=not claimed), _place(prepared, claimed):
        missing = [one for one in addresses if await unanswered(prepared, one, attempts=1)]
        if not missing:
            yield
            return
        async with _answered(prepared, missing, serving=claimed):
            yield


@contextlib.asynccontextmanager
async def _answered(
    prepared: Prepared, addresses: list[ListenAddress], *, serving: bool
) -> AsyncIterator[None]:
    root, account = prepared.layout.root, prepared.account
    process = Process(
        workers=1,
        connections=0,
        open_files=0,
        user=account.user if account else None,
        group=account.group if account else None,
    )
    prefix = root / ANSWERING
    configuration = challenge_configuration(
        addresses,
        prepared.layout.challenges,
        prefix=prefix,
        process=process,
        facts=prepared.facts,
    )
    async with contextlib.AsyncExitStack() as stack:
        with _named(prepared, addresses, serving=serving):
            await stack.enter_async_context(private_nginx(Path(prefix), prepared, configuration))
        for address in addresses:
            if (why := await unanswered(prepared, address)) is not None:
                raise EnvironmentFault(
                    f"nginx listens on {address} for challenges, and {why}",
                    hint=f"Its workers must be able to enter {prepared.layout.challenges}; see that the"
                    " directories above it may be passed (chmod o+x).",
                )
        yield


@contextlib.contextmanager
def _named(prepared: Prepared, addresses: list[ListenAddress], *, serving: bool) -> Iterator[None]:
    """Says of an address that is taken by whom."""
    try:
        yield
    except FindingsError as error:
        told = [_with_holder(one, prepared, addresses, serving=serving) for one in error.findings]
        raise FindingsError(told, exit_code=error.exit_code) from error


def _with_holder(
    finding: Finding, prepared: Prepared, addresses: list[ListenAddress], *, serving: bool
) -> Finding:
    if finding.slug != "port-in-use":
        return finding
    taken = next((one for one in addresses if str(one) in finding.seen), addresses[0])
    issuer = next(
        name
        for name, one in prepared.spec.issuers.items()
        if challenge_listeners([one]) == (taken,)
    )
    who = holder_of(taken) or "another process"
    return replace(
        finding,
        seen=f"challenges of issuer '{issuer}' cannot be answered at {taken}: {who} listens there, and"
        " does not give our files",
        where=prepared.loaded.where("issuers", issuer, "listen"),
        fix=_LISTEN_FIRST if serving or prepared.spec.nginx.mode == "existing" else _SERVE_THEM,
    )


@contextlib.contextmanager
def _place(prepared: Prepared, claimed: bool) -> Iterator[None]:
    """The directory of answers, in a state directory that nobody else uses meanwhile."""
    if claimed:
        yield  # made when it was opened
        return
    root, account = Path(prepared.layout.root), prepared.account
    passage = durable.Access(0o750, account.gid) if account else durable.Access(0o700)
    claim.make_directory(root, passable=account is not None)
    with durable.reported("open the state directory", root):
        claim.check_ours(root)
        lock = claim.take_lock(root / "lock")
    try:
        with durable.reported("open the state directory", root):
            durable.mend_access(root, passage)
            durable.ensure_directory(Path(prepared.layout.challenges), passage)
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def _ending_in_time(task: asyncio.Task[object] | None, *, wanted: bool) -> Iterator[None]:
    """TERM ends the start, and what was begun with it; later the agent answers the signal (agent.loop)."""
    if not wanted or task is None:
        yield
        return
    loop, asked = asyncio.get_running_loop(), False

    def stop() -> None:
        nonlocal asked
        asked = True
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not asked:
            raise
        raise EnvironmentFault("stopped before everything was ready") from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
