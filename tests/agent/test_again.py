"""Which refusals are tried again by themselves, when, and of which spec."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from handclasp.agent import again
from handclasp.agent.again import AGAIN_DUE, TryAgain, may_pass
from handclasp.agent.trial import TrialFailed
from handclasp.errors import EnvironmentFault, ExitCode, HandclaspError
from handclasp.findings import FindingsError, found

if TYPE_CHECKING:
    from pathlib import Path

AWAY = found("pkcs11-token-absent", "there is no token prod")
WRONG = found("pin-wrong", "the token refuses the PIN")
WARNED = found("pkcs11-provider-after-fork", "it may fail after the fork")


def refusal(*slugs: object) -> FindingsError:
    return FindingsError(list(slugs), exit_code=ExitCode.FINDINGS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failure", "until"),
    [
        (refusal(AWAY), "the token is back"),
        (refusal(AWAY, WARNED), "the token is back"),
        (TrialFailed({"svc-b": "the upstream refuses it"}), "the identity does"),
        (refusal(AWAY, WRONG), None),
        (refusal(WRONG), None),
        (refusal(), None),
        (EnvironmentFault("the disk is full"), None),
    ],
)
def test_a_change_waits_only_for_what_needs_no_other_spec(
    failure: HandclaspError, until: str | None
) -> None:
    assert may_pass(failure) == until


def told_within(
    spec: Path, failure: HandclaspError | None, seconds: float, *, then_stop: bool = False
) -> list[str]:
    told: list[str] = []

    async def scenario() -> None:
        tries = TryAgain(spec, told.append)
        tries.asked()
        tries.refused(failure)
        if then_stop:
            tries.asked()
        await asyncio.sleep(seconds)

    asyncio.run(scenario())
    return told


def test_it_is_due_once_after_each_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert again.AGAIN_SECONDS == 30
    spec = tmp_path / "spec"
    assert told_within(spec, refusal(AWAY), 0.2) == []
    monkeypatch.setattr(again, "AGAIN_SECONDS", 0.05)
    assert told_within(spec, refusal(AWAY), 0.3) == [AGAIN_DUE]
    assert told_within(spec, refusal(WRONG), 0.2) == []
    assert told_within(spec, None, 0.2) == []


def test_a_reload_that_is_asked_takes_the_place_of_the_one_that_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "AGAIN_SECONDS", 0.05)
    assert told_within(tmp_path / "spec", refusal(AWAY), 0.2, then_stop=True) == []


def test_a_spec_that_was_changed_meanwhile_is_not_read_unasked(tmp_path: Path) -> None:
    spec = tmp_path / "spec"
    spec.write_text("one")
    tries = TryAgain(spec, lambda _: None)
    tries.asked()
    assert tries.is_due()
    spec.write_text("two")
    assert not tries.is_due()
    spec.unlink()
    assert not tries.is_due()


def test_what_is_said_of_a_refusal_tells_whether_it_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        tries = TryAgain(tmp_path, lambda _: None)
        away, wrong = tries.refused(refusal(AWAY)), tries.refused(refusal(WRONG))
        assert away is not None
        assert wrong is not None
        assert "tried again every 30 s until the token is back" in away
        assert "tried again" not in wrong
        assert tries.refused(None) is None
        tries.stop()

    asyncio.run(scenario())
