"""Under which account nginx's workers run."""

from __future__ import annotations

import os
import pwd
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from handclasp.agent.machine import worker_account
from handclasp.errors import EnvironmentFault
from handclasp.spec.reference import spec_reference

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER = ("handclasp", "www", "www-data", "nobody")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`worker_account` as root of a machine with these accounts, for a build made with --user=www."""
    root = pwd.getpwuid(0)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    def look(*there: str, wanted: str | None = None) -> str:
        def getpwnam(name: str) -> object:
            if name not in there:
                raise KeyError(name)
            return SimpleNamespace(pw_name=name, pw_gid=root.pw_gid)

        monkeypatch.setattr(pwd, "getpwnam", getpwnam)
        account = worker_account(wanted, cast("Any", SimpleNamespace(default_user="www")))
        assert account is not None
        return account.user

    return look


def test_our_own_account_comes_first_and_then_the_one_the_build_was_made_for(
    machine: Callable[..., Any],
) -> None:
    there = list(ORDER)
    while there:
        assert machine(*reversed(there)) == there.pop(0)


def test_a_machine_without_any_of_them_is_told_which_were_looked_for(
    machine: Callable[..., Any],
) -> None:
    with pytest.raises(EnvironmentFault, match=r"looked for handclasp, www, www-data, nobody\)"):
        machine("root")
    with pytest.raises(EnvironmentFault, match=r"looked for web\)"):
        machine(*ORDER, wanted="web")


def test_the_reference_says_the_same_order() -> None:
    (row,) = [line for line in spec_reference().splitlines() if line.startswith("| `user` ")]
    words = ("handclasp, ", "this nginx was built for", "www-data and ", "nobody; with mode")
    places = [row.index(word) for word in words]
    assert places == sorted(places)
