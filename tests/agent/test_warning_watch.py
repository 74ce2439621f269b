"""What a person should know is told to hooks when it begins, and stands in systemd's line while it is so."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.agent.outage import Outage
from handclasp.agent.warning_watch import WarningWatch
from handclasp.certs.material import Material, TrustMaterial
from handclasp.monitor.expiring import Expiring
from handclasp.spec.events import Expiry
from tests import pki

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.agent.hooks import Hooks
    from handclasp.agent.status import Snapshot
    from handclasp.monitor.events import Event

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class Recorded:
    """Hooks that only remember what they are told."""

    events: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self.events]


@dataclass
class Stage:
    """A watch, and moments for it of one plan with one trust."""

    hooks: Recorded = field(default_factory=Recorded)
    applied: Any = None

    def __post_init__(self) -> None:
        self.watch = WarningWatch(cast("Hooks", self.hooks))
        self.holding(pki.authority("Test CA", not_before=NOW, not_after=NOW + timedelta(days=900)))

    def holding(self, ca: pki.Pair) -> None:
        """Another plan is in effect."""
        trust = TrustMaterial(name="company", anchors=(ca.certificate,))
        spec = SimpleNamespace(expiry=Expiry(), identities={})
        prepared = SimpleNamespace(material=Material(trust={"company": trust}), spec=spec)
        plan = SimpleNamespace(identities=(), trust=(("company", "v1"),), egress=(), ingress=("x",))
        self.applied = SimpleNamespace(prepared=prepared, plan=plan)

    def look(
        self,
        now: datetime = NOW,
        *,
        refused: str | None = None,
        lists: str | None = None,
        outage: Outage | None = None,
        in_force: dict[str, TrustMaterial] | None = None,
        tokens: tuple[Expiring, ...] = (),
    ) -> None:
        moment = SimpleNamespace(
            applied=self.applied,
            now=now,
            refused_change=refused,
            lists=lists,
            token_news=(outage, 0),
            in_force=in_force or {},
            callers_seen=None,
            issuer_tokens=tokens,
        )
        self.watch.look(cast("Snapshot", moment))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def heard(systemd: socket.socket) -> str | None:
    """The newest line."""
    last = None
    while True:
        try:
            last = systemd.recv(4096).decode()
        except BlockingIOError:
            return last


def test_troubles_are_told_when_they_begin_and_again_when_they_are_others() -> None:
    stage = Stage()
    outage = Outage(NOW, {"svc-b": "gone"})
    stage.look()
    assert stage.hooks.events == []
    for _ in range(2):
        stage.look(refused="no such key", lists="company: older", outage=outage)
    assert stage.hooks.names == ["change-refused", "lists-problem", "token-away"]
    assert [event.sentence for event in stage.hooks.events] == [
        "no such key",
        "company: older",
        "svc-b: gone",
    ]
    assert stage.hooks.events[2].details["identities"] == ["svc-b"]
    # The token's reason may change from look to look; that is one outage still.
    stage.look(refused="another", lists="company: gone", outage=Outage(NOW, {"svc-b": "slot 2"}))
    assert stage.hooks.names[3:] == ["change-refused", "lists-problem"]
    stage.look()
    stage.look(outage=outage)
    assert stage.hooks.names[5:] == ["token-away"]


def test_a_token_of_an_issuer_is_told_of_once_renewing_it_should_have_helped() -> None:
    stage = Stage()
    end = NOW + timedelta(days=32)
    token = Expiring("token", "theirs", "token", NOW, end, renewed=True)
    stage.look(NOW + timedelta(days=20), tokens=(token,))
    assert stage.hooks.events == []
    for day in (27, 31):
        stage.look(NOW + timedelta(days=day), tokens=(token,))
    assert stage.hooks.names == ["expiry-warning", "expiry-critical"]
    assert stage.hooks.events[0].sentence.startswith("the token of issuer theirs expires in 5 days")


def test_an_end_is_told_once_and_its_successor_for_itself() -> None:
    stage = Stage()
    stage.holding(pki.authority("Old", not_before=NOW, not_after=NOW + timedelta(days=90)))
    days = [NOW + timedelta(days=59), NOW + timedelta(days=59, hours=1), NOW + timedelta(days=61)]
    for day in days:
        stage.look(day)
    assert stage.hooks.names == ["expiry-warning"]
    assert stage.hooks.events[0].at == days[2]
    assert stage.hooks.events[0].details == {
        "level": "warning",
        "kind": "trust",
        "name": "company",
        "subject": "CN=Old,O=Example Org",
        "not_after": "2027-02-22T12:00:00+00:00",
        "seconds_left": 29 * 86400,
    }
    stage.look(NOW + timedelta(days=84))
    assert stage.hooks.names[1:] == ["expiry-critical"]
    stage.holding(pki.authority("New", not_before=NOW, not_after=NOW + timedelta(days=900)))
    stage.look(NOW + timedelta(days=84, hours=1))
    assert len(stage.hooks.events) == 2
    assert stage.watch.near == ()


def test_a_list_counts_as_nginx_has_it_and_where_nginx_has_none_as_the_agent_has_it() -> None:
    ca = pki.authority("Test CA", not_before=NOW, not_after=NOW + timedelta(days=900))
    old, new = (
        TrustMaterial(name="company", anchors=(ca.certificate,), crls=(crl(ca, days),))
        for days in (1, 30)
    )
    for kept, told in ((None, ["expiry-critical"]), (timedelta(hours=1), [])):
        stage = Stage()
        stage.holding(ca)
        loaded = replace(old, lists_kept=kept)
        stage.applied.prepared.material = Material(trust={"company": loaded})
        stage.look(in_force={"company": replace(new, lists_kept=kept)})
        assert stage.hooks.names == told
    # It is read anew when the agent has another one, of the same plan.
    stage.look(in_force={"company": loaded})
    assert stage.hooks.names == ["expiry-critical"]


def crl(ca: pki.Pair, days: int) -> x509.CertificateRevocationList:
    return (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.certificate.subject)
        .last_update(NOW - timedelta(days=30 - days))
        .next_update(NOW + timedelta(days=days))
        .sign(ca.private_key, hashes.SHA256())
    )


def test_systemds_line_has_the_trouble_while_it_lasts_and_then_no_more(
    systemd: socket.socket,
) -> None:
    stage = Stage()
    stage.look()
    assert heard(systemd) is None  # whoever announced the start has said it
    stage.look(refused="no such key")
    assert heard(systemd) == "STATUS=serving 1 links; change refused: no such key"
    stage.look(refused="no such key")
    assert heard(systemd) is not None  # again, since others write the line too
    stage.look()
    assert heard(systemd) == "STATUS=serving 1 links"
    stage.look()
    assert heard(systemd) is None


def test_systemds_line_names_the_gravest_end_and_how_many_more(systemd: socket.socket) -> None:
    stage = Stage()
    ca = pki.authority("Old", not_before=NOW, not_after=NOW + timedelta(days=90))
    stage.holding(ca)
    second = pki.authority("Older", not_before=NOW, not_after=NOW + timedelta(days=70))
    trust = TrustMaterial(name="company", anchors=(ca.certificate, second.certificate))
    stage.applied.prepared.material = Material(trust={"company": trust})
    stage.look(NOW + timedelta(days=65))
    line = heard(systemd)
    assert line is not None
    assert "the CA 'CN=Older,O=Example Org' of trust company expires in 5 days" in line
    assert line.endswith("(and 1 more)")
