"""What ends is read from the certificates once, and anew when something else is in effect."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from cryptography import x509

from handclasp.agent.in_use import InUse
from handclasp.certs.material import Material, TrustMaterial
from tests import pki

if TYPE_CHECKING:
    from handclasp.agent.status import Snapshot

ROOT = pki.authority("Root")


def applied(**trust: Any) -> Any:
    """A plan that uses one trust."""
    material = Material(
        trust={"company": TrustMaterial(name="company", anchors=(ROOT.certificate,), **trust)}
    )
    return SimpleNamespace(
        prepared=SimpleNamespace(material=material, spec=SimpleNamespace(identities={})),
        plan=SimpleNamespace(identities=(), trust=(("company", "v1"),)),
    )


def moment(applied: Any, **in_force: TrustMaterial) -> Snapshot:
    return cast("Snapshot", SimpleNamespace(applied=applied, in_force=in_force))


def test_one_plan_is_read_once_and_the_next_one_anew() -> None:
    in_use, first = InUse(), applied()
    told = in_use.of(moment(first))
    assert [one.kind for one in told] == ["trust"]
    assert in_use.of(moment(first)) is told
    again = in_use.of(moment(applied()))
    assert again == told
    assert again is not told


def test_lists_that_are_kept_past_their_end_are_read_anew_when_they_change() -> None:
    in_use, kept = InUse(), applied(lists_kept=timedelta(days=1))
    ends = []
    for days in (3, 7):
        crl = x509.load_pem_x509_crl(pki.crl(ROOT, next_update=pki.NOW + timedelta(days=days)))
        now = TrustMaterial(name="company", anchors=(ROOT.certificate,), crls=(crl,))
        told = in_use.of(moment(kept, company=now))
        assert in_use.of(moment(kept, company=now)) is told
        ends += [(one.not_after - pki.NOW).days for one in told if one.kind == "crl"]
    assert ends == [3, 7]
