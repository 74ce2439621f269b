"""``handclasp explain``: what a finding means and what to do about it."""

from __future__ import annotations

import json
import textwrap
from difflib import get_close_matches
from typing import TYPE_CHECKING

import click

from handclasp.errors import UsageError
from handclasp.findings import ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.findings import Entry

_WIDTH = 88


@click.command(epilog="Example: handclasp explain --slug upstream-name-mismatch")
@click.option("--slug", metavar="SLUG", help="A finding's slug, or its code such as HC203.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
)
def explain(slug: str | None, output_format: str) -> None:
    """Print what a finding means, what to do about it and where to read more."""
    if slug is None:
        raise UsageError(
            "Nothing to explain: reading logs is not there yet.",
            hint="Name a finding with --slug SLUG; docs/reference/findings lists all of them.",
        )
    entry = _entry_named(slug)
    if output_format == "json":
        click.echo(json.dumps(entry.as_json(), indent=2, ensure_ascii=False))
    else:
        click.echo(_as_text(entry))


def _entry_named(name: str) -> Entry:
    """The entry with this slug or code, in any case; raises UsageError with near names."""
    wanted = name.strip().lower()
    for entry in ENTRIES.values():
        if wanted in {entry.slug, entry.code.lower()}:
            return entry
    near = get_close_matches(wanted, ENTRIES, n=3)
    near += [slug for slug in ENTRIES if wanted and wanted in slug and slug not in near]
    hint = (
        f"Did you mean {' or '.join(near[:5])}?"
        if near
        else "docs/reference/findings lists all findings."
    )
    raise UsageError(f"There is no finding {name!r}.", hint=hint)


def _as_text(entry: Entry) -> str:
    """The entry for people, wrapped, with the headings of its page."""
    facts = entry.as_json()
    head = f"{entry.slug} ({entry.code}): {entry.severity.value}, {', '.join(facts['kinds'])}"
    if entry.sides:
        head += f"; to be put right at: {', '.join(facts['sides'])}"
    parts = [
        head,
        _section("What it means", [entry.meaning]),
        _section("What to do", [entry.fix]),
    ]
    if entry.references:
        parts.append(_section("References", entry.references))
    if entry.see_also:
        parts.append(_section("See also", entry.see_also))
    return "\n\n".join(parts)


def _section(title: str, paragraphs: Iterable[str]) -> str:
    wrapped = (
        textwrap.fill(
            paragraph,
            width=_WIDTH,
            initial_indent="  ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for paragraph in paragraphs
    )
    return "\n".join([title, *wrapped])
