"""What the openssl command prints about objects it made, in every format, is what is read from them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handclasp.certs.describe import Description, describe
from handclasp.certs.kinship import signers
from handclasp.certs.read import read_objects
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: Mapping[str, tuple[str, ...]] = {
    "rsa-2048": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "rsa-3072": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"),
    "p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "p384": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "p521": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
    "ed25519": ("-algorithm", "ED25519"),
    "ed448": ("-algorithm", "ED448"),
}
SANS = "DNS:svc-b.internal,DNS:*.example.org,IP:10.1.2.3,IP:fd00::1,URI:spiffe://x/y,email:a@b.org"
SUBJECT = "/C=DE/O=Ex\\, ample \\+ Söhne/OU=a/OU=b/CN=svc-b \\#1"
NAMES = ("-nameopt", "RFC2253")  # as nginx gives names in $ssl_client_s_dn
PASSWORD = "correct horse"

pytestmark = [needs_openssl, pytest.mark.parametrize("kind", KINDS)]


@dataclass(frozen=True, slots=True)
class Made:
    """What openssl made of one kind of key; everything in PEM."""

    key: bytes
    certificate: bytes
    request: bytes
    crl: bytes


@cache
def made(kind: str) -> Made:
    with TemporaryDirectory() as name:
        folder = Path(name)
        key = openssl("genpkey", *KINDS[kind])
        (folder / "key").write_bytes(key)
        request = openssl(
            *("req", "-new", "-key", folder / "key", "-utf8", "-subj", SUBJECT),
            *("-addext", f"subjectAltName={SANS}"),
        )
        certificate = openssl(
            *("req", "-x509", "-key", folder / "key", "-utf8", "-subj", SUBJECT, "-days", "40"),
            *("-addext", f"subjectAltName={SANS}", "-set_serial", "0x00F1E2D3C4B5A69788"),
            *("-addext", "keyUsage=digitalSignature,keyCertSign,cRLSign"),
            *("-addext", "extendedKeyUsage=serverAuth,clientAuth"),
        )
        (folder / "cert").write_bytes(certificate)
        (folder / "index").write_text("R\t301231235959Z\t261101000000Z\t0A\tunknown\t/CN=gone\n")
        (folder / "number").write_text("1F\n")
        (folder / "conf").write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={folder}/index\ncrlnumber={folder}/number\n"
            "default_md=default\ndefault_crl_days=9\n"
        )
        crl = openssl(
            *("ca", "-gencrl", "-config", folder / "conf"),
            *("-cert", folder / "cert", "-keyfile", folder / "key"),
        )
        return Made(key, certificate, request, crl)


def read(data: bytes, password: str | None = None) -> list[Description]:
    contents = read_objects(data, source="x", password=password.encode() if password else None)
    assert contents.findings == ()
    return [describe(one, file="x", form=contents.format) for one in contents.objects]


def facts(*arguments: str, stdin: bytes) -> dict[str, str]:
    said = openssl(*arguments, stdin=stdin).decode()
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)


def san(text: str) -> str:
    """As openssl prints it, in the form used here."""
    kind, _, value = text.strip().partition(":")
    if kind == "IP Address":
        return f"ip:{ipaddress.ip_address(value)}"
    return f"{kind.lower()}:{value}"


def sans_said(text: str) -> list[str]:
    found = re.search(r"Subject Alternative Name:.*\n\s*(.*)", text)
    assert found
    return [san(one) for one in found[1].split(", ")]


def spki_sha256(*arguments: str, stdin: bytes) -> str:
    der = openssl("pkey", *arguments, "-pubout", "-outform", "DER", stdin=stdin)
    return openssl("dgst", "-sha256", "-r", stdin=der).decode().split()[0]


def test_certificates_say_the_same_in_every_format(kind: str, tmp_path: Path) -> None:
    one = made(kind)
    said = facts(
        *("x509", "-noout", "-subject", "-issuer", "-serial", "-dates", "-fingerprint", "-sha256"),
        *NAMES,
        stdin=one.certificate,
    )
    sha1 = facts("x509", "-noout", "-fingerprint", "-sha1", stdin=one.certificate)
    text = openssl("x509", "-noout", "-text", stdin=one.certificate).decode()
    (tmp_path / "cert").write_bytes(one.certificate)
    (tmp_path / "both").write_bytes(one.certificate + one.key)
    sealed = ("pkcs12", "-export", "-in", tmp_path / "both", "-passout", f"pass:{PASSWORD}")
    crl2pkcs7 = ("crl2pkcs7", "-nocrl", "-certfile", tmp_path / "cert")
    formats = {
        "pem": one.certificate,
        "pem with text": openssl("x509", "-text", stdin=one.certificate),
        "pem trusted": openssl(
            "x509", "-trustout", "-addtrust", "serverAuth", stdin=one.certificate
        ),
        "der": openssl("x509", "-outform", "DER", stdin=one.certificate),
        "pem pkcs7": openssl(*crl2pkcs7),
        "pkcs7": openssl(*crl2pkcs7, "-outform", "DER"),
        "pkcs12": openssl(*sealed),
        "pkcs12 without key": openssl(*sealed, "-nokeys"),
    }
    for form, data in formats.items():
        (told,) = (d for d in read(data, PASSWORD) if d.kind == "certificate")
        assert told.format == form.split()[0]
        assert told.subject == said["subject"], form
        assert told.issuer == said["issuer"]
        assert told.serial == said["serial"]
        assert told.not_before == moment(said["notBefore"])
        assert told.not_after == moment(said["notAfter"])
        assert told.sha256 == said["sha256 Fingerprint"].replace(":", "").lower()
        assert told.sha1 == sha1["sha1 Fingerprint"].replace(":", "").lower()
        assert list(told.sans) == sans_said(text)
        assert told.spki_sha256 == spki_sha256(stdin=one.key)
        assert told.usages == (
            *("digitalSignature", "keyCertSign", "cRLSign", "serverAuth", "clientAuth"),
        )


def test_keys_have_the_public_key_openssl_derives_in_every_form(kind: str, tmp_path: Path) -> None:
    one = made(kind)
    (tmp_path / "both").write_bytes(one.certificate + one.key)
    sealed = ("-passout", f"pass:{PASSWORD}")
    forms = {
        "pem pkcs8": one.key,
        "der pkcs8": openssl("pkcs8", "-topk8", "-nocrypt", "-outform", "DER", stdin=one.key),
        "pem pkcs8-encrypted": openssl("pkey", "-aes256", *sealed, stdin=one.key),
        "der pkcs8-encrypted": openssl(
            *("pkcs8", "-topk8", "-outform", "DER", "-v2", "aes-256-cbc", "-scrypt", *sealed),
            stdin=one.key,
        ),
        "pkcs12": openssl("pkcs12", "-export", "-in", tmp_path / "both", *sealed),
    }
    if not kind.startswith("ed"):  # PKCS#8 is the only form of Edwards keys
        old = "pkcs1" if kind.startswith("rsa") else "sec1"
        forms[f"pem {old}"] = openssl("pkey", "-traditional", stdin=one.key)
        forms[f"der {old}"] = openssl("pkey", "-traditional", "-outform", "DER", stdin=one.key)
        forms["pem pem-encrypted"] = openssl(
            "pkey", "-traditional", "-aes128", *sealed, stdin=one.key
        )
    wanted = spki_sha256(stdin=one.key)
    for form, data in forms.items():
        (told,) = (d for d in read(data, PASSWORD) if d.kind == "private key")
        assert told.format == form
        assert told.spki_sha256 == wanted, form
        assert told.encrypted is ("encrypted" in form or form == "pkcs12")
    (public,) = read(openssl("pkey", "-pubout", stdin=one.key))
    assert (public.kind, public.spki_sha256) == ("public key", wanted)


def test_requests_say_the_same_in_every_format(kind: str) -> None:
    one = made(kind)
    said = facts("req", "-noout", "-subject", *NAMES, stdin=one.request)
    text = openssl("req", "-noout", "-text", stdin=one.request).decode()
    assert openssl("req", "-noout", "-verify", stdin=one.request) is not None
    for data in (one.request, openssl("req", "-outform", "DER", stdin=one.request)):
        (told,) = read(data)
        assert told.kind == "signing request"
        assert told.subject == said["subject"]
        assert list(told.sans) == sans_said(text)
        assert told.spki_sha256 == spki_sha256(stdin=one.key)
        assert told.signature_valid is True
    damaged = bytearray(openssl("req", "-outform", "DER", stdin=one.request))
    damaged[damaged.index(b"svc-b.internal")] ^= 1
    assert read(bytes(damaged))[0].signature_valid is False


def test_revocation_lists_say_the_same_in_every_format(kind: str) -> None:
    one = made(kind)
    said = facts(
        *("crl", "-noout", "-issuer", "-lastupdate", "-nextupdate", "-crlnumber"),
        *("-fingerprint", "-sha256", *NAMES),
        stdin=one.crl,
    )
    (issuer,) = read_objects(one.certificate, source="x").certificates
    for data in (one.crl, openssl("crl", "-outform", "DER", stdin=one.crl)):
        (told,) = read(data)
        assert told.kind == "revocation list"
        assert told.issuer == said["issuer"]
        assert told.not_before == moment(said["lastUpdate"])
        assert told.not_after == moment(said["nextUpdate"])
        assert told.number == int(said["crlNumber"], 16)
        assert told.entries == 1
        assert told.sha256 == said["SHA2-256 Fingerprint"].replace(":", "").lower()
        (crl,) = read_objects(data, source="x").crls
        assert signers(crl, [issuer]) == (issuer,)
    der = bytearray(openssl("crl", "-outform", "DER", stdin=one.crl))
    der[-1] ^= 1
    assert signers(x509.load_der_x509_crl(bytes(der)), [issuer]) == ()
