"""Issued identities whose key is in a token: the request is signed there, and the key stays."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handclasp.agent.issuance import Issuance
from handclasp.agent.issued import place_of, read_kept
from handclasp.agent.tokens import KeySeen, TokensSeen
from handclasp.certs.material import TokenKey
from handclasp.certs.secret import Secret
from handclasp.issuers.protocol import IssuerError
from handclasp.spec.pkcs11_uri import Pkcs11Uri
from tests.agent.issuing_stage import LOCAL, NAMES, Stage
from tests.ca.authority import make_authority
from tests.integration.softhsm import Token
from tests.issuers.asking import sans

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.agent.prepare import Prepared

pytestmark = pytest.mark.integration
URI = "pkcs11:token=prod;object={}"


@pytest.fixture(scope="module")
def token(place: Path) -> Token:
    return Token(place / "soft")


def stage_of(folder: Path, label: str) -> Stage:
    make_authority(folder)
    identity = {
        "issuer": "dev-ca",
        "names": NAMES,
        "key": URI.format(label),
        "pin": {"file": "pin"},
    }
    return Stage(folder, {"svc-b": identity}, {"dev-ca": LOCAL})


def prepared(stage: Stage, token: Token, label: str, *, pin: str | None = None) -> Prepared:
    uri = Pkcs11Uri(token=token.label, object=label)
    key = TokenKey(uri=uri, pin=Secret((pin or token.pin).encode()))
    seen = TokensSeen(
        module=token.module, environment=token.environment, keys={"svc-b": KeySeen(key)}
    )
    made = stage.prepared()
    made.tokens = seen  # type: ignore[misc]  # a stand-in of the test
    return made


@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
def test_the_request_is_signed_in_the_token_and_the_key_stays_there(
    tmp_path: Path, token: Token, kind: str
) -> None:
    public = token.generate(kind, kind)
    stage = stage_of(tmp_path, kind)
    made = prepared(stage, token, kind)
    for number in ("1", "2"):
        assert asyncio.run(Issuance(stage.clock).issue(made, "svc-b")) == number
    folder = place_of(stage.state, "svc-b") / "2"
    assert sorted(path.name for path in folder.iterdir()) == ["cert.pem", "issued.json"]
    key = replace(made.tokens.keys["svc-b"].key, public=public)
    kept = read_kept(stage.state, "svc-b", key)
    assert kept is not None
    assert not kept.broken
    assert kept.material.leaf is not None
    assert kept.material.leaf.public_key() == public
    assert sans(kept.material.leaf) == sorted(NAMES)


def test_a_pin_that_is_refused_issues_nothing(tmp_path: Path, token: Token) -> None:
    token.generate("refused")
    stage = stage_of(tmp_path, "refused")
    with pytest.raises(IssuerError, match="the token does not sign the request"):
        asyncio.run(
            Issuance(stage.clock).issue(prepared(stage, token, "refused", pin="0000"), "svc-b")
        )
    assert not (stage.state / "issued").exists()


def test_a_key_that_is_not_there_issues_nothing(tmp_path: Path, token: Token) -> None:
    stage = stage_of(tmp_path, "nowhere")
    with pytest.raises(IssuerError, match="the token does not sign the request"):
        asyncio.run(Issuance(stage.clock).issue(prepared(stage, token, "nowhere"), "svc-b"))
    assert not (stage.state / "issued").exists()
