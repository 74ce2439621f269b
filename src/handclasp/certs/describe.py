"""What one object is, in words and numbers: the facts that `cert show` prints. None of them is secret."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import SignatureAlgorithmOID

from handclasp.certs import algorithms, facts
from handclasp.certs.chain import issuer_urls
from handclasp.certs.dn import issuer_text, name_text, subject_text
from handclasp.certs.names import subject_alt_names
from handclasp.certs.private_keys import (
    FoundKey,
    FoundPublicKey,
    key_type,
    spki,
)
from handclasp.certs.signatures import signed_by_itself
from handclasp.errors import InternalFault

if TYPE_CHECKING:
    from datetime import datetime

    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from handclasp.certs.algorithms import KeyHolder
    from handclasp.certs.contents import FoundObject, Signed, Value

_KEY_USAGES = (
    ("digital_signature", "digitalSignature"),
    ("content_commitment", "contentCommitment"),
    ("key_encipherment", "keyEncipherment"),
    ("data_encipherment", "dataEncipherment"),
    ("key_agreement", "keyAgreement"),
    ("key_cert_sign", "keyCertSign"),
    ("crl_sign", "cRLSign"),
)
_SIGNATURE_NAMES = {
    oid.dotted_string: name.lower().replace("_", "-")
    for name, oid in vars(SignatureAlgorithmOID).items()
    if isinstance(oid, x509.ObjectIdentifier)
}


_KINDS: dict[type, str] = {
    FoundKey: "private key",
    FoundPublicKey: "public key",
    x509.Certificate: "certificate",
    x509.CertificateSigningRequest: "signing request",
    x509.CertificateRevocationList: "revocation list",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """`type` is RSA, RSA-PSS (a key for nothing else), EC, Ed25519, Ed448, DSA, …; `bits` the size in bits;
    `curve` for EC only, and `explicit` where it is written out instead of named."""

    type: str
    bits: int | None = None
    curve: str | None = None
    explicit: bool = False

    def __str__(self) -> str:
        told = f"{self.type} {self.curve or self.bits or ''}".strip()
        return f"{told}, explicit parameters" if self.explicit else told


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One object; what its kind does not have is None or empty.

    Times are aware (UTC). For a revocation list `not_before` and `not_after` are thisUpdate and
    nextUpdate, `number` its crlNumber and `entries` how many certificates it revokes.
    `signature_valid` tells whether a signing request was signed by its own key (RFC 2986).
    """

    file: str
    line: int | None
    kind: str
    format: str
    subject: str | None = None
    issuer: str | None = None
    sans: tuple[str, ...] = ()
    serial: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    key: KeyFacts | None = None
    usages: tuple[str, ...] = ()
    ca: bool | None = None
    path_length: int | None = None
    signature: str | None = None
    sha256: str | None = None
    sha1: str | None = None
    spki_sha256: str | None = None
    issuer_urls: tuple[str, ...] = ()
    crl_urls: tuple[str, ...] = ()
    encrypted: bool | None = None
    signature_valid: bool | None = None
    number: int | None = None
    entries: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values: times as ISO 8601."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("not_before", "not_after"):
            moment = values[name]
            values[name] = moment.isoformat() if moment else None
        for name in ("sans", "usages", "issuer_urls", "crl_urls"):
            values[name] = list(values[name])
        if self.key is not None:
            values["key"] = dataclasses.asdict(self.key)
        return values


def describe(found: FoundObject, *, file: str, form: str) -> Description:
    """The facts of an object that was read from `file`, whose format is `form`."""
    with warnings.catch_warnings():
        # Names of requests and lists are parsed anew each time, and odd ones warned of each time.
        warnings.simplefilter("ignore")
        return _described(found, file, form)


def _described(found: FoundObject, file: str, form: str) -> Description:
    value = found.value
    if isinstance(value, FoundKey):
        key = value.key.reveal().public_key() if value.key is not None else None
        return Description(
            file=file,
            line=found.line,
            kind=kind_name(value),
            format=f"{form} {value.form}" if value.form != form else form,
            key=key_facts(key, pss=value.pss, explicit=value.explicit) if key is not None else None,
            spki_sha256=_sha256(spki(key)) if key is not None else None,
            encrypted=value.encrypted,
        )
    if isinstance(value, FoundPublicKey):
        return Description(
            file=file,
            line=found.line,
            kind=kind_name(value),
            format=form,
            key=key_facts(value.key, pss=value.pss, explicit=value.explicit),
            spki_sha256=_sha256(spki(value.key)),
        )
    if isinstance(value, x509.Certificate):
        return _certificate(value, found.line, file, form)
    if isinstance(value, x509.CertificateSigningRequest):
        return _request(value, found.line, file, form)
    return _revocation_list(value, found.line, file, form)


def kind_name(value: Value) -> str:
    """What an object is called."""
    for kind, name in _KINDS.items():
        if isinstance(value, kind):
            return name
    raise InternalFault(f"{type(value).__name__} has no name")


def key_facts(key: PublicKeyTypes, *, pss: bool = False, explicit: bool = False) -> KeyFacts:
    """Type and size of a key; `pss` and `explicit` are what the library does not keep of it."""
    return KeyFacts(
        type="RSA-PSS" if pss else key_type(key),
        explicit=explicit,
        bits=getattr(key, "key_size", None),
        curve=getattr(getattr(key, "curve", None), "name", None),
    )


def _held_key(value: KeyHolder) -> KeyFacts:
    identifier = algorithms.key_algorithm(value)
    return key_facts(
        value.public_key(),
        pss=algorithms.is_pss_only(identifier),
        explicit=algorithms.is_explicit(identifier),
    )


def _certificate(
    certificate: x509.Certificate, line: int | None, file: str, form: str
) -> Description:
    key = certificate.public_key()
    constraints = facts.basic_constraints(certificate)
    return Description(
        file=file,
        line=line,
        kind=kind_name(certificate),
        format=form,
        subject=subject_text(certificate),
        issuer=issuer_text(certificate),
        sans=subject_alt_names(certificate),
        serial=facts.serial_text(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=_held_key(certificate),
        usages=_usages(certificate),
        ca=facts.is_ca(certificate),
        path_length=constraints.path_length if constraints else None,
        signature=_signature(certificate),
        sha256=certificate.fingerprint(hashes.SHA256()).hex(),
        sha1=certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303  a name, as others print it
        spki_sha256=_sha256(spki(key)),
        issuer_urls=issuer_urls(certificate),
        crl_urls=facts.crl_urls(certificate),
    )


def _request(
    request: x509.CertificateSigningRequest, line: int | None, file: str, form: str
) -> Description:
    key = request.public_key()
    return Description(
        file=file,
        line=line,
        kind=kind_name(request),
        format=form,
        subject=name_text(request.subject),
        sans=subject_alt_names(request),
        key=_held_key(request),
        usages=_usages(request),
        signature=_signature(request),
        signature_valid=signed_by_itself(request),
        spki_sha256=_sha256(spki(key)),
    )


def _revocation_list(
    crl: x509.CertificateRevocationList, line: int | None, file: str, form: str
) -> Description:
    return Description(
        file=file,
        line=line,
        kind=kind_name(crl),
        format=form,
        issuer=name_text(crl.issuer),
        not_before=crl.last_update_utc,
        not_after=crl.next_update_utc,
        signature=_signature(crl),
        sha256=crl.fingerprint(hashes.SHA256()).hex(),
        number=_crl_number(crl),
        entries=len(crl),
    )


def _usages(value: x509.Certificate | x509.CertificateSigningRequest) -> tuple[str, ...]:
    """keyUsage, then extended key usage, by the names RFC 5280 gives them."""
    names: list[str] = []
    usage = facts.key_usage(value)
    if usage is not None:
        names += [text for attribute, text in _KEY_USAGES if getattr(usage, attribute)]
    for oid in facts.extended_key_usages(value) or ():
        names.append(facts.PURPOSE_NAMES.get(oid, oid.dotted_string))
    return tuple(names)


def _signature(value: Signed) -> str:
    dotted = value.signature_algorithm_oid.dotted_string
    name = _SIGNATURE_NAMES.get(dotted, dotted)
    digest = facts.pss_digest(value)
    return f"{name} with {digest}" if digest else name


def _crl_number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _sha256(data: bytes) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    return digest.finalize().hex()
