"""What may take the place of what, beyond what `check` asks of any material. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.findings import Finding, Where, found

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.certs.material import IdentityMaterial


def older(
    current: IdentityMaterial, new: IdentityMaterial, *, effect: str = "the one in effect"
) -> Finding | None:
    """A finding when the new certificate began and ends before the current one, which is called `effect`.

    Either alone is usual: a shorter lifetime from now on, or one that was issued with a longer one ahead.
    """
    then, now = current.leaf, new.leaf
    if then is None or now is None:
        return None
    began = now.not_valid_before_utc < then.not_valid_before_utc
    ends = now.not_valid_after_utc < then.not_valid_after_utc
    if not (began and ends):
        return None
    return found(
        "certificate-older-than-current",
        f"{facts.label(now)} of identity {new.name} is older than {effect}: it ends on"
        f" {_exact(now.not_valid_after_utc)}, that one on {_exact(then.not_valid_after_utc)}",
        where=Where(str(new.certificate_file)),
    )


def _exact(moment: datetime) -> str:
    """To the second: certificates that are renewed often differ by less than a minute."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
