"""Which certificates a revocation list is for, as OpenSSL tells it (get_crl_score in
crypto/x509/x509_vfy.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography import x509

from handclasp.certs import facts
from handclasp.certs.names import readable

if TYPE_CHECKING:
    from collections.abc import Iterable


def scope_problem(crl: x509.CertificateRevocationList) -> str | None:
    """Why OpenSSL does not take a list for what it is asked about: a part of the certificates only, or a
    critical extension it does not know (errors 44 and 36)."""
    for extension in crl.extensions:
        value = extension.value
        if isinstance(value, x509.IssuingDistributionPoint):
            if value.only_contains_ca_certs or value.only_contains_attribute_certs:
                return "is for other certificates than leaves (issuingDistributionPoint)"
            if value.only_some_reasons or value.indirect_crl:
                return "is partial or indirect (issuingDistributionPoint)"
        elif extension.critical and isinstance(value, x509.UnrecognizedExtension):
            return f"has an unknown critical extension ({extension.oid.dotted_string})"
    return None


def partition(crl: x509.CertificateRevocationList) -> str | None:
    """The distribution point that a list is confined to (RFC 5280 section 5.2.5); None for a whole one."""
    point = _issuing_point(crl)
    if point is None or not (point.full_name or point.relative_name):
        return None
    if point.full_name:
        return ", ".join(map(readable, point.full_name))
    return "a name relative to the issuer's"


def other_scope(crl: x509.CertificateRevocationList, certificate: x509.Certificate) -> str | None:
    """Why the list is not for this certificate (error 44, "different CRL scope"); None when it is."""
    point = _issuing_point(crl)
    if point is None:
        return None
    if point.only_contains_user_certs and facts.is_ca(certificate):
        return f"is for leaves alone, and {facts.label(certificate)} is a CA"
    if not (point.full_name or point.relative_name):
        return None
    own = _distribution_points(certificate)
    if any(_by_its_issuer(one, crl) and _same_point(one, point) for one in own):
        return None
    named = [readable(name) for one in own for name in one.full_name or ()]
    held = f"names {', '.join(named) or 'none of that form'}" if own else "names none"
    return (
        f"is for certificates that name the distribution point {partition(crl)}, and "
        f"{facts.label(certificate)} {held}"
    )


def _by_its_issuer(own: x509.DistributionPoint, crl: x509.CertificateRevocationList) -> bool:
    return own.crl_issuer is None or x509.DirectoryName(crl.issuer) in own.crl_issuer


def _same_point(own: x509.DistributionPoint, point: x509.IssuingDistributionPoint) -> bool:
    if own.full_name is None and own.relative_name is None:
        return True
    if own.relative_name or point.relative_name:
        return own.relative_name == point.relative_name
    return _common(own.full_name or (), point.full_name or ())


def _common(some: Iterable[x509.GeneralName], others: Iterable[x509.GeneralName]) -> bool:
    return not set(some).isdisjoint(others)


def _issuing_point(crl: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    try:
        return crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return None


def _distribution_points(certificate: x509.Certificate) -> tuple[x509.DistributionPoint, ...]:
    try:
        return tuple(
            certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
        )
    except x509.ExtensionNotFound:
        return ()
