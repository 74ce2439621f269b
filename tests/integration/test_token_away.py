"""A change that only waits for a token takes effect when the token is back, and no other one does."""

from __future__ import annotations

import os
import pwd
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.running import SERVER_NAME, Running, write_spec
from tests.integration.softhsm import Token
from tests.integration.tampered import under
from tests.integration.test_agent_lifecycle import call

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture
def token(material: Material, port: int) -> Token:
    made = Token(material.folder / f"away-{port}" / "token")
    made.certify(material.ca, "server-a", kind="rsa2048", sans=[SERVER_NAME], usages=[pki.SERVER])
    if os.geteuid() == 0:
        account = pwd.getpwnam("www-data")
        made.let_in(account.pw_uid, account.pw_gid)
    return made


@pytest.fixture
def with_token(spec: dict[str, Any], token: Token) -> dict[str, Any]:
    """The spec with its key in the token."""
    certificate = str(token.folder.parent / "server-a.pem")
    identity = token.identity("server-a", certificate=certificate)
    user = {"user": "www-data"} if os.geteuid() == 0 else {}
    return {
        **spec,
        "identities": {"server-a": identity},
        "pkcs11": token.section(),
        "nginx": {"workers": 2, **user},
    }


def test_a_change_refused_for_a_token_that_is_away_takes_effect_once_it_is_back(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
    with_token: dict[str, Any],
    token: Token,
    tmp_path: Path,
) -> None:
    name = f"waits-{port}"
    path = write_spec(material.folder, name, spec)
    with Running(path, nginx_builds["distribution"], under=under("impatient", tmp_path)) as agent:
        away = token.tokens.with_name("away")
        token.tokens.rename(away)
        try:
            write_spec(material.folder, name, with_token)
            agent.reload()
            agent.wait_for("the change is tried again in_seconds=1", count=2)
            agent.wait_for('because="it may be taken by now"')
            told = agent.status()
            assert "until the token is back" in told["refused_change"]
            assert told["tokens"] is None
            assert call(material, port) == 200
        finally:
            away.rename(token.tokens)
        agent.wait_for("change in effect")
        told = agent.status()
        assert (told["refused_change"], told["tokens"]["outage"]) == (None, None)
        assert call(material, port) == 200
        read = agent.text.count("spec read again")
        time.sleep(2)
        assert agent.text.count("spec read again") == read


def test_a_spec_edited_meanwhile_is_read_when_that_is_asked_and_not_before(
    material: Material,
    nginx_builds: dict[str, Path],
    port: int,
    spec: dict[str, Any],
    with_token: dict[str, Any],
    token: Token,
    tmp_path: Path,
) -> None:
    name = f"edited-{port}"
    path = write_spec(material.folder, name, spec)
    with Running(path, nginx_builds["distribution"], under=under("impatient", tmp_path)) as agent:
        token.tokens.rename(token.tokens.with_name("away"))
        write_spec(material.folder, name, with_token)
        agent.reload()
        agent.wait_for("the change is tried again")
        spec["ingress"][0]["clients"]["allow"] = ["cn:svc-x"]
        write_spec(material.folder, name, spec)
        agent.wait_for("it is read when a reload is asked")
        assert call(material, port) == 200
        agent.reload()
        agent.wait_for("change in effect")
        assert call(material, port) == 403
