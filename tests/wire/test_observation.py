from __future__ import annotations

import pytest

from handclasp.wire.observation import Target


@pytest.mark.parametrize(
    "places",
    [
        {},
        {"host": "h"},
        {"port": 1},
        {"host": "h", "port": 1, "unix_path": "/s"},
        {"host": "h", "unix_path": "/s"},
        {"host": "", "port": 1},
        {"host": "h", "port": 70000},
    ],
)
def test_a_target_is_exactly_one_place(places: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"host and port, or a unix path|nobody can be reached"):
        Target(**places)  # type: ignore[arg-type]


def test_a_target_reads_as_people_write_it() -> None:
    assert str(Target(host="h.example", port=443)) == "h.example:443"
    assert str(Target(host="::1", port=443)) == "[::1]:443"
    assert str(Target(unix_path="/run/s")) == "unix:/run/s"
