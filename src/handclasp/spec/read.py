"""Reading the spec file (edge: files)."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from handclasp.errors import ExitCode
from handclasp.findings import Finding, FindingsError, Where, found
from handclasp.spec.load import LoadedSpec, parse_spec
from handclasp.spec.yaml_text import SIZE_LIMIT


def read_spec(path: Path | str) -> LoadedSpec:
    """The spec in the file at `path`; its relative paths are taken from the file's directory.

    Raises FindingsError (exit code 2) when the file cannot be read or is not a spec.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            # One byte more than a spec may have: the parser then says that it is too large.
            data = stream.read(SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise FindingsError([_unreadable(path, error)], exit_code=ExitCode.USAGE) from None
    return parse_spec(data, source=str(path), base=PurePosixPath(path.absolute().parent))


def _unreadable(path: Path, error: OSError | ValueError) -> Finding:
    if isinstance(error, FileNotFoundError):
        seen = "the file does not exist"
        fix = f"Give the path of a spec, or write one: `handclasp init egress -o {path}`."
    elif isinstance(error, IsADirectoryError):
        seen, fix = "this is a directory, not a file", "Give the path of the spec in it."
    elif isinstance(error, PermissionError):
        seen, fix = "this user may not read the file", "Run as a user who may, or change its mode."
    else:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        seen, fix = f"the file cannot be read: {reason}", None
    return found("spec-unreadable", seen, where=Where(str(path)), fix=fix)
