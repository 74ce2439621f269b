"""Where a secret comes from (edge: files and environment), and the redacting type it comes in."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.certs.secret import Secret
from handclasp.errors import UsageError
from handclasp.keys.files import PIPE_SILENCE_SECONDS, from_pipe

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Secret", "SecretSource"]

# Nobody types a longer passphrase; a larger file is the wrong file.
_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """`{file: PATH}` or `{env: NAME}`; exactly one of the two, never a literal."""

    file: Path | None = None
    env: str | None = None

    def __post_init__(self) -> None:
        if (self.file is None) == (self.env is None):
            raise ValueError("a secret is either {file: PATH} or {env: NAME}")

    def __str__(self) -> str:
        return f"file {self.file}" if self.file is not None else f"environment variable {self.env}"

    def read(self) -> Secret[bytes]:
        """The secret without its trailing newline.

        Raises UsageError when the file cannot be read or the variable is not set; the message
        names the source, never the value.
        """
        if self.env is not None:
            value = os.environb.get(os.fsencode(self.env))
            if value is None:
                raise UsageError(
                    f"environment variable {self.env} (a secret) is not set",
                    hint=f"Set {self.env} for this process, or use {{file: PATH}}.",
                )
            return Secret(_strip_newline(value))
        assert self.file is not None
        return Secret(_strip_newline(_read(self.file)))


def _read(path: Path) -> bytes:
    try:
        data = _content(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(
            f"secret file {path} cannot be read: {reason}",
            hint="Give the path of a file that holds the secret and that this user may read.",
        ) from None
    if len(data) > _LIMIT:
        raise UsageError(
            f"secret file {path} is larger than {_LIMIT // 1024} KiB",
            hint="Give the file that holds the passphrase, alone on one line.",
        )
    return data


def _content(path: Path) -> bytes:
    """One byte more than a secret may have, at most."""
    # Opening a FIFO that nobody writes to would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            with os.fdopen(descriptor, "rb", closefd=False) as stream:
                return stream.read(_LIMIT + 1)
        data = from_pipe(descriptor, _LIMIT + 1)
    finally:
        os.close(descriptor)
    if data is None:
        raise ValueError(f"nothing came out of the pipe for {PIPE_SILENCE_SECONDS:.0f} seconds")
    return data


def _strip_newline(value: bytes) -> bytes:
    # One newline with its carriage return, which editors and `echo` add; blanks may be meant.
    return value.removesuffix(b"\n").removesuffix(b"\r")
