"""What may take the place of what, beyond what `check` asks of any material. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.certs import facts
from handclasp.findings import Finding, Where, found

if TYPE_CHECKING:
    from datetime import datetime

    from handclasp.certs.material import IdentityMaterial


def older(current: IdentityMaterial, new: IdentityMaterial) -> Finding | None:
    """A finding when the new certificate began and ends before the one in effect.

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
        f"{facts.label(now)} of identity {new.name} is older than the one in effect: it ends on"
        f" {_exact(now.not_valid_after_utc)}, the one in effect on {_exact(then.not_valid_after_utc)}",
        where=Where(str(new.certificate_file)),
    )


def _exact(moment: datetime) -> str:
    """To the second: certificates that are renewed often differ by less than a minute."""
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
