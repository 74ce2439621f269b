"""As whom the workers of somebody else's nginx run, and whether handclasp lets them in."""

from __future__ import annotations

import grp
import os
import pwd
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from handclasp.agent.installation import worker_findings
from handclasp.agent.machine import WorkerAccount, existing_account
from handclasp.errors import EnvironmentFault
from handclasp.findings import Severity, Where
from handclasp.nginx.existing import worker_account
from tests.nginx.planning import DISTRIBUTION
from tests.nginx.recorded_builds import facts_of

if TYPE_CHECKING:
    from handclasp.agent.prepare import Prepared

FACTS = facts_of(DISTRIBUTION)
MAIN = "# configuration file /etc/nginx/nginx.conf:\n"
NOBODY = pwd.getpwnam("nobody")
DAEMON = WorkerAccount("daemon", "daemon", grp.getgrnam("daemon").gr_gid)


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)


def prepared(account: WorkerAccount | None, *, ingress: bool = True) -> Prepared:
    loaded = SimpleNamespace(where=lambda *_: Where("spec.yaml", 3, 1))
    spec = SimpleNamespace(ingress=["link"] if ingress else [])
    seen = SimpleNamespace(spec=spec, facts=FACTS, account=account, loaded=loaded)
    return cast("Prepared", cast("Any", seen))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("user www-data;", ("www-data", None)),
        ("user 'www-data' adm;", ("www-data", "adm")),
        ("user a; user b;", ("b", None)),
        ("# user www-data;", None),
        ("http { user x; }", None),
        ("", None),
    ],
)
def test_the_user_directive_is_read_as_nginx_does(
    text: str, told: tuple[str, str | None] | None
) -> None:
    assert worker_account(f"{MAIN}{text}\n") == told


def test_without_a_group_it_is_the_one_named_as_the_user(as_root: None) -> None:
    assert existing_account(("daemon", None), FACTS) == DAEMON
    adm = grp.getgrnam("adm").gr_gid
    assert existing_account(("daemon", "adm"), FACTS) == WorkerAccount("daemon", "adm", adm)


def test_root_and_whoever_is_not_root_need_no_way_in(as_root: None) -> None:
    assert existing_account(("root", None), FACTS) is None


def test_an_ordinary_user_can_let_nobody_in(as_nobody: None) -> None:
    assert existing_account(("daemon", None), FACTS) is None


@pytest.mark.parametrize("told", [("no-such-user", None), ("daemon", "no-such-group")])
def test_an_account_that_does_not_exist_is_named(
    as_root: None, told: tuple[str, str | None]
) -> None:
    with pytest.raises(EnvironmentFault, match="no-such"):
        existing_account(told, FACTS)


def test_another_account_than_the_one_let_in_is_an_error(as_root: None) -> None:
    (finding,) = worker_findings(f"{MAIN}user daemon;\n", prepared(None))
    assert (finding.slug, finding.severity) == ("workers-locked-out", Severity.ERROR)
    assert "daemon, group daemon" in finding.seen
    other = WorkerAccount("daemon", "adm", grp.getgrnam("adm").gr_gid)
    assert worker_findings(f"{MAIN}user daemon;\n", prepared(other))


@pytest.mark.parametrize(
    ("text", "account", "ingress"),
    [
        ("user daemon;", DAEMON, True),
        ("user root;", None, True),
        ("user daemon;", None, False),  # an egress link asks nobody
    ],
)
def test_the_right_account_is_met_with_silence(
    as_root: None, text: str, account: WorkerAccount | None, ingress: bool
) -> None:
    assert worker_findings(f"{MAIN}{text}\n", prepared(account, ingress=ingress)) == []


def test_an_ordinary_user_is_warned_unless_that_nginx_is_his_own(as_nobody: None) -> None:
    (finding,) = worker_findings(f"{MAIN}user daemon;\n", prepared(None))
    assert (finding.slug, finding.severity) == ("workers-locked-out", Severity.WARNING)
    assert worker_findings(f"{MAIN}user nobody;\n", prepared(None)) == []
