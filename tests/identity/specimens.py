"""Callers to judge and to write down: each certificate made for the case at hand."""

from __future__ import annotations

import functools
import warnings

from cryptography import x509
from cryptography.x509.oid import NameOID

from handclasp.identity.caller import Caller, read_caller
from handclasp.identity.chain import Authorities
from handclasp.identity.rules import compile_rule
from handclasp.spec.values import AllowRule
from tests import pki

NOW = pki.NOW


@functools.cache
def root() -> pki.Pair:
    return pki.authority("Root")


@functools.cache
def issuing() -> pki.Pair:
    return pki.authority("Issuing CA, Europe", issuer=root())


Pair = tuple[x509.ObjectIdentifier, str]


def name(*rdns: Pair | list[Pair]) -> x509.Name:
    """RDNs in certificate order; one attribute, or a list of them for a multi-valued one."""
    with warnings.catch_warnings(action="ignore"):
        return x509.Name(
            [
                x509.RelativeDistinguishedName(
                    x509.NameAttribute(oid, value, _validate=False)
                    for oid, value in (rdn if isinstance(rdn, list) else [rdn])
                )
                for rdn in rdns
            ]
        )


def subject(common_name: str, **more: str) -> x509.Name:
    """CN with others before it: `O`, `OU`."""
    kinds = {"O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
    return name(
        *((kinds[kind], value) for kind, value in more.items()), (NameOID.COMMON_NAME, common_name)
    )


def caller(
    common_name: str = "svc-b",
    *,
    chained: bool = False,
    issuer: pki.Pair | None = None,
    **leaf: object,
) -> Caller:
    """`leaf` as for `pki.leaf`; `chained` builds the path to the root."""
    pair = pki.leaf(issuer or issuing(), common_name, **leaf)  # type: ignore[arg-type]
    chain = None
    if chained:
        anchors = [root().certificate]
        chain = Authorities(anchors, [issuing().certificate]).chain(pair.certificate, now=NOW)
    return read_caller(pair.certificate, chain=chain)


def holds(rule: str, who: Caller) -> bool:
    return compile_rule(AllowRule.parse(rule)).holds(who)
