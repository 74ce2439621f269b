"""The agent's own log: one line per event, as text for people or JSON for machines, on stderr."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOGGER = logging.getLogger("handclasp.agent")


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        tail = " ".join(f"{name}={_plain(value)}" for name, value in fields.items())
        stamp = self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z")
        return f"{stamp} {record.levelname.lower():7} {record.getMessage()}" + (
            f" {tail}" if tail else ""
        )


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
                "level": record.levelname.lower(),
                "event": record.getMessage(),
                **getattr(record, "fields", {}),
            },
            default=str,
        )


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text) if " " in text or '"' in text or "\n" in text else text


def configure(style: str, *, stream: TextIO | None = None) -> None:
    """Sends the agent's events to `stream` (default stderr) as `text` or `json`."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonFormatter() if style == "json" else _TextFormatter())
    _LOGGER.handlers[:] = [handler]
    _LOGGER.setLevel(logging.INFO)
    _LOGGER.propagate = False


def info(event: str, **fields: object) -> None:
    """Something happened as it should."""
    _LOGGER.info(event, extra={"fields": fields})


def warning(event: str, **fields: object) -> None:
    """Something a person should know."""
    _LOGGER.warning(event, extra={"fields": fields})


def error(event: str, **fields: object) -> None:
    """Something a person must act on."""
    _LOGGER.error(event, extra={"fields": fields})
