"""How many of what, in words for people."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """`1 day`, `2 days`: a number with its noun, which takes a plain s."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
