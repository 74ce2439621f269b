"""From an identity of the spec to what an issuer is asked: names, key and signing request. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handclasp.ca.names import dns_name, email, ip_address, uri
from handclasp.ca.newkeys import KEY_TYPES
from handclasp.ca.profile import LONGEST_COMMON_NAME, Use, digest_for
from handclasp.issuers.protocol import Wanted
from handclasp.spec.pkcs11_uri import Pkcs11Uri

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from handclasp.spec.issuers import CertificateName
    from handclasp.spec.model import Identity

_MAKERS = {"dns": dns_name, "ip": ip_address, "uri": uri, "email": email}
_PURPOSES = {
    Use.CLIENT: (ExtendedKeyUsageOID.CLIENT_AUTH,),
    Use.SERVER: (ExtendedKeyUsageOID.SERVER_AUTH,),
    Use.BOTH: (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An identity as the spec has it now, for comparison with what something was issued for.

    ``key`` is the kind of the key, or the pkcs11: URI of one in a token.
    """

    identity: str
    issuer: str
    kind: str
    names: tuple[str, ...]
    use: Use
    lifetime: timedelta | None
    key: str
    reuse_key: bool = False

    def as_json(self) -> dict[str, Any]:
        """What is kept beside the certificate."""
        seconds = None if self.lifetime is None else self.lifetime.total_seconds()
        return {
            "issuer": self.issuer,
            "type": self.kind,
            "names": list(self.names),
            "use": self.use.value,
            "lifetime_seconds": seconds,
            "key": self.key,
        }

    def is_that_of(self, kept: object) -> bool:
        """Whether something was issued for just this: else it is issued anew, at leisure."""
        return bool(kept == self.as_json())

    def may_serve(self, kept: object) -> bool:
        """Whether what was issued for `kept` can stand for this meanwhile: names, use and the place of
        the key are those of the spec, whoever issued it and for however long."""
        if not isinstance(kept, dict):
            return False
        same = all(kept.get(key) == self.as_json()[key] for key in ("names", "use"))
        places = [str(key).startswith("pkcs11:") for key in (kept.get("key"), self.key)]
        return same and (kept.get("key") == self.key if any(places) else True)


def order_for(identity: str, written: Identity, kind: str) -> Order:
    """The order of an identity with an issuer; `kind` is the issuer's type."""
    in_token = isinstance(written.key, Pkcs11Uri)
    return Order(
        identity=identity,
        issuer=written.issuer or "",
        kind=kind,
        names=tuple(str(name) for name in written.names or ()),
        use=Use(written.use or "client"),
        lifetime=written.lifetime,
        key=str(written.key) if in_token else written.key_type or KEY_TYPES[0],
        reuse_key=written.reuse_key,
    )


def general_names(names: Sequence[CertificateName]) -> tuple[x509.GeneralName, ...]:
    """The names as certificates have them, once each. Raises ValueError by the rules of ca.names."""
    return tuple(dict.fromkeys(_MAKERS[name.kind](name.value) for name in names))


def wanted_for(
    order: Order,
    names: tuple[x509.GeneralName, ...],
    request: x509.CertificateSigningRequest | None,
    current: x509.Certificate | None,
) -> Wanted:
    """What the issuer is asked."""
    first = str(getattr(names[0], "value", "")) if names else order.identity
    return Wanted(
        identity=order.identity,
        name=first,
        names=names,
        use=order.use,
        lifetime=order.lifetime,
        request=request,
        current=current,
    )


def request_builder(
    names: tuple[x509.GeneralName, ...], use: Use
) -> x509.CertificateSigningRequestBuilder:
    """An unsigned request (RFC 2986). The subject has a common name where there is a DNS name that fits:
    authorities with a policy for subjects want one, and nobody else looks (RFC 9525 section 2)."""
    dns = next((name.value for name in names if isinstance(name, x509.DNSName)), "")
    attributes = []
    if 0 < len(dns) <= LONGEST_COMMON_NAME:
        attributes.append(x509.NameAttribute(NameOID.COMMON_NAME, dns))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        alternatives = x509.SubjectAlternativeName(names)
        builder = builder.add_extension(alternatives, critical=not attributes)
    return builder.add_extension(x509.ExtendedKeyUsage(_PURPOSES[use]), critical=False)


def signing_request(
    key: CertificateIssuerPrivateKeyTypes, names: tuple[x509.GeneralName, ...], use: Use
) -> x509.CertificateSigningRequest:
    """The request, signed with the key it is for."""
    return request_builder(names, use).sign(key, digest_for(key))
