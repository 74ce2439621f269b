"""What is freed goes back to the system."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from handclasp.agent.memory import give_back

MIB = 1024 * 1024


def resident() -> int:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_memory_below_something_that_stays_is_given_back() -> None:
    # Each too large for Python's own arenas, too small for a mapping of its own.
    many = [bytearray(2000) for _ in range(32 * MIB // 2000)]
    stays = bytearray(2000)
    before = resident()
    del many
    give_back()
    assert resident() < before - 16 * MIB
    assert len(stays) == 2000
