"""PKCS#12 (.p12, .pfx; RFC 7292): open it, or tell a wrong password from a damaged container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_private_key, pkcs12

from handclasp.certs import der
from handclasp.certs.private_keys import UNREADABLE, FoundKey
from handclasp.certs.secret import Secret
from handclasp.findings import Finding, Severity, found

if TYPE_CHECKING:
    from cryptography import x509

    from handclasp.findings import Where

_SHROUDED_KEY_BAG = "1.2.840.113549.1.12.10.1.2"
_PBMAC1 = "1.2.840.113549.1.5.14"
# What OpenSSL 3 keeps in its legacy provider, or opens only to warn (RFC 7292 appendix C).
_LEGACY = {
    "1.2.840.113549.1.12.1.1": "RC4-128",
    "1.2.840.113549.1.12.1.2": "RC4-40",
    "1.2.840.113549.1.12.1.3": "3DES",
    "1.2.840.113549.1.12.1.4": "2-key 3DES",
    "1.2.840.113549.1.12.1.5": "RC2-128",
    "1.2.840.113549.1.12.1.6": "RC2-40",
}
_WITH_OPENSSL = (
    "Re-wrap it: openssl pkcs12 -in OLD.p12 -nodes -out all.pem (with -legacy for old ones), then "
    "openssl pkcs12 -export -in all.pem -out NEW.p12; delete all.pem."
)
_REWRAP = (
    "Re-wrap it for programs of today: handclasp cert convert OLD.p12 --password-file FILE --to p12 "
    "--new-password-file FILE -o NEW.p12."
)


def read_pkcs12(
    data: bytes, *, password: bytes | None, where: Where
) -> tuple[tuple[FoundKey, ...], tuple[x509.Certificate, ...], tuple[Finding, ...]]:
    """Keys, certificates (leaf first, then as stored) and findings of a PFX.

    The empty password is tried too: exporters make such files, and a spec may name a password for
    a file that has none.
    """
    oids = _oids(data)
    legacy = sorted({_LEGACY[oid] for oid in oids if oid in _LEGACY})
    findings: list[Finding] = []
    if legacy:
        findings.append(
            found(
                "pkcs12-legacy-algorithm",
                f"the PKCS#12 file is encrypted with {', '.join(legacy)}",
                where=where,
                fix=_REWRAP,
                severity=Severity.WARNING,  # read here all the same; what is staged is PEM
            )
        )
    try:
        opened, used = _open(data, password)
    except UNREADABLE as error:
        refusal = _refusal(data, oids, error, password=password, where=where)
        key = FoundKey(form="pkcs12", encrypted=True, problem=refusal)
        return (key,), (), (*findings, refusal)
    keys: tuple[FoundKey, ...] = ()
    if opened.key is not None:
        alias = opened.cert.friendly_name if opened.cert else None
        keys = (
            FoundKey(
                form="pkcs12",
                encrypted=bool(used),
                key=Secret(opened.key),
                name=alias.decode(errors="replace") if alias else None,
            ),
        )
    first = (opened.cert.certificate,) if opened.cert else ()
    others = tuple(extra.certificate for extra in opened.additional_certs)
    return keys, first + others, tuple(findings)


def _open(data: bytes, password: bytes | None) -> tuple[pkcs12.PKCS12KeyAndCertificates, bytes]:
    if password:
        try:
            return pkcs12.load_pkcs12(data, password), password
        except ValueError:
            # The second failure is the one to raise: it tells the same of a damaged file.
            return pkcs12.load_pkcs12(data, b""), b""
    return pkcs12.load_pkcs12(data, b""), b""


def _refusal(
    data: bytes,
    oids: tuple[str, ...],
    error: Exception,
    *,
    password: bytes | None,
    where: Where,
) -> Finding:
    if isinstance(error, UnsupportedAlgorithm) or _PBMAC1 in oids:
        used = "PBMAC1 (RFC 9579), which" if _PBMAC1 in oids else "an algorithm that"
        seen = f"the PKCS#12 file uses {used} cannot be read here"
        return found("certificate-unreadable", seen, where=where, fix=_WITH_OPENSSL)
    if not oids or "deserialize" in str(error):
        return found(
            "certificate-unreadable",
            "the PKCS#12 file is damaged or cut off (its structure does not hold together)",
            where=where,
            fix="Copy or export it again, in binary mode.",
        )
    if password and _opens_key_bag(data, password):
        return found(
            "certificate-unreadable",
            "the PKCS#12 file is damaged: the password opens its key, but its checksum is wrong",
            where=where,
            fix="Copy or export it again, in binary mode.",
        )
    told = "no password is given" if password is None else "the password given does not open it"
    return found(
        "keystore-wrong-password", f"the PKCS#12 file is encrypted and {told}", where=where
    )


def _oids(data: bytes) -> tuple[str, ...]:
    # Empty when the structure breaks anywhere: then it is damage, not the password.
    try:
        return tuple(
            der.oid_text(element.content(data))
            for element in der.walk(data, into_octet_strings=True)
            if element.tag == der.OID
        )
    except der.DerError:
        return ()


def _opens_key_bag(data: bytes, password: bytes) -> bool:
    """The password decrypts a shrouded key bag, so it is right and something else is wrong."""
    for bag in _shrouded_key_bags(data):
        try:
            load_der_private_key(bag, password, unsafe_skip_rsa_key_validation=True)
        except UNREADABLE:
            continue
        return True
    return False


def _shrouded_key_bags(data: bytes) -> list[bytes]:
    bags: list[bytes] = []
    previous: der.Element | None = None
    for element in der.walk(data, into_octet_strings=True):
        if (
            previous is not None
            and previous.tag == der.OID
            and element.tag == der.CONTEXT_0
            and der.oid_text(previous.content(data)) == _SHROUDED_KEY_BAG
        ):
            bags.append(element.content(data))
        previous = element
    return bags
