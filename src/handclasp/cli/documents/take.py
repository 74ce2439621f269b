"""What `handclasp take` prints as JSON."""

from __future__ import annotations

from handclasp.cli.documents.model import Document


class TakeDocument(Document):
    """`handclasp take --format json`. `spec` stands for the whole spec, where nothing was named."""

    ok: bool
    """Everything asked for is in effect."""
    taken: list[str]
    """In effect as it lies on disk."""
    refused: dict[str, str]
    """What is not, and why; the old one serves on."""
