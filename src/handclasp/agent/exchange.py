"""Another nginx in place of the one that runs, without refusing anybody (edge; docs/decisions/0013).

The next one is given the listening sockets of the one before and is proven while that one is only stood down;
if it fails, the one before goes on. Where the sockets cannot be had, one ends before the other begins.
"""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.agent import journal
from handclasp.agent.announcing import announced
from handclasp.agent.former import HANDOVER_SECONDS, former
from handclasp.agent.retirees import end_master
from handclasp.agent.sockets import listen_addresses, prepare_sockets
from handclasp.errors import EnvironmentFault, HandclaspError
from handclasp.nginx import inheritance, proc
from handclasp.nginx.inheritance import Inheritance
from handclasp.nginx.master_record import SUCCESSOR_FILE, MasterRecord, write_pid
from handclasp.nginx.orphans import end_session, send

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from handclasp.agent.carrier import Carrier
    from handclasp.agent.former import Former
    from handclasp.agent.prepare import Prepared
    from handclasp.agent.prove import Proof
    from handclasp.nginx.parts import Plan
    from handclasp.nginx.process import NginxMaster
    from handclasp.nginx.state import StateDirectory

_SHORTLY_SECONDS = 2.0
"""For the requests of an nginx that nobody has proven, after its agent was killed."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to be put into effect, and what it would take the place of."""

    prepared: Prepared
    plan: Plan
    generation: int
    listeners: tuple[Path, ...]  # unix sockets
    old: NginxMaster
    again: Former


async def exchange(
    carrier: Carrier, prepared: Prepared, plan: Plan, old: NginxMaster, why: str
) -> tuple[int, tuple[Proof, ...]]:
    """Puts `plan` into effect in an nginx of its own; returns its generation and the proofs.

    Raises what forbids it, with `carrier.master` the old nginx, which serves; if not even that could be
    done, with a `carrier.master` that has ended.
    """
    journal.warning("nginx has to be restarted, not reloaded", because=why)
    generation = await carrier.staged(prepared, plan)
    listeners = prepare_sockets(plan, prepared)
    with former(old, carrier.state) as again, _inherited(old, plan, generation) as inherited:
        change = _Change(prepared, plan, generation, listeners, old, again)
        if inherited is None:
            proofs = await _one_then_the_other(carrier, change)
        else:
            proofs = await _side_by_side(carrier, change, inherited)
    return generation, proofs


@contextlib.contextmanager
def _inherited(old: NginxMaster, plan: Plan, generation: int) -> Iterator[Inheritance | None]:
    """What the next nginx may be given; None, and said so, when it cannot be had."""
    addresses = listen_addresses(plan)
    with contextlib.ExitStack() as held:
        try:
            sockets = held.enter_context(inheritance.listening_sockets(old.pid))
            because = inheritance.in_the_way(sockets, addresses)
        except EnvironmentFault as fault:
            because = str(fault)
        if because is not None:
            journal.warning("connections are refused until nginx listens again", because=because)
            held.close()
            yield None
        else:
            yield Inheritance(inheritance.wanted_by(sockets, addresses), generation)


async def _side_by_side(
    carrier: Carrier, change: _Change, inherited: Inheritance
) -> tuple[Proof, ...]:
    prepared, plan, old = change.prepared, change.plan, change.old
    carrier.master, carrier.outgoing = None, old  # its end is wanted, and no accident to be mended
    switch, new = None, None
    with old.changing():
        try:
            if _moves_a_key(carrier.state, plan):
                await old.stand_down()
            switch = carrier.switch(prepared, plan, change.generation)
            try:
                new = await carrier.started(prepared, plan, inherited)
            finally:
                _close(inherited.sockets)
            # From here on whoever answers is the new one, so what is proven is that.
            async with announced(carrier.applied):
                await old.stand_down()
            proofs = await carrier.proven(prepared, plan)
            switch.commit()
        except BaseException as failure:
            try:
                if switch is not None and switch.pending:
                    switch.rollback()
            finally:
                carrier.master = await _old_again(change, new, failure)
            raise
        finally:
            carrier.outgoing = None
        carrier.master = new
        await _hand_over(carrier, old, new)
    return proofs


async def _old_again(
    change: _Change, new: NginxMaster | None, failure: BaseException
) -> NginxMaster:
    """The old one takes connections before the new one, which has failed, takes no more."""
    old = change.old
    serves = old.running and await old.stand_up()
    if new is not None and new.running:
        with contextlib.suppress(HandclaspError):
            await new.quit(HANDOVER_SECONDS)
    (old.prefix / SUCCESSOR_FILE).unlink(missing_ok=True)
    if serves:
        journal.warning("the nginx before serves on", pid=old.pid, because=failure)
        with contextlib.suppress(EnvironmentFault):  # it is known by its record too
            write_pid(old.prefix, old.pid)
        return old
    if old.running:
        await old.terminate()
    return await change.again.start(failure, change.listeners) or old


async def _hand_over(carrier: Carrier, old: NginxMaster, new: NginxMaster) -> None:
    try:
        old.record.write(old.prefix, old.record.retired_file)
        new.succeed()
    except EnvironmentFault as fault:
        journal.warning("which nginx is ours could not be written down", because=fault)
    await old.retire()
    carrier.retirees.take(old.record)
    journal.info("the nginx before takes no connections any more", pid=old.pid)


async def _one_then_the_other(carrier: Carrier, change: _Change) -> tuple[Proof, ...]:
    """The old one ends first; if the new one fails, the old one is started again on what it served."""
    prepared, plan, old = change.prepared, change.plan, change.old
    switch = carrier.switch(prepared, plan, change.generation)
    carrier.master = None
    try:
        journal.info("nginx ended", how=await old.quit(HANDOVER_SECONDS))
        carrier.master = await carrier.started(prepared, plan)
        proofs = await carrier.proven(prepared, plan)
    except BaseException as failure:
        await carrier.end_quietly()
        if old.running:
            await old.terminate()
        switch.rollback()
        carrier.master = await change.again.start(failure, change.listeners) or old
        raise
    switch.commit()
    return proofs


def _moves_a_key(state: StateDirectory, plan: Plan) -> bool:
    """Whether an identity that the old nginx may read at each handshake turns into one whose key is in a
    token: it has to take its last connection before the link moves."""
    moved = dict(plan.identities)
    return any(
        state.current_identity(name) not in (None, moved.get(name))
        for name, _ in (plan.tokens.keys if plan.tokens else ())
    )


def _close(sockets: Sequence[socket.socket]) -> None:
    for one in sockets:
        one.close()


async def settle(state: StateDirectory) -> None:
    """One of two masters, where an agent was killed while one took over from the other.

    The new one if its generation is in effect, which it is once proven (nginx.switch); else the old one.
    """
    prefix = state.nginx_prefix
    new = MasterRecord.read(prefix, SUCCESSOR_FILE)
    if new is None:
        return
    old = MasterRecord.read(prefix)
    stood_down = proc.read_stat(old.pid) if old and old.is_alive() else None
    proven = new.generation == state.current_generation()
    if proven and new.is_alive():
        if old is not None:
            old.write(prefix, old.retired_file)
            end_master(old)
        new.without_generation().write(prefix)
        journal.warning("an exchange of nginx that was interrupted is completed", pid=new.pid)
    elif old is not None and stood_down is not None:
        send(stood_down, signal.SIGCONT)
        await end_session(new, patience=_SHORTLY_SECONDS)
        if proven:  # what the old one has loaded is not in effect any more
            await end_session(old, patience=_SHORTLY_SECONDS)
        write_pid(prefix, old.pid)
        journal.warning("an exchange of nginx that was interrupted is undone", pid=old.pid)
    else:
        await end_session(new, patience=_SHORTLY_SECONDS)
    (prefix / SUCCESSOR_FILE).unlink(missing_ok=True)
