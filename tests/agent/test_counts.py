"""What is counted, and under which labels."""

from __future__ import annotations

from handclasp.agent.counts import Counts


def test_identities_that_are_replaced_together_are_counted_each_for_itself() -> None:
    counts = Counts()
    counts.rotation(["svc-b", "server-a"], ok=True)
    counts.rotation(["svc-b"], ok=False)
    counts.rotation(["svc-b"], ok=True)
    assert counts.rotations == {
        ("svc-b", "committed"): 2,
        ("svc-b", "rolled_back"): 1,
        ("server-a", "committed"): 1,
    }
