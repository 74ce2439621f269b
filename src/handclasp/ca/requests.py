"""Signing requests, judged before anything of them is used. Pure.

A request says which key is wanted, and nothing else unasked: names and usages are the CA's to decide.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from handclasp.ca.names import checked, shown_name
from handclasp.certs import der
from handclasp.certs.read import read_objects
from handclasp.certs.signatures import signed_by_itself
from handclasp.errors import ExitCode
from handclasp.findings import FindingsError, Where, errors_in, found

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_RSA_BITS = (2048, 8192)  # from OpenSSL's security level 2 to what takes a tenth of a second to use
_MOST_EXPONENT = 2**31 - 1  # Go takes none above
_NAMES = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier, x509.RFC822Name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose signature is right and whose key is fit."""

    public_key: CertificatePublicKeyTypes
    common_name: str | None
    names: tuple[x509.GeneralName, ...]
    """Its subject alternative names, of the kinds this CA issues."""
    extras: tuple[str, ...]
    """What else it asks for, in words: never granted."""


def read_request(data: bytes, *, source: str) -> Request:
    """The one request in `data`, PEM or DER. Raises FindingsError when it cannot be used."""
    where = Where(file=source)
    contents = read_objects(data, source=source)
    if len(contents.csrs) != 1:
        findings = errors_in(contents.findings)
        if not findings:
            count = len(contents.csrs)
            seen = f"it holds {count} signing requests" if count else "it holds no signing request"
            findings = (found("csr-unusable", seen, where=where),)
        raise FindingsError(findings, exit_code=ExitCode.USAGE)
    return _judged(contents.csrs[0], where)


def _judged(csr: x509.CertificateSigningRequest, where: Where) -> Request:
    key = csr.public_key()
    problems = []
    if not signed_by_itself(csr):
        seen = "the request's signature is not that of the key in it"
        problems.append(found("csr-signature-invalid", seen, where=where))
    if (weakness := key_weakness(key) or _narrowed(csr)) is not None:
        problems.append(found("csr-key-unsuitable", f"its key is {weakness}", where=where))
    if problems:
        raise FindingsError(problems, exit_code=ExitCode.FINDINGS)
    try:
        names, extras = _wishes(csr)
    except (ValueError, UnsupportedAlgorithm) as problem:
        seen = f"its extensions cannot be read: {problem}"
        usage = ExitCode.USAGE
        raise FindingsError([found("csr-unusable", seen, where=where)], exit_code=usage) from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names too short or too long; they are judged later
        subject = csr.subject
    common = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    others = [one.rfc4514_string() for one in subject if one.oid != NameOID.COMMON_NAME]
    return Request(
        public_key=key,
        common_name=(str(common[-1].value) or None) if common else None,
        names=names,
        extras=(*(f"subject {one}" for one in others), *extras),
    )


def key_weakness(key: object) -> str | None:
    """Why a public key is not certified, None when it is."""
    if isinstance(key, rsa.RSAPublicKey):
        least, most = _RSA_BITS
        if not least <= key.key_size <= most:
            return f"RSA with {key.key_size} bits ({least} to {most} are taken)"
        exponent = key.public_numbers().e
        odd = f"RSA with the exponent {exponent} (65537 to {_MOST_EXPONENT} are taken)"
        return None if 65537 <= exponent <= _MOST_EXPONENT else odd
    if isinstance(key, ec.EllipticCurvePublicKey):
        named = ", ".join(curve.name for curve in _CURVES)
        unfit = f"on the curve {key.curve.name} ({named} are taken)"
        return None if isinstance(key.curve, _CURVES) else unfit
    if isinstance(key, ed25519.Ed25519PublicKey):
        return None
    return "of a kind that TLS programs do not agree on; EC, RSA and Ed25519 are taken"


def _narrowed(csr: x509.CertificateSigningRequest) -> str | None:
    """What the request says of its key beside the key, which the library forgets and a certificate made
    with it would not say: RSA for RSA-PSS alone (RFC 4055 section 1.2), a curve by its numbers."""
    data = csr.tbs_certrequest_bytes
    # CertificationRequestInfo (RFC 2986 section 4.1): version, subject, subjectPKInfo.
    info = der.children(data, der.read_element(data), most=3)[2]
    algorithm = der.children(data, info, most=1)[0]
    name, *parameters = der.children(data, algorithm)
    oid = der.oid_text(name.content(data))
    if oid == PublicKeyAlgorithmOID.RSASSA_PSS.dotted_string:
        return (
            "for RSA-PSS signatures alone (rsassaPss), and this CA certifies RSA keys without that limit"
            " (rsaEncryption), which OpenSSL takes for another kind of key"
        )
    if oid == PublicKeyAlgorithmOID.EC_PUBLIC_KEY.dotted_string and any(
        one.tag != der.OID for one in parameters
    ):
        return (
            "on a curve that is written out in numbers (explicit parameters) and not named, as certificates"
            " must have it (RFC 5480 section 2.1.1)"
        )
    return None


def _wishes(
    csr: x509.CertificateSigningRequest,
) -> tuple[tuple[x509.GeneralName, ...], tuple[str, ...]]:
    names: list[x509.GeneralName] = []
    extras: list[str] = []
    for extension in csr.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            for name in extension.value:
                if not isinstance(name, _NAMES):
                    extras.append(f"name {shown_name(name)}")
                    continue
                try:
                    names.append(checked(name))
                except ValueError as problem:
                    extras.append(f"name {shown_name(name)} ({problem})")
        else:
            extras.append(f"extension {extension.oid._name}")  # noqa: SLF001  no public name
    return tuple(names), tuple(extras)
