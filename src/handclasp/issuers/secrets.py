"""Secrets that an issuer needs, read when it needs them (edge by keys.secret: files, environment)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.errors import UsageError
from handclasp.issuers.protocol import IssuerError
from handclasp.keys.secret import SecretSource

if TYPE_CHECKING:
    from handclasp.certs.secret import Secret
    from handclasp.spec.policy import SecretSource as Written


def read_secret(written: Written) -> Secret[bytes]:
    """The secret a spec names, as it is now: whoever replaces the file need not tell us.

    Raises IssuerError, for a running agent goes on without this issuer.
    """
    source = SecretSource(file=Path(written.file) if written.file else None, env=written.env)
    try:
        return source.read()
    except UsageError as error:
        raise IssuerError(error.message, hint=error.hint, permanent=True) from error
