"""Memory that a change needed for a moment goes back to the system (edge).

The allocator keeps what was freed below something that is still in use. An agent makes many small things for
a change, and would rest for weeks with the room they took.
"""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Takes a few milliseconds. Does nothing where the C library has no malloc_trim(3), as musl."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))
