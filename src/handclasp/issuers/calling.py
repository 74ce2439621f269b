"""Issuers that want to be asked before the lifetime says so. Pure.

SPIFFE pushes what is new; an ACME server may move the window for renewal, when it has to revoke what it gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from handclasp.issuers.protocol import Wanted


@runtime_checkable
class Calling(Protocol):
    """What such an issuer has beside protocol.Issuer."""

    async def until_called(self, wanted: Wanted) -> None:
        """Returns once the issuer wants `wanted.current` replaced, and not before; cancelled, it hangs up.

        Raises IssuerError when it cannot be listened to (any more): that is no failed renewal.
        """
        ...
