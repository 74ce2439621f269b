"""SVIDs from a Workload API: taken, waited for, followed, and refused."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.issuers import spiffe
from handclasp.issuers.calling import Calling
from handclasp.issuers.protocol import IssuerError
from handclasp.issuers.spiffe import SpiffeIssuer
from handclasp.spec.issuer_spiffe import Spiffe
from tests import pki
from tests.issuers import workload_api
from tests.issuers.asking import sans, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

    from handclasp.issuers.protocol import Issued, Wanted

ID = "spiffe://example.org/svc-b"
ROOT = pki.authority("example.org root")
ISSUING = pki.authority("example.org issuing", issuer=ROOT)
PARTNER = pki.authority("partner.example root")


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: a socket's has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="hc-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def api(place: Path) -> Iterator[workload_api.WorkloadApi]:
    with workload_api.serving(place / "api.sock") as server:
        yield server


def identity(identifier: str = ID, *, serial: int | None = None) -> pki.Pair:
    usages = (pki.CLIENT, pki.SERVER)
    return pki.leaf(ISSUING, "workload", sans=(f"uri:{identifier}",), usages=usages, serial=serial)


def pushed(pair: pki.Pair, identifier: str = ID) -> object:
    return workload_api.svid(pair, identifier, [ROOT])


def question(*names: str, current: x509.Certificate | None = None) -> Wanted:
    """Without a request: the key comes from the API."""
    asked = wanted(*(names or ("dns:unused",)), current=current)
    return replace(asked, request=None, names=asked.names if names else ())


def issuer_at(path: Path | None) -> SpiffeIssuer:
    keys = {} if path is None else {"socket": str(path)}
    return SpiffeIssuer(Spiffe.model_validate({"type": "spiffe", **keys}))


def ask(path: Path | None, what: Wanted | None = None) -> Issued:
    async def bounded() -> Issued:
        async with asyncio.timeout(20):
            return await issuer_at(path).issue(what or question())

    return asyncio.run(bounded())


def refused(path: Path | None, what: Wanted | None = None) -> IssuerError:
    with pytest.raises(IssuerError) as caught:
        ask(path, what)
    assert "\n" not in caught.value.message
    return caught.value


def test_an_svid_comes_with_its_key_and_its_chain(
    api: workload_api.WorkloadApi, place: Path
) -> None:
    pair = identity()
    api.push([pushed(pair)], {"spiffe://partner.example": PARTNER.der})
    issued = ask(place / "api.sock")
    assert issued.chain == (pair.certificate, ISSUING.certificate)
    assert issued.key is not None
    assert issued.key.reveal().public_key() == pair.certificate.public_key()
    assert api.security_header == [True]


def test_bundles_of_our_trust_domain_and_of_federated_ones_are_told_whenever_one_changes(
    api: workload_api.WorkloadApi, place: Path
) -> None:
    async def run() -> list[dict[str, tuple[x509.Certificate, ...]]]:
        told = []
        async with asyncio.timeout(20), aclosing(issuer_at(place / "api.sock").bundles()) as heard:
            api.push([pushed(identity())], {"spiffe://partner.example": PARTNER.der})
            async for one in heard:
                told.append(dict(one))
                if len(told) == 2:
                    return told
                api.push([pushed(identity())])
        raise AssertionError(told)

    both, own = asyncio.run(run())
    assert both == {
        "example.org": (ROOT.certificate,),
        "partner.example": (PARTNER.certificate,),
    }
    assert own == {"example.org": (ROOT.certificate,)}


def test_the_id_that_is_asked_for_is_chosen_among_several(
    api: workload_api.WorkloadApi, place: Path
) -> None:
    other = "spiffe://example.org/other"
    api.push([pushed(identity()), pushed(identity(other), other)])
    assert sans(ask(place / "api.sock", question(f"uri:{other}")).chain[0]) == [other]
    assert sans(ask(place / "api.sock").chain[0]) == [ID]


def test_an_id_the_workload_does_not_have_is_named(
    api: workload_api.WorkloadApi, place: Path
) -> None:
    api.push([pushed(identity())])
    error = refused(place / "api.sock", question("uri:spiffe://example.org/admin"))
    assert error.message == f"the Workload API gives {ID}, and not spiffe://example.org/admin"
    assert error.permanent


def test_a_renewal_waits_for_what_is_newer_than_in_use(
    api: workload_api.WorkloadApi, place: Path
) -> None:
    first, second = identity(serial=1), identity(serial=2)
    api.push([pushed(first)])

    async def run() -> Issued:
        current = ask_current(place, first)
        task = asyncio.ensure_future(current)
        await asyncio.sleep(0.2)
        assert not task.done()
        api.push([pushed(second)])
        return await asyncio.wait_for(task, 10)

    assert asyncio.run(run()).chain[0] == second.certificate


async def ask_current(place: Path, pair: pki.Pair) -> Issued:
    return await issuer_at(place / "api.sock").issue(question(current=pair.certificate))


def test_a_renewal_that_comes_too_early_is_told(
    api: workload_api.WorkloadApi, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spiffe, "PUSH_SECONDS", 0.2)
    pair = identity()
    api.push([pushed(pair)])
    error = refused(place / "api.sock", question(current=pair.certificate))
    assert "nothing newer" in error.message
    assert not error.permanent


def test_a_push_is_noticed(api: workload_api.WorkloadApi, place: Path) -> None:
    first, second = identity(serial=1), identity(serial=2)
    api.push([pushed(first)])

    async def run() -> None:
        issuer = issuer_at(place / "api.sock")
        assert isinstance(issuer, Calling)
        task = asyncio.ensure_future(issuer.until_called(question(current=first.certificate)))
        await asyncio.sleep(0.2)
        assert not task.done()
        api.push([pushed(second)])
        await asyncio.wait_for(task, 10)

    asyncio.run(run())


def test_a_workload_that_is_not_registered_is_told(
    api: workload_api.WorkloadApi, place: Path
) -> None:
    error = refused(place / "api.sock")
    assert error.message == "the Workload API knows no identity for this process"
    assert "Register" in (error.hint or "")
    assert not error.permanent


def test_an_api_that_is_not_there_is_told_and_tried_again(place: Path) -> None:
    error = refused(place / "none.sock")
    assert "cannot be reached" in error.message
    assert "none.sock" in error.message
    assert not error.permanent


def test_a_socket_nobody_listens_on_is_told(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(place / "dead.sock"))
    assert refused(place / "dead.sock").message == "the Workload API cannot be reached"


def test_without_a_socket_the_variable_of_the_standard_says_where(
    api: workload_api.WorkloadApi, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.push([pushed(identity())])
    monkeypatch.delenv("SPIFFE_ENDPOINT_SOCKET", raising=False)
    assert "SPIFFE_ENDPOINT_SOCKET" in refused(None).message
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", f"unix:{place / 'api.sock'}")
    assert ask(None).chain


@pytest.mark.parametrize(
    "what",
    ["garbage", "no-id", "ca", "empty"],
)
def test_what_is_no_svid_is_told(api: workload_api.WorkloadApi, place: Path, what: str) -> None:
    good = identity()
    bad = {
        "garbage": [workload_api.broken(ID)],
        "no-id": [pushed(pki.leaf(ISSUING, "plain"))],
        "ca": [workload_api.svid(ISSUING, ID, [ROOT])],
        "empty": [],
    }
    api.push(bad[what])
    error = refused(place / "api.sock")
    assert "Workload API" in error.message
    assert str(good.private_key) not in str(error)


def test_an_attempt_that_is_cancelled_hangs_up(api: workload_api.WorkloadApi, place: Path) -> None:
    pair = identity()
    api.push([pushed(pair)])

    async def run() -> None:
        task = asyncio.ensure_future(ask_current(place, pair))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    begin = asyncio.run(_timed(run()))
    assert begin < timedelta(seconds=5)


async def _timed(work: object) -> timedelta:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await work  # type: ignore[misc]
    return timedelta(seconds=loop.time() - begin)


def test_an_agent_that_goes_away_while_it_is_waited_for_is_told(place: Path) -> None:
    pair = identity()

    async def run() -> None:
        with workload_api.serving(place / "api.sock") as api:
            api.push([pushed(pair)])
            task = asyncio.ensure_future(ask_current(place, pair))
            await asyncio.sleep(0.2)
            assert not task.done()
        with pytest.raises(IssuerError, match="Workload API"):
            await asyncio.wait_for(task, 10)

    asyncio.run(run())


def test_without_the_package_the_extra_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spiffe", None)
    error = refused(place / "api.sock")
    assert "handclasp[spiffe]" in (error.hint or "")
    assert error.permanent
