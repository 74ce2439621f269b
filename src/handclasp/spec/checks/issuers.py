"""Identities that are issued: what belongs to them, what does not, and whether their use fits the links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import Finding, found
from handclasp.spec.issuers import CommandIssuer
from handclasp.spec.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Identity, Spec

_FOR_ISSUED = ("names", "use", "lifetime", "key_type", "reuse_key")
_FOR_FILES = {
    "password": "the key is made by handclasp, and is not encrypted",
    "allow_wide_key_mode": "the key is made by handclasp, for itself alone",
}


def check_issuers(loaded: LoadedSpec) -> Iterator[Finding]:
    """Keys that belong to the other kind of identity, missing names, and uses that no link has."""
    for name, identity in loaded.spec.identities.items():
        if identity.issuer is None:
            yield from _from_file(loaded, name, identity)
        else:
            yield from _issued(loaded, name, identity)
            yield from _uses(loaded, name, identity)


def _from_file(loaded: LoadedSpec, name: str, identity: Identity) -> Iterator[Finding]:
    for key in _FOR_ISSUED:
        if key in identity.model_fields_set:
            yield found(
                "spec-inconsistent",
                f"`{key}` is for an identity with an `issuer`, and this one has a `certificate`",
                where=loaded.key("identities", name, key),
                fix=f"Leave `{key}` out, or write `issuer` in the place of `certificate`.",
            )


def _issued(loaded: LoadedSpec, name: str, identity: Identity) -> Iterator[Finding]:
    place = ("identities", name)
    issuer = loaded.spec.issuers.get(identity.issuer or "")
    if identity.names is None and issuer is not None and not issuer.names_by_itself:
        yield found(
            "spec-missing-key",
            f"identity '{name}' is issued and has no `names`",
            where=loaded.key(*place),
            fix="Add the names its certificate is to carry: `names: [svc-b.internal]`.",
        )
    for key, reason in _FOR_FILES.items():
        if key in identity.model_fields_set:
            yield found(
                "spec-without-effect",
                f"`{key}` has no effect: {reason}",
                where=loaded.key(*place, key),
            )
    if identity.key is None:
        return
    if not isinstance(identity.key, Pkcs11Uri):
        yield found(
            "spec-inconsistent",
            "`key` names a file, and with `issuer` handclasp makes the key itself",
            where=loaded.where(*place, "key"),
            fix="Leave `key` out (`reuse_key: true` keeps the one that was made), or name a key in a"
            " token: `key: pkcs11:…`.",
        )
        return
    if identity.key_type is not None:
        yield found(
            "spec-without-effect",
            "`key_type` has no effect: the key is in a token",
            where=loaded.key(*place, "key_type"),
        )
    if issuer is not None and (
        issuer.brings_key or (isinstance(issuer, CommandIssuer) and issuer.makes_key)
    ):
        yield found(
            "spec-inconsistent",
            f"issuer '{identity.issuer}' makes the key itself, and this key is in a token",
            where=loaded.where(*place, "key"),
            fix="Leave `key` out, or choose an issuer that signs a request.",
        )


def _uses(loaded: LoadedSpec, name: str, identity: Identity) -> Iterator[Finding]:
    wanted = identity.use or "client"
    for use, link in _roles(loaded.spec, name):
        if wanted not in (use, "both"):
            both = "both" if len({role for role, _ in _roles(loaded.spec, name)}) > 1 else use
            yield found(
                "spec-inconsistent",
                f"identity '{name}' is issued for `use: {wanted}`, and link {link} needs a {use}"
                " certificate",
                where=loaded.where("identities", name, "use"),
                fix=f"Write `use: {both}`.",
            )
            return


def _roles(spec: Spec, name: str) -> Iterator[tuple[str, str]]:
    """As what links use an identity, and which."""
    for link in spec.egress:
        if name in (link.identity, *(route.identity for route in link.routes)):
            yield "client", link.name
    for ingress in spec.ingress:
        if ingress.identity == name:
            yield "server", ingress.name
        if ingress.backend_tls is not None and ingress.backend_tls.identity == name:
            yield "client", ingress.name
