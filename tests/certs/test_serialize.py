"""What is written is read back by the openssl command, and by us, as what it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs.private_keys import FoundKey, FoundPublicKey, spki
from handclasp.certs.read import read_objects
from handclasp.certs.secret import Secret
from handclasp.certs.serialize import encode, encode_key, encode_pkcs7, encode_pkcs12
from handclasp.errors import InternalFault
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

pytestmark = needs_openssl

KEYS: dict[str, PrivateKeyTypes] = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "ed448": ed448.Ed448PrivateKey.generate(),
}
FORMS = {"PEM": Encoding.PEM, "DER": Encoding.DER}
PASSWORD = Secret(b"pass word")
ROOT = pki.authority("Root")
BAG = tuple(pki.leaf(ROOT, f"bag {number}").certificate for number in range(6))


def certificate(kind: str) -> x509.Certificate:
    """A self-signed one."""
    key = KEYS[kind]
    name = pki.dn(kind)
    digest = None if kind.startswith("ed") else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(pki.NOW)
        .not_valid_after(pki.NOW.replace(year=pki.NOW.year + 1))
        .sign(key, digest)  # type: ignore[arg-type]
    )


def public(pem: bytes, password: bytes | None = None) -> bytes:
    return spki(load_pem_private_key(pem, password).public_key())


@pytest.mark.parametrize("locked", [False, True])
@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", FORMS)
def test_openssl_reads_a_key_in_either_encoding_encrypted_or_not(
    tmp_path: Path, kind: str, form: str, locked: bool
) -> None:
    data = encode_key(Secret(KEYS[kind]), FORMS[form], password=PASSWORD if locked else None)
    (tmp_path / "key").write_bytes(data)
    reading = ("-inform", form, "-passin", "pass:pass word")
    assert public(openssl("pkey", "-in", tmp_path / "key", *reading)) == spki(
        KEYS[kind].public_key()
    )
    assert (b"ENCRYPTED" in data or form == "DER") or not locked
    back = read_objects(data, source="key", password=b"pass word" if locked else None)
    (found,) = back.keys
    assert found.encrypted is locked
    assert found.key is not None
    assert encode_key(found.key, Encoding.DER) == encode_key(Secret(KEYS[kind]), Encoding.DER)
    if locked:
        wrong = read_objects(data, source="key", password=b"wrong")
        assert [one.key for one in wrong.keys] == [None]


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", KEYS)
def test_openssl_reads_a_pkcs12_of_every_kind_of_key(
    tmp_path: Path, kind: str, legacy: bool
) -> None:
    own = certificate(kind)
    data = encode_pkcs12(
        Secret(KEYS[kind]), [own, ROOT.certificate], password=PASSWORD, name="mine", legacy=legacy
    )
    (tmp_path / "p12").write_bytes(data)
    said = openssl("pkcs12", "-in", tmp_path / "p12", "-passin", "pass:pass word", "-nodes")
    assert public(said) == spki(KEYS[kind].public_key())
    assert x509.load_pem_x509_certificates(said) == [own, ROOT.certificate]
    back = read_objects(data, source="p12", password=b"pass word")
    assert list(back.certificates) == [own, ROOT.certificate]
    (found,) = back.keys
    assert found.key is not None
    assert encode_key(found.key, Encoding.DER) == encode_key(Secret(KEYS[kind]), Encoding.DER)


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("form", FORMS)
def test_a_certificate_is_the_same_bytes_in_every_form(
    tmp_path: Path, kind: str, form: str
) -> None:
    own = certificate(kind)
    der = own.public_bytes(Encoding.DER)
    (tmp_path / "cert").write_bytes(encode(own, FORMS[form]))
    read = ("x509", "-inform", form, "-in", tmp_path / "cert", "-outform", "DER")
    assert openssl(*read) == der
    (tmp_path / "p7b").write_bytes(encode_pkcs7([own], FORMS[form]))
    listed = openssl("pkcs7", "-inform", form, "-in", tmp_path / "p7b", "-print_certs")
    assert x509.load_pem_x509_certificate(listed).public_bytes(Encoding.DER) == der


@pytest.mark.parametrize("form", FORMS)
def test_requests_lists_and_public_keys_are_the_same_bytes(tmp_path: Path, form: str) -> None:
    key = KEYS["p256"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(pki.dn("asked"))
        .sign(key, hashes.SHA256())
    )
    revoked = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(pki.dn("lister"))
        .last_update(pki.NOW)
        .next_update(pki.NOW.replace(year=pki.NOW.year + 1))
        .sign(key, hashes.SHA256())
    )
    plain = FoundPublicKey(key.public_key())
    for command, value in (
        (("req",), request),
        (("crl",), revoked),
        (("pkey", "-pubin"), plain),
    ):
        (tmp_path / "one").write_bytes(encode(value, FORMS[form]))
        reading = ("-inform", form, "-in", tmp_path / "one", "-outform", "DER")
        assert openssl(*command, *reading) == encode(value, Encoding.DER)


@given(st.lists(st.sampled_from(BAG), min_size=1, unique=True))
def test_a_bag_of_certificates_comes_back_in_every_format(bag: list[x509.Certificate]) -> None:
    pem = b"".join(encode(one, Encoding.PEM) for one in bag)
    assert list(read_objects(pem, source="pem").certificates) == bag
    for encoding in (Encoding.PEM, Encoding.DER):
        back = read_objects(encode_pkcs7(bag, encoding), source="p7b").certificates
        assert set(back) == set(bag)  # a SET: DER sorts it
        assert len(back) == len(bag)
    p12 = encode_pkcs12(None, bag, password=None)
    assert set(read_objects(p12, source="p12", password=b"").certificates) == set(bag)


def test_an_unopened_key_is_never_taken_for_nothing() -> None:
    with pytest.raises(InternalFault, match="could not be opened"):
        encode(FoundKey(form="pkcs8", encrypted=True), Encoding.PEM)
