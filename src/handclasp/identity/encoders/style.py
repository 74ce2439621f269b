"""What a spec may choose about a dialect."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handclasp.backend.dialects import Field


class Detail(StrEnum):
    """Parts of an XFCC element beyond By and Hash (Envoy's set_current_client_cert_details)."""

    SUBJECT = "subject"
    CERT = "cert"
    CHAIN = "chain"
    DNS = "dns"
    URI = "uri"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """`names` renames headers of x-client-cert and x-ssl-cert. `xfcc_by` are the URI names of our own
    certificate; `xfcc_previous` is the value a trusted hop sent, to append to. `pem`, `info`: which of
    Traefik's two headers. `certificate`: whether the dialect handclasp carries the whole certificate.
    """

    names: Mapping[Field, str] = field(default_factory=dict)
    xfcc_details: frozenset[Detail] = frozenset(
        [Detail.SUBJECT, Detail.CERT, Detail.DNS, Detail.URI]
    )
    xfcc_by: tuple[str, ...] = ()
    xfcc_previous: str | None = None
    pem: bool = True
    info: bool = True
    certificate: bool = True
