"""A change that was not taken."""

from __future__ import annotations

from handclasp.errors import ExitCode, HandclaspError


class ChangeRefused(HandclaspError):
    """A change was not taken; what was in effect before still is."""

    exit_code = ExitCode.FINDINGS
