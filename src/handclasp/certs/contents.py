"""What was found in a file: objects in file order, and findings about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509

from handclasp.certs.private_keys import FoundKey, FoundPublicKey
from handclasp.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.findings import Finding

MOST_FINDINGS = 100
"""How many are told of one file."""
Signed: TypeAlias = (
    x509.Certificate | x509.CertificateSigningRequest | x509.CertificateRevocationList
)
Value: TypeAlias = Signed | FoundKey | FoundPublicKey


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object with the 1-based line its PEM block starts on (None in binary files)."""

    value: Value
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file holds, in file order. `format` is pem, der, pkcs7, pkcs12, base64 or unknown."""

    source: str
    format: str
    objects: tuple[FoundObject, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def certificates(self) -> tuple[x509.Certificate, ...]:
        return tuple(o.value for o in self.objects if isinstance(o.value, x509.Certificate))

    @property
    def keys(self) -> tuple[FoundKey, ...]:
        return tuple(o.value for o in self.objects if isinstance(o.value, FoundKey))

    @property
    def csrs(self) -> tuple[x509.CertificateSigningRequest, ...]:
        return tuple(
            o.value for o in self.objects if isinstance(o.value, x509.CertificateSigningRequest)
        )

    @property
    def crls(self) -> tuple[x509.CertificateRevocationList, ...]:
        return tuple(
            o.value for o in self.objects if isinstance(o.value, x509.CertificateRevocationList)
        )


def bounded(findings: Sequence[Finding], unlisted: int = 0) -> tuple[Finding, ...]:
    """A damaged bundle may have thousands of problems of one cause: the first ones tell as much.

    `unlisted` is how many there are beyond those. If any is an error, one of those given is.
    """
    if len(findings) <= MOST_FINDINGS and not unlisted:
        return tuple(findings)
    listed, rest = findings[: MOST_FINDINGS - 1], findings[MOST_FINDINGS - 1 :]
    worst = next((one for one in rest if one.severity is Severity.ERROR), rest[0])
    seen = f"{worst.seen}; and {len(rest) - 1 + unlisted} more problems of this file are not listed"
    return (*listed, replace(worst, seen=seen))
