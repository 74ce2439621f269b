"""What all documents have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A JSON object that a command prints; keys may be added to it."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)
