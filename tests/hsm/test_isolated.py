"""Asking a token through a process of its own: a PIN that was refused, and a system without processes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.certs.secret import Secret
from handclasp.hsm.isolated import Answer, RefusedPins, ask
from handclasp.spec.pkcs11_uri import parse_pkcs11_uri
from tests.hsm.softhsm import SoftToken

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
WRONG = "00000000"


@pytest.fixture(scope="module")
def soft(place: Path) -> SoftToken:
    made = SoftToken.make(place / "tries")
    made.keygen("k")
    return made


def prove(
    soft: SoftToken, tries: RefusedPins | None, pin: str, uri: str = "pkcs11:token=dev;object=k"
) -> Answer:
    return ask(
        "prove",
        module=soft.module,
        uri=parse_pkcs11_uri(uri),
        pin=Secret(pin.encode()),
        environment=soft.environment,
        tries=tries,
    )


def seen(answer: Answer) -> str:
    return "; ".join(one.seen for one in answer.findings if one.severity == "error")


def wrong_try_counted(soft: SoftToken) -> bool:
    listed = json.loads(soft.hsm("list", "--format", "json").stdout)["tokens"]
    return any(one["pin_tries_low"] for one in listed)


def test_a_pin_is_not_tried_again_on_the_token_that_refused_it(soft: SoftToken) -> None:
    tries = RefusedPins()
    assert "refuses the PIN" in seen(prove(soft, tries, WRONG))
    assert prove(soft, tries, soft.pin).ok  # another PIN is tried, and clears the count
    # However the token is called.
    for uri in ("pkcs11:token=dev;object=k", "pkcs11:manufacturer=SoftHSM%20project;object=k"):
        answer = prove(soft, tries, WRONG, uri)
        assert "refused this PIN before: it was not tried again" in seen(answer)
        assert "start it again" in answer.findings[0].fix
        assert not wrong_try_counted(soft)
    # The broken twin: without the memory it is tried, and counted.
    assert "refuses the PIN" in seen(prove(soft, None, WRONG))
    assert wrong_try_counted(soft)
    assert prove(soft, None, soft.pin).ok


def test_another_token_is_tried_with_a_pin_that_the_first_refused(soft: SoftToken) -> None:
    tries = RefusedPins()
    other = SoftToken.make(soft.folder.parent / "tries-too")
    other.keygen("k")
    assert "refuses the PIN" in seen(prove(soft, tries, other.pin))
    assert prove(other, tries, other.pin).ok
    assert prove(soft, None, soft.pin).ok


def test_what_is_kept_of_a_pin_is_of_use_to_nobody_else(soft: SoftToken) -> None:
    one, two = RefusedPins(), RefusedPins()
    for tries in (one, two):
        prove(soft, tries, WRONG)
    first, second = one.as_request(), two.as_request()
    assert first["salt"] != second["salt"]
    assert len(first["refused"]) == len(second["refused"]) == 1
    assert first["refused"] != second["refused"]
    assert WRONG not in json.dumps(first)
    assert prove(soft, None, soft.pin).ok


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_a_system_without_another_process_is_a_finding(
    soft: SoftToken, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def none_left(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "Popen", none_left)
    answer = prove(soft, None, soft.pin)
    assert (answer.ok, answer.asked) == (False, False)
    assert [one.slug for one in answer.findings] == ["pkcs11-module-failed"]
    assert os.strerror(number) in answer.findings[0].seen
    assert soft.pin not in answer.findings[0].as_text()


def test_a_python_that_has_gone_is_a_finding(
    soft: SoftToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/gone/python3")
    answer = prove(soft, None, soft.pin)
    assert not answer.asked
    assert "/gone/python3" in answer.findings[0].fix
