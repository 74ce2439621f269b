"""What one kind of issuer cannot do, of what the spec asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.findings import Finding, found
from handclasp.spec.issuer_acme import Acme
from handclasp.spec.issuer_spiffe import Spiffe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.spec.load import LoadedSpec
    from handclasp.spec.model import Identity


def check_issuer_kinds(loaded: LoadedSpec) -> Iterator[Finding]:
    """Names, uses and wishes that ACME or SPIFFE do not have."""
    for name, identity in loaded.spec.identities.items():
        section = loaded.spec.issuers.get(identity.issuer or "")
        if isinstance(section, Acme):
            yield from _acme_names(loaded, name, identity, section)
            yield from _acme_use(loaded, name, identity, section)
            yield from _idle(loaded, name, identity, ("lifetime",), "the ACME server decides")
        elif isinstance(section, Spiffe):
            wishes = ("lifetime", "key_type", "reuse_key")
            reason = "key and certificate are the Workload API's"
            yield from _idle(loaded, name, identity, wishes, reason)
            yield from _spiffe_ids(loaded, name, identity)


def _acme_names(
    loaded: LoadedSpec, name: str, identity: Identity, section: Acme
) -> Iterator[Finding]:
    for index, one in enumerate(identity.names or ()):
        where = loaded.where("identities", name, "names", index)
        if one.kind not in ("dns", "ip"):
            yield found(
                "spec-inconsistent",
                f"ACME gives certificates for DNS names and IP addresses, not for {one}",
                where=where,
                fix="Leave the name out, or choose another issuer.",
            )
        elif one.value.startswith("*.") and section.dns is None:
            yield found(
                "spec-inconsistent",
                f"{one.value} cannot be proven by http-01: ACME proves wildcards by DNS",
                where=where,
                fix="Write the names one by one, or `dns` at the issuer instead of what it has.",
            )
        elif one.kind == "ip" and section.dns is not None:
            yield found(
                "spec-inconsistent",
                f"{one.value} cannot be proven by dns-01: ACME proves IP addresses by HTTP",
                where=where,
                fix="Leave the address out, or write `listen` instead of `dns` at the issuer.",
            )


def _acme_use(
    loaded: LoadedSpec, name: str, identity: Identity, section: Acme
) -> Iterator[Finding]:
    use = identity.use or "client"
    if use == "server" or section.ca is not None:
        return
    # Without `ca` the server is one that the system's public CAs vouch for, most likely one of them.
    written = ("use",) if identity.use else ("issuer",)
    yield found(
        "acme-for-clients",
        f"identity '{name}' is asked of {section.directory} for `use: {use}`, and public CAs give"
        " certificates to servers alone",
        where=loaded.where("identities", name, *written),
    )


def _spiffe_ids(loaded: LoadedSpec, name: str, identity: Identity) -> Iterator[Finding]:
    ids = [one.value for one in identity.names or () if one.kind == "uri"]
    if len(ids) > 1:
        yield found(
            "spec-inconsistent",
            f"an X.509-SVID carries one SPIFFE ID, and identity '{name}' has {len(ids)}",
            where=loaded.where("identities", name, "names"),
            fix="Make an identity of each.",
        )


def _idle(
    loaded: LoadedSpec, name: str, identity: Identity, keys: tuple[str, ...], reason: str
) -> Iterator[Finding]:
    for key in keys:
        if key in identity.model_fields_set:
            yield found(
                "spec-without-effect",
                f"`{key}` has no effect: {reason}",
                where=loaded.key("identities", name, key),
            )
