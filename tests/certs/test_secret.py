"""Secrets do not print, pickle or copy."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from handclasp.certs.secret import Secret

PASSWORD = "correct horse"


def test_a_secret_gives_its_value_only_when_asked() -> None:
    assert Secret(PASSWORD).reveal() == PASSWORD


def test_a_secret_shows_nothing_in_any_text_form() -> None:
    secret = Secret(PASSWORD)
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", f"{[secret]}"):
        assert PASSWORD not in text
        assert "***" in text


def test_a_secret_is_neither_pickled_nor_copied() -> None:
    for spread in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled or copied"):
            spread(Secret(PASSWORD))


def test_a_traceback_with_local_variables_shows_nothing() -> None:
    def failing(secret: Secret[str]) -> None:
        raise RuntimeError(f"failed with {secret}")

    try:
        failing(Secret(PASSWORD))
    except RuntimeError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert PASSWORD not in "".join(told.format()).replace(f"PASSWORD = '{PASSWORD}'", "")
