"""Material: certificates, keys and CRLs already read, as values. What the plan is made from.

The methods that return bytes return what is staged for nginx: canonical PEM made from the parsed
objects, so that whatever odd form the original had (DER, PKCS#12, wrong order, CRLF) is gone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from handclasp.certs import algorithms, pem
from handclasp.certs.secret import Secret
from handclasp.errors import InternalFault

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import PurePath

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

    from handclasp.findings import Finding
    from handclasp.spec.pkcs11_uri import Pkcs11Uri


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKey:
    """A key that stays in its token: where it is, what opens it, and its public half if it was seen."""

    uri: Pkcs11Uri
    pin: Secret[bytes] | None = None
    public: PublicKeyTypes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityMaterial:
    """A certificate with its chain and key: what proves who we are.

    `leaf` is None when no certificate could be read and `key` is None when no key could; then
    `findings` says why with an error. A key in a token is `token`, and `key` is None. `chain` holds
    the intermediates, nearest issuer first, the root left out. `key_mode` is the file mode of the
    key's file (permission bits).
    """

    name: str
    certificate_file: PurePath
    key_file: PurePath
    leaf: x509.Certificate | None = None
    chain: tuple[x509.Certificate, ...] = ()
    key: Secret[PrivateKeyTypes] | None = None
    token: TokenKey | None = None
    encrypted: bool = False
    key_mode: int | None = None
    root: x509.Certificate | None = None
    unlinked: tuple[x509.Certificate, ...] = ()
    renewed: bool = False  # by us, in time: that the leaf ends soon is no news
    had_since: datetime | None = None  # of what is renewed: issuers set its begin back
    findings: tuple[Finding, ...] = ()

    @property
    def usable(self) -> bool:
        """There is a leaf and a key to stage (they may still be refused by a check)."""
        return self.leaf is not None and (self.key is not None or self.token is not None)

    def public_key(self) -> PublicKeyTypes | None:
        """The public half of the key; None when there is none to be seen."""
        if self.token is not None:
            return self.token.public
        return None if self.key is None else self.key.reveal().public_key()

    def certificate_pem(self) -> bytes:
        """Leaf first, then the intermediates in order, the root left out."""
        if self.leaf is None:
            raise InternalFault(f"identity {self.name!r} has no certificate to stage")
        return b"".join(cert.public_bytes(Encoding.PEM) for cert in (self.leaf, *self.chain))

    def key_pem(self) -> Secret[bytes]:
        """The key as unencrypted PKCS#8 PEM.

        Where the certificate is for RSA-PSS alone the key says so too, in the same words, whatever it said
        where it was found: OpenSSL takes no other for its pair.
        """
        if self.key is None:
            raise InternalFault(f"identity {self.name!r} has no key to stage")
        key = self.key.reveal()
        if (
            self.leaf is not None
            and isinstance(key, rsa.RSAPrivateKey)
            and algorithms.pss_only(self.leaf)
        ):
            return Secret(_pss_pem(key, algorithms.key_algorithm(self.leaf)))
        return Secret(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def fingerprint(self) -> str:
        """SHA-256 hex over what would be staged: the same material gives the same version name.

        The PIN of a token is not part of it: it is short, and could be found by trying.
        """
        if self.token is not None:
            return _digest(self.certificate_pem(), str(self.token.uri).encode())
        return _digest(self.certificate_pem(), self.key_pem().reveal())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustMaterial:
    """A bundle of trust anchors with its CRLs: whom we believe.

    A public (system) bundle is kept as the bytes it came in, `raw`, since parsing 150 roots for
    every start would be wasted; `all_anchors()` parses it for those who ask. `anchor_files` and
    `crl_files` say, position by position, which file each anchor and CRL came from.
    """

    name: str
    files: tuple[PurePath, ...] = ()
    anchors: tuple[x509.Certificate, ...] = ()
    anchor_files: tuple[PurePath, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    crl_files: tuple[PurePath, ...] = ()
    findings: tuple[Finding, ...] = ()
    public: bool = False
    raw: bytes | None = field(default=None, repr=False)
    title: str | None = None
    lists_kept: timedelta | None = None
    """How long a list is honoured after its end; None: not at all."""
    followed: frozenset[bytes] = frozenset()
    """Signatures of lists, and of CAs of a bundle, that will have been had anew in time: their end is no
    news."""
    renewed: bool = False
    """Whoever keeps the bundle replaces its CAs in time: that one ends is no news while another is valid."""
    withdrawn: frozenset[tuple[str, int]] = frozenset()
    """Issuer (identity.names.loose_key) and serial of what is revoked and may be on no list yet."""

    @property
    def told(self) -> str:
        """What it is called in a sentence: its name in the spec, or `title` where it has none."""
        return self.title or f"trust {self.name!r}"

    @property
    def usable(self) -> bool:
        """There is something to stage."""
        return bool(self.anchors) or self.raw is not None

    def all_anchors(self) -> Sequence[x509.Certificate]:
        """The anchors, those of a public bundle included."""
        if self.raw is None:
            return self.anchors
        from handclasp.certs.read import read_objects

        return (*read_objects(self.raw, source=self.name).certificates, *self.anchors)

    @property
    def lasting(self) -> tuple[x509.Certificate, ...]:
        """The anchors whose end is news: of a bundle that is renewed the one that ends last."""
        if not self.renewed or not self.anchors:
            return self.anchors
        return (max(self.anchors, key=lambda one: one.not_valid_after_utc),)

    def file_of(self, value: x509.Certificate | x509.CertificateRevocationList) -> str | None:
        """The file a certificate or CRL of this trust came from; all files if that is unknown."""
        pairs = (
            *zip(self.anchors, self.anchor_files, strict=False),
            *zip(self.crls, self.crl_files, strict=False),
        )
        for candidate, file in pairs:
            if candidate == value:
                return str(file)
        return ", ".join(str(file) for file in self.files) or None

    def bundle_pem(self) -> bytes:
        """All anchors, in the order of the files."""
        if not self.usable:
            raise InternalFault(f"trust {self.name!r} has no certificate to stage")
        own = b"".join(cert.public_bytes(Encoding.PEM) for cert in self.anchors)
        return own if self.raw is None else self.raw.rstrip() + b"\n" + own

    def crl_pem(self) -> bytes | None:
        """All CRLs, None when there are none (then nginx must not check for revocation)."""
        if not self.crls:
            return None
        return b"".join(crl.public_bytes(Encoding.PEM) for crl in self.crls)

    def fingerprint(self, *, lists: bool = True) -> str:
        """SHA-256 hex over what would be staged, with or without the lists."""
        return _digest(self.bundle_pem(), (self.crl_pem() if lists else None) or b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything a spec refers to, by the names the spec gives.

    `intermediates` are by ingress link: CAs that are known there but not trusted by themselves.
    """

    identities: Mapping[str, IdentityMaterial] = field(default_factory=dict)
    trust: Mapping[str, TrustMaterial] = field(default_factory=dict)
    intermediates: Mapping[str, TrustMaterial] = field(default_factory=dict)

    def between(self, link: str) -> tuple[x509.Certificate, ...]:
        """The intermediates that the spec names for an ingress link."""
        named = self.intermediates.get(link)
        return named.anchors if named else ()

    def authorities(self, trust: str, link: str) -> tuple[x509.Certificate, ...]:
        """The CAs that an ingress link knows: the anchors of its trust, and those in between."""
        believed = self.trust.get(trust)
        return (*(believed.anchors if believed else ()), *self.between(link))

    def findings(self) -> tuple[Finding, ...]:
        """What was found while reading, identities first, in spec order."""
        owners: tuple[IdentityMaterial | TrustMaterial, ...] = (
            *self.identities.values(),
            *self.trust.values(),
            *self.intermediates.values(),
        )
        return tuple(finding for owner in owners for finding in owner.findings)


def _pss_pem(key: rsa.RSAPrivateKey, identifier: bytes) -> bytes:
    pkcs1 = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return pem.armoured("PRIVATE KEY", algorithms.pss_private_key(identifier, pkcs1))


def _digest(*parts: bytes) -> str:
    # Lengths go in too: otherwise two splits of the same bytes would share a version.
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
