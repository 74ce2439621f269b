"""What an issuer is asked, and what it gives or why not. Pure.

An issuer gets a signing request and gives a chain; it neither writes files nor knows what is served.
What it gives is judged (``judge``) before anybody else sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from handclasp.errors import EnvironmentFault

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from handclasp.ca.profile import Use
    from handclasp.certs.secret import Secret

    IssuedKey = Secret[CertificateIssuerPrivateKeyTypes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A certificate that is asked for.

    ``names`` are the subject alternative names; ``name`` is the first as the spec has it, for the
    subject of an issuer that sets one. ``request`` is signed by the key the certificate is for: an
    EC, RSA or Ed25519 key, possibly in a token. It is None for an issuer with ``makes_key``.
    ``current`` is the leaf served now, for issuers that renew by it (ACME's ARI, RFC 9773).
    """

    identity: str
    name: str
    names: tuple[x509.GeneralName, ...]
    use: Use
    lifetime: timedelta | None = None
    request: x509.CertificateSigningRequest | None = None
    current: x509.Certificate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """What an issuer gave.

    ``chain`` is the leaf and then the CAs above it, without the root (one given is dropped).
    ``key`` only from an issuer that makes it.
    ``renew_at`` is when the issuer wants to be asked again (aware UTC); without it two thirds of the
    lifetime hold.
    """

    chain: tuple[x509.Certificate, ...]
    key: IssuedKey | None = None
    renew_at: datetime | None = None


class IssuerError(EnvironmentFault):
    """An issuer gave nothing.

    ``message`` is one sentence that names the issuer's side of it, ``hint`` what to do.
    ``retry_after`` is what the issuer itself asked for (Retry-After). ``permanent`` says that asking
    the same again will not help until somebody changes something; it is then asked rarely.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after: timedelta | None = None,
        permanent: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        self.permanent = permanent


class Issuer(Protocol):
    """One source of certificates, made from its section of the spec.

    ``issue`` may be called for several identities at once and is cancelled when it takes too long, so
    that blocking work belongs in a thread and children end with the call. It raises IssuerError, and
    nothing else on purpose.
    """

    @property
    def makes_key(self) -> bool:
        """The issuer makes the key: it is asked without a request, and must give one."""
        ...

    async def issue(self, wanted: Wanted) -> Issued:
        """One certificate for `wanted`. Raises IssuerError."""
        ...
