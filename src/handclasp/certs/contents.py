"""What was found in a file: objects in file order, and findings about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509

from handclasp.certs.private_keys import FoundKey, FoundPublicKey

if TYPE_CHECKING:
    from handclasp.findings import Finding

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
