"""From the section of an issuer in the spec to the issuer itself.

The one place that knows all kinds; each is imported when the spec has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.errors import InternalFault
from handclasp.nginx.layout import CHALLENGES
from handclasp.spec.issuer_acme import Acme
from handclasp.spec.issuer_spiffe import Spiffe
from handclasp.spec.issuer_vault import Vault
from handclasp.spec.issuers import CommandIssuer, LocalIssuer

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from handclasp.certs.secret import Secret
    from handclasp.issuers.acme_challenges import Challenges
    from handclasp.issuers.protocol import Issuer
    from handclasp.spec.issuer import IssuerSection
    from handclasp.spec.policy import SecretSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What issuers need beside their section.

    ``folder`` is the spec's directory, ``state`` the state directory, ``now`` the clock, ``worker_group``
    that of nginx's workers (None where they run as we do), and ``read_secret`` reads a secret of the spec
    (UsageError when it cannot be had).
    """

    folder: Path
    state: Path
    now: Callable[[], datetime]
    worker_group: int | None
    read_secret: Callable[[SecretSource], Secret[bytes]]


def issuer_for(section: IssuerSection, around: Surroundings) -> Issuer:
    """The issuer of a section. Raises EnvironmentFault when a package that it needs is not installed."""
    match section:
        case LocalIssuer():
            from handclasp.issuers import local

            password = section.password
            return local.LocalIssuer(
                _path(section.directory),
                password=lambda: around.read_secret(password) if password else None,
                now=around.now,
            )
        case CommandIssuer():
            from handclasp.issuers import command

            return command.CommandIssuer(
                section.command, folder=around.folder, makes_key=section.makes_key
            )
        case Acme():
            from handclasp.issuers import acme

            return acme.AcmeIssuer(
                section,
                state=around.state / "acme",
                challenges=_challenges(section, around),
                now=around.now,
            )
        case Vault():
            from handclasp.issuers import vault

            return vault.VaultIssuer(section)
        case Spiffe():
            from handclasp.issuers import spiffe

            return spiffe.SpiffeIssuer(section)
    raise InternalFault(f"there is no issuer of type {section.type}")


def _challenges(section: Acme, around: Surroundings) -> Challenges:
    if section.dns is not None:
        from handclasp.issuers.acme_dns import DnsProgram

        return DnsProgram(section.dns, folder=around.folder)
    from handclasp.issuers.acme_challenges import ChallengeFiles, answers_access

    if section.listen is not None:
        # The directory is there: whoever asks has seen to it that it is answered from.
        access = answers_access(around.worker_group)
        return ChallengeFiles(around.state / CHALLENGES, access=access)
    return ChallengeFiles(_path(section.challenges))


def _path(path: object) -> Path:
    from pathlib import Path

    return Path(str(path))
