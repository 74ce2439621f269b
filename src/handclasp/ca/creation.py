"""A new CA: a root and an issuing intermediate below it. Pure: values in, values out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.ca.issuing import crl_url
from handclasp.ca.ledger import ISSUING, ROOT
from handclasp.ca.profile import (
    LONGEST_COMMON_NAME,
    Signer,
    Validity,
    intermediate_certificate,
    root_certificate,
    subject_name,
)

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import (
        CertificateIssuerPrivateKeyTypes,
        CertificatePublicKeyTypes,
    )

_LONGEST_NAME = LONGEST_COMMON_NAME - 20
"""Of the organisation: " Issuing CA " and a mark follow it in the common name."""
ROOT_LIFETIME = timedelta(days=3650)
ISSUING_LIFETIME = timedelta(days=3 * 365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a new CA shall be. Constraints are put into the intermediate, and by choice into the root."""

    organisation: str
    root_lifetime: timedelta = ROOT_LIFETIME
    lifetime: timedelta = ISSUING_LIFETIME
    constraints: x509.NameConstraints | None = None
    constrain_root: bool = False
    crl_base: str | None = None

    def __post_init__(self) -> None:
        name = self.organisation
        if not name.isprintable() or name != name.strip() or not 1 <= len(name) <= _LONGEST_NAME:
            raise ValueError(f"the name of a CA has 1 to {_LONGEST_NAME} printable characters")
        if self.lifetime > self.root_lifetime:
            raise ValueError("the issuing CA would outlive the root: make --lifetime shorter")

    def settings(self) -> dict[str, str]:
        """What the ledger keeps of it."""
        kept = {"organisation": self.organisation}
        return kept if self.crl_base is None else {**kept, "crl_url": self.crl_base}


def make_certificates(
    wishes: Wishes,
    now: datetime,
    *,
    root_key: CertificateIssuerPrivateKeyTypes,
    issuing_key: CertificatePublicKeyTypes,
) -> dict[str, x509.Certificate]:
    """The certificates of both, by role. Each CA has a name of its own: two of one name with different
    keys are told apart by nothing but the failure."""
    mark = secrets.token_hex(2)
    root_name = subject_name(f"{wishes.organisation} Root CA {mark}", wishes.organisation)
    issuing_name = subject_name(f"{wishes.organisation} Issuing CA {mark}", wishes.organisation)
    root = root_certificate(
        root_name,
        root_key,
        Validity.starting(now, wishes.root_lifetime),
        path_length=1,
        constraints=wishes.constraints if wishes.constrain_root else None,
    )
    issuing = intermediate_certificate(
        Signer(certificate=root, key=root_key),
        issuing_name,
        issuing_key,
        Validity.starting(now, wishes.lifetime).within(root),
        constraints=wishes.constraints,
        crl_url=crl_url(wishes.crl_base, ROOT),
    )
    return {ROOT: root, ISSUING: issuing}
