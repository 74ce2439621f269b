"""Certificates and keys made here, as files (edge: the file system)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.keys.output import Output, cannot_write, write_new

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from handclasp.ca.development import Issued


def write_new_pairs(
    folder: Path, pairs: Mapping[str, Issued], *, without_key: frozenset[str] = frozenset()
) -> tuple[Path, ...]:
    """NAME.pem (0644) and NAME.key (0600) for each pair, all of them or none; returns the paths.

    The folder is made (0700) when there is none. `without_key` names pairs whose key is not
    written, as that of a CA which shall sign nothing more.

    Raises UsageError when one of the files exists already, EnvironmentFault when they cannot be
    written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise cannot_write(problem, folder) from None
    return write_new(
        _files(folder, pairs, without_key),
        hint="Name a new directory; keys and certificates are never written over.",
    )


def _files(
    folder: Path, pairs: Mapping[str, Issued], without_key: frozenset[str]
) -> Iterator[Output]:
    for name, pair in pairs.items():
        yield Output(path=folder / f"{name}.pem", data=pair.certificate_pem(), private=False)
        if name not in without_key:
            key = pair.key_pem().reveal()
            yield Output(path=folder / f"{name}.key", data=key, private=True)
