"""Pages that are generated from the code: `python -m handclasp.cli.docs --write` or `--check`.

For developers; a page is added by a line in `GENERATORS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handclasp.cli.documents import DOCUMENTS, document_schema
from handclasp.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable


def schema_text() -> str:
    """The JSON Schema as `handclasp schema` prints it."""
    from handclasp.spec.schema import spec_schema

    return json.dumps(spec_schema(), indent=2, ensure_ascii=False) + "\n"


def spec_page() -> str:
    """docs/reference/spec.md."""
    from handclasp.spec.reference import spec_reference

    return spec_reference()


def cli_page() -> str:
    """docs/reference/cli.md."""
    from handclasp.cli import reference

    return reference.cli_page()


def _document(command: str) -> Callable[[], str]:
    def generate() -> str:
        return json.dumps(document_schema(command), indent=2, ensure_ascii=False) + "\n"

    return generate


GENERATORS: dict[str, Callable[[], str]] = {
    "docs/reference/cli.md": cli_page,
    "docs/reference/spec.md": spec_page,
    "docs/reference/handclasp.schema.json": schema_text,
    **{
        f"docs/reference/json/{command.replace(' ', '-')}.schema.json": _document(command)
        for command in DOCUMENTS
    },
}
"""Path in the repository → its text."""


def outdated(root: Path) -> list[str]:
    """The generated files under `root` that are missing or differ from what the code says."""
    return [
        name
        for name, generate in GENERATORS.items()
        if not (root / name).is_file() or (root / name).read_text("utf-8") != generate()
    ]


def write(root: Path) -> list[str]:
    """Write those that are outdated; returns their names."""
    names = outdated(root)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(GENERATORS[name](), "utf-8")
    return names


@click.command(epilog="Example: python -m handclasp.cli.docs --check")
@click.option("--write/--check", "writes", default=False, help="Write the files, or compare them.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="The repository; default: the current directory.",
)
@click.pass_context
def main(context: click.Context, *, writes: bool, root: Path) -> None:
    """Write the generated files of docs/, or say which of them the code has outgrown."""
    if writes:
        for name in write(root):
            click.echo(f"wrote {name}", err=True)
        return
    names = outdated(root)
    for name in names:
        click.echo(f"{name} is out of date; run `python -m handclasp.cli.docs --write`", err=True)
    context.exit(int(ExitCode.FINDINGS if names else ExitCode.OK))


if __name__ == "__main__":
    main()
