"""Options that several commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_SPEC = "handclasp.yaml"


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """-c FILE, --nginx PATH, --state-dir DIR."""
    for option in (
        click.option(
            "--state-dir",
            type=click.Path(path_type=Path),
            help="State directory, instead of the spec's or the usual one.",
        ),
        click.option("--nginx", metavar="PATH", help="The nginx program to use."),
        click.option(
            "-c",
            "--config",
            "spec",
            type=click.Path(path_type=Path),
            default=DEFAULT_SPEC,
            show_default=True,
            help="The spec file.",
        ),
    ):
        command = option(command)
    return command


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--format text|json."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="For people or for programs.",
    )(command)


def folder_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """-o DIR, as `folder`."""
    return click.option(
        "-o",
        "--output",
        "folder",
        type=click.Path(path_type=Path),
        default=Path(),
        help="Directory to write to; default: the current one.",
    )(command)


class Moment(click.ParamType[datetime]):
    """ISO 8601; a bare date means 00:00 UTC, a time without zone is UTC."""

    name = "date"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Aware datetime, or a usage error."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an ISO 8601 date such as 2027-03-01", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
