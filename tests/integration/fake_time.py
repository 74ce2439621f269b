"""An nginx whose time passes as a test says, by libfaketime; agent and test have the real one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import absent

_LIBRARY = "*/faketime/libfaketime.so.1"
# Read at every look at the clock, of wall time and of the monotonic one, so workers need them too.
_VARIABLES = ("FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE")


@dataclass(frozen=True, slots=True)
class FakeTime:
    """`nginx`, a program to be given to handclasp in place of `binary`, and how far its clocks are ahead."""

    binary: Path
    nginx: Path
    _offset: Path

    @classmethod
    def of(cls, binary: Path, folder: Path) -> FakeTime:
        """For a build that is linked dynamically. Its workers must be able to enter the folder."""
        library = next(Path("/usr/lib").glob(_LIBRARY), None)
        if library is None:
            absent("libfaketime (apt install libfaketime)")
        made = cls(binary, folder / "nginx-in-another-time", folder / "offset")
        made.set(0)
        environment = "".join(f"env {name}; " for name in _VARIABLES)
        made.nginx.write_text(
            "#!/bin/sh\n"
            f"export LD_PRELOAD={shlex.quote(str(library))} FAKETIME_NO_CACHE=1\n"
            f"export FAKETIME_TIMESTAMP_FILE={shlex.quote(str(made._offset))}\n"
            f'exec {shlex.quote(str(binary))} -g {shlex.quote(environment)} "$@"\n'
        )
        made.nginx.chmod(0o755)
        return made

    def set(self, seconds: int) -> None:
        """So far ahead of the real time, from now on."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"+{seconds}\n")
        fresh.chmod(0o644)
        fresh.rename(self._offset)
