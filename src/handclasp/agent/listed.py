"""Revocation lists where nginx decides by itself: the files that stand for what they name, and what no file
can stand for until nginx reads its lists again. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent.policies import genuine_lists
from handclasp.backend.certificate import serial_text
from handclasp.certs import facts
from handclasp.identity.denied import MOST_RECENT, denied_by, denied_lately_by
from handclasp.identity.names import loose_key
from handclasp.nginx.render.denied import issuer_directory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509

    from handclasp.certs.material import Material
    from handclasp.nginx.parts import IngressServer, Plan


def listed_files(plan: Plan, material: Material) -> dict[tuple[str, str], str]:
    """(issuer's directory, serial) → issuer's name of what lists name, for links without authorizer; of a
    long list the latest entries, since there is a file for each."""
    files: dict[tuple[str, str], str] = {}
    for server in plan.ingress:
        if server.authorizer is None and (serials := _latest(server, material)):
            names: dict[str, list[str]] = {}
            for name in server.issuers:
                names.setdefault(loose_key(name), []).append(name)
            places = {
                issuer: [(issuer_directory(server.trust, one), one) for one in several]
                for issuer, several in names.items()
            }
            for issuer, serial in serials:
                for directory, name in places.get(issuer, ()):
                    files[directory, serial_text(serial)] = name
    return files


def beyond_files(plan: Plan, loaded: Material, material: Material) -> Iterator[tuple[str, str]]:
    """Link, and what its list names that neither a file refuses nor the lists nginx has loaded."""
    for server in plan.ingress:
        if server.authorizer is not None:
            continue
        lists, before = _lists(server, material), denied_by(_lists(server, loaded))
        every = denied_by(lists)
        if beyond := every.serials - before.serials - denied_lately_by(lists).serials:
            told = f"{len(beyond)} certificates, beside the {MOST_RECENT} of a list revoked last"
            yield server.link, told
        for authority in material.authorities(server.trust, server.link):
            if every.holds_authority(authority) and not before.holds_authority(authority):
                yield (
                    server.link,
                    f"{facts.label(authority)} is revoked, and with it what it issued",
                )


def _latest(server: IngressServer, material: Material) -> frozenset[tuple[str, int]]:
    """The latest of each list, and what is on none yet."""
    lists = _lists(server, material)
    unlisted = material.trust[server.trust].withdrawn - denied_by(lists).serials
    return denied_lately_by(lists).serials | unlisted


def _lists(server: IngressServer, material: Material) -> tuple[x509.CertificateRevocationList, ...]:
    return genuine_lists(material.trust[server.trust], material.between(server.link))
