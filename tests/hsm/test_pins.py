"""PINs that are no token's: told before a token counts them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.secret import Secret
from handclasp.findings.model import FindingsError
from handclasp.hsm.pins import LONGEST, LONGEST_BY_ENGINE, pin_problem


@pytest.mark.parametrize(
    ("pin", "problem"),
    [
        (b"", "is empty"),
        (b" \t", "is empty"),
        (b"1234\nsecond", "more than one line"),
        (b"1234\n", "more than one line"),
        (b"1234\rsecond", "more than one line"),
        (b"12\x0034", "control character"),
        (b"12\x7f34", "control character"),
        (b"\xff\xfe12", "not UTF-8"),
        (b"1" * (LONGEST + 1), "has 256 bytes"),
    ],
)
def test_what_is_no_pin_is_told_as_what_it_is(pin: bytes, problem: str) -> None:
    assert problem in (pin_problem(pin) or "")


@pytest.mark.parametrize("pin", [b"1234", b"with blanks ", "gehe\u00efm".encode(), b"1" * LONGEST])
def test_what_may_be_a_pin_is_tried(pin: bytes) -> None:
    assert pin_problem(pin) is None


def test_the_engine_has_a_limit_of_its_own() -> None:
    longest = b"1" * LONGEST_BY_ENGINE
    assert pin_problem(longest, by_engine=True) is None
    assert "cuts it to 31" in (pin_problem(longest + b"1", by_engine=True) or "")
    assert pin_problem(longest + b"1") is None


@given(st.binary())
def test_no_pin_is_in_what_is_said_of_it(pin: bytes) -> None:
    """Of any bytes the sentence has lengths only."""
    said = pin_problem(pin, by_engine=True)
    assert said == pin_problem(pin, by_engine=True)
    if said and len(pin) > 3 and pin.decode(errors="ignore").strip():
        assert pin.decode(errors="replace") not in said


def test_no_session_is_opened_with_such_a_pin() -> None:
    pytest.importorskip("pkcs11")
    from handclasp.hsm.login import session

    tried: list[object] = []
    token = SimpleNamespace(label="t", open=lambda **how: tried.append(how))
    for pin in (b"", b"1234\n5"):
        with (
            pytest.raises(FindingsError, match="it was not tried"),
            session(token, Secret(pin)),
        ):
            pass
    assert tried == []
