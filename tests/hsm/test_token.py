"""What a token's flags make us do before a PIN is tried (PKCS #11 2.40, section 4.4)."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

pkcs11 = pytest.importorskip("pkcs11")

from handclasp.findings.model import FindingsError  # noqa: E402
from handclasp.hsm import worker  # noqa: E402
from handclasp.hsm.login import pin_warnings  # noqa: E402
from handclasp.spec.pkcs11_uri import parse_pkcs11_uri  # noqa: E402

FLAGS = pkcs11.TokenFlag


def token(*flags: object) -> SimpleNamespace:
    """SoftHSM never locks, so a token that is about to is one of the test's own."""
    return SimpleNamespace(label="prod", flags={FLAGS.TOKEN_INITIALIZED, *flags})


def test_a_token_without_wrong_tries_is_used_without_a_word() -> None:
    assert pin_warnings(token()) == []


def test_a_wrong_try_before_is_a_warning() -> None:
    (finding,) = pin_warnings(token(FLAGS.USER_PIN_COUNT_LOW))
    assert (finding.slug, finding.severity.value) == ("pin-last-try", "warning")


def test_the_final_try_is_left_to_people() -> None:
    low = token(FLAGS.USER_PIN_COUNT_LOW, FLAGS.USER_PIN_FINAL_TRY)
    with pytest.raises(FindingsError) as refusal:
        pin_warnings(low)
    assert [one.slug for one in refusal.value.findings] == ["pin-last-try"]
    assert [one.slug for one in pin_warnings(low, last_try=True)] == ["pin-last-try"]


def test_a_locked_pin_is_not_tried() -> None:
    with pytest.raises(FindingsError) as refusal:
        pin_warnings(token(FLAGS.USER_PIN_LOCKED), last_try=True)
    assert [one.slug for one in refusal.value.findings] == ["pin-locked"]


@pytest.mark.parametrize(("pin", "logins"), [("1234", []), (None, [None])])
def test_listing_tries_no_pin_that_would_lock_a_token(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pin: str | None,
    logins: list[str | None],
) -> None:
    tried: list[str | None] = []

    def opening(*, user_pin: str | None, rw: bool) -> SimpleNamespace:
        tried.append(user_pin)
        return SimpleNamespace(get_objects=lambda _: [], close=lambda: None)

    last = token(FLAGS.USER_PIN_FINAL_TRY)
    last.open = opening
    monkeypatch.setattr("handclasp.hsm.token.load_module", lambda _: None)
    monkeypatch.setattr("handclasp.hsm.token.tokens", lambda _: [last])
    monkeypatch.setattr("handclasp.hsm.token.token_facts", lambda _: {"label": "prod"})
    worker._list({"module": "/m.so", "pin": pin})
    assert tried == logins
    assert ("pin-last-try" in capsys.readouterr().out) is (pin is not None)


def test_a_system_that_forks_no_more_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", none_left)
    with pytest.raises(FindingsError, match="no process can be forked to sign: Resource"):
        worker._in_a_child(None, parse_pkcs11_uri("pkcs11:object=k"), Path("/m.so"), None, None)
