"""What has to be issued before the start, and what can be judged before it is."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from handclasp.agent.issuance import Issuance
from handclasp.agent.issued import load_issued, place_of
from handclasp.agent.waiting import (
    issuer_findings,
    why_waiting,
    with_stand_ins,
    without_stand_ins,
)
from handclasp.certs.checks import Role, check_identity
from handclasp.certs.material import Material, TokenKey
from handclasp.findings import Severity, Where, found
from handclasp.spec.pkcs11_uri import Pkcs11Uri
from tests.agent.issuing_stage import LOCAL, NAMES, Stage
from tests.ca.authority import make_authority

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.findings import Finding

DAY = timedelta(days=1)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    make_authority(tmp_path)
    identity = {"issuer": "dev-ca", "names": NAMES, "lifetime": "24h"}
    return Stage(tmp_path, {"svc-b": identity}, {"dev-ca": LOCAL})


def waiting(stage: Stage, *, later: timedelta = timedelta()) -> dict[str, tuple[Finding, ...]]:
    made = stage.prepared()
    now = stage.clock.now() + later
    return dict(why_waiting(made.loaded, made.layout, made.tokens, now))


def why(stage: Stage, *, later: timedelta = timedelta()) -> str:
    """Why it waits; the finding is an info with its place in the spec."""
    (finding,) = waiting(stage, later=later)["svc-b"]
    assert (finding.slug, finding.severity) == ("identity-not-issued-yet", Severity.INFO)
    assert finding.where.path == "identities.svc-b.issuer"
    return finding.seen


def issue(stage: Stage) -> None:
    asyncio.run(Issuance(stage.clock).issue(stage.prepared(), "svc-b"))


def test_before_anything_was_issued_an_identity_waits(stage: Stage) -> None:
    assert "nothing was issued so far" in why(stage)
    issue(stage)
    assert waiting(stage) == {}


def test_what_has_ended_waits_for_the_next(stage: Stage) -> None:
    issue(stage)
    assert waiting(stage, later=DAY - timedelta(seconds=1)) == {}
    assert "what was issued ended on" in why(stage, later=DAY)


@pytest.mark.parametrize(
    "change", [{"names": ["svc-c.internal"]}, {"use": "both"}, {"key": "pkcs11:token=a;object=b"}]
)
def test_what_was_issued_for_something_else_cannot_stand_for_it(
    stage: Stage, change: dict[str, Any]
) -> None:
    issue(stage)
    stage.identities["svc-b"] |= change
    assert "is for other names, another use or another key" in why(stage)


@pytest.mark.parametrize(
    "change",
    [{"lifetime": "1h"}, {"key_type": "p384"}, {"issuer": "other"}, {"reuse_key": True}],
)
def test_what_only_would_be_issued_otherwise_serves_meanwhile(
    stage: Stage, change: dict[str, Any]
) -> None:
    issue(stage)
    stage.issuers["other"] = LOCAL
    stage.identities["svc-b"] |= change
    assert waiting(stage) == {}


def test_damage_is_a_reason_to_wait(stage: Stage) -> None:
    issue(stage)
    (place_of(stage.state, "svc-b") / "1" / "key.pem").unlink()
    assert "cannot be read any more" in why(stage)


@pytest.mark.parametrize("order", [None, [], {"names": "svc-b"}])
def test_a_record_of_nonsense_stands_for_nothing(stage: Stage, order: object) -> None:
    issue(stage)
    record = place_of(stage.state, "svc-b") / "1" / "issued.json"
    record.write_text(json.dumps({"order": order}))
    assert "is for other names" in why(stage)


def test_names_that_no_certificate_can_have_are_an_error_in_the_spec(stage: Stage) -> None:
    stage.identities["svc-b"]["names"] = ["spiffe://Example.org/a"]
    info, error = waiting(stage)["svc-b"]
    assert info.slug == "identity-not-issued-yet"
    assert (error.slug, error.severity) == ("spec-invalid-value", Severity.ERROR)
    assert error.where.path == "identities.svc-b.names"
    assert "trust domain" in error.seen


def test_below_a_ca_that_has_ended_the_wait_is_in_vain(stage: Stage) -> None:
    issue(stage)
    slugs = [one.slug for one in waiting(stage, later=4000 * DAY)["svc-b"]]
    assert slugs == ["identity-not-issued-yet", "cert-expired"]


def test_a_stand_in_has_the_names_and_use_of_the_spec_and_says_nothing_of_itself(
    stage: Stage,
) -> None:
    made, now = stage.prepared(), stage.clock.now()
    waits = waiting(stage)
    material = with_stand_ins(Material(), waits, made.loaded, made.layout, now)
    identity = material.identities["svc-b"]
    assert identity.findings == waits["svc-b"]
    said = check_identity(identity, role=Role.SERVER, now=now, names=["other.internal"])
    kept = without_stand_ins(said, waits, made.loaded, made.layout)
    assert {one.slug for one in kept} == {"identity-not-issued-yet", "name-not-covered"}
    (named,) = [one for one in kept if one.slug == "name-not-covered"]
    assert named.where.path == "identities.svc-b.names"


def test_a_stand_in_whose_names_only_the_issuer_knows_is_judged_by_no_name(stage: Stage) -> None:
    stage.issuers["dev-ca"] = {"type": "spiffe"}
    stage.identities["svc-b"] = {"issuer": "dev-ca", "use": "server"}
    made, waits, now = stage.prepared(), waiting(stage), stage.clock.now()
    material = with_stand_ins(Material(), waits, made.loaded, made.layout, now)
    identity = material.identities["svc-b"]
    assert identity.usable
    said = check_identity(identity, role=Role.SERVER, now=now, names=["other.internal"])
    kept = without_stand_ins(said, waits, made.loaded, made.layout)
    assert [one.slug for one in kept] == ["identity-not-issued-yet"]


def test_what_is_wrong_with_a_token_is_told_while_its_certificate_is_waited_for(
    stage: Stage,
) -> None:
    token = TokenKey(uri=Pkcs11Uri(token="dev", object="svc-b"))
    away = found("pkcs11-token-absent", "it is away", where=Where(path="identities.svc-b.key"))
    loaded = load_issued(stage.state, "svc-b", token, (away,))
    made, waits, now = stage.prepared(), waiting(stage), stage.clock.now()
    before = Material(identities={"svc-b": loaded})
    identity = with_stand_ins(before, waits, made.loaded, made.layout, now).identities["svc-b"]
    assert identity.findings == (*waits["svc-b"], away)
    assert (identity.token, identity.key) == (token, None)
    assert identity.usable


def test_what_is_said_of_others_stays_as_it_is(stage: Stage) -> None:
    made = stage.prepared()
    other = found("cert-expired", "it has", where=Where(file="/etc/other.pem"))
    assert without_stand_ins([other], ["svc-b"], made.loaded, made.layout) == (other,)


def unusable(stage: Stage, *, waits: bool = True) -> list[tuple[str, Severity]]:
    made = stage.prepared()
    made.waiting = ("svc-b",) if waits else ()  # type: ignore[misc]  # a stand-in of the test
    told = issuer_findings(made, stage.clock.now())
    assert all(one.slug == "issuer-unusable" for one in told)
    return [(one.seen, one.severity) for one in told]


def test_a_ca_that_is_there_is_usable_and_one_that_is_not_is_told(stage: Stage) -> None:
    assert unusable(stage) == []
    (stage.folder / "ca").rename(stage.folder / "away")
    ((seen, severity),) = unusable(stage)
    assert severity is Severity.ERROR
    assert "issuer 'dev-ca' cannot issue: " in seen
    ((_, severity),) = unusable(stage, waits=False)
    assert severity is Severity.WARNING


def test_a_ca_that_has_ended_is_told(stage: Stage) -> None:
    stage.clock.move(4000 * DAY)
    ((seen, _),) = unusable(stage)
    assert "ended on" in seen


@pytest.mark.parametrize(
    ("program", "usable"), [("./issue", False), ("sh", True), ("no-such", False)]
)
def test_a_program_is_looked_for_as_it_will_be_started(
    stage: Stage, program: str, usable: bool
) -> None:
    stage.issuers["dev-ca"] = {"type": "command", "command": [program]}
    assert (unusable(stage) == []) is usable
    if program == "./issue":
        (stage.folder / "issue").touch(mode=0o755)
        assert unusable(stage) == []


def test_an_issuer_that_nobody_uses_is_not_looked_at(stage: Stage) -> None:
    stage.issuers["idle"] = {"type": "local", "directory": "nowhere"}
    assert unusable(stage) == []
