"""TLS profiles: names to nginx's protocols, cipher suites and groups.

Mozilla's Server Side TLS guidelines, version 5.7, without the DHE suites: they need a parameter file
and no client of this decade needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from handclasp.spec.policy import TlsPolicy

_INTERMEDIATE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
_PROTOCOLS = {"modern": ("TLSv1.3",), "intermediate": ("TLSv1.2", "TLSv1.3")}
_GROUPS = ("X25519", "prime256v1", "secp384r1")


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What goes into the configuration; `suites` are those of TLS 1.3 (empty: the library's)."""

    protocols: tuple[str, ...]
    ciphers: tuple[str, ...]
    suites: tuple[str, ...]
    groups: tuple[str, ...]


def tls_settings(policy: TlsPolicy) -> TlsSettings:
    """The settings of a policy: its own lists where written, else the profile's."""
    written = tuple(policy.ciphers or ())
    ciphers = tuple(name for name in written if not name.startswith("TLS_"))
    return TlsSettings(
        protocols=tuple(policy.protocols or _PROTOCOLS[policy.profile]),
        ciphers=ciphers or _INTERMEDIATE,
        suites=tuple(name for name in written if name.startswith("TLS_")),
        groups=tuple(policy.groups or _GROUPS),
    )
