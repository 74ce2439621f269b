"""Descriptions of whatever can be read: right for good objects, and never a traceback for odd ones."""

from __future__ import annotations

import warnings
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs import facts
from handclasp.certs.constraints import check_constraints
from handclasp.certs.describe import describe
from handclasp.certs.kinship import Family, title
from handclasp.certs.read import read_objects
from handclasp.certs.rows import rows
from handclasp.certs.security_level import Peer, digest_refused_from
from handclasp.certs.strictness import check_letter
from handclasp.findings import Where
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

ROOT = pki.authority("Root")
LEAF = pki.leaf(
    ROOT, sans=["dns:a", "ip:10.0.0.1", "uri:spiffe://x/y", "email:a@b"], ca_issuers="http://x/y"
)
SAMPLES = [
    ROOT.der,
    LEAF.der,
    pki.der_from_pem(pki.crl(ROOT, [LEAF])),
    pki.der_from_pem(pki.request(LEAF)),
]


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_whatever_can_still_be_read_can_be_described_and_checked(
    sample: bytes, damage: list[tuple[float, int]]
) -> None:
    data = bytearray(sample)
    for place, value in damage:
        data[min(int(place * len(data)), len(data) - 1)] = value
    contents = read_objects(bytes(data), source="odd")
    assert contents.objects or contents.findings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own, at serials and the like
        for found in contents.objects:
            told = describe(found, file="odd", form=contents.format)
            assert rows(told, now=pki.NOW)
            assert told.as_json()["kind"]
        family = Family(contents.certificates)
        for _, member in family.drawing():
            assert title(member) if isinstance(member, x509.Certificate) else member.missing
        check_letter(contents.certificates, where=Where())
        check_constraints((*contents.certificates, ROOT.certificate), where=Where())


KEYS: dict[str, Callable[[], PrivateKeyTypes]] = {
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
    "EC secp256r1": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EC secp384r1": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EC secp521r1": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "Ed448": ed448.Ed448PrivateKey.generate,
}


@needs_openssl
@pytest.mark.parametrize("kind", KEYS)
def test_keys_are_described_as_openssl_describes_them(kind: str) -> None:
    key = KEYS[kind]()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (found,) = read_objects(pem, source="key").objects
    told = describe(found, file="key", form="pem")
    assert str(told.key) == kind
    digest = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)
    assert told.spki_sha256 == openssl("dgst", "-sha256", "-r", stdin=digest).decode().split()[0]
    assert told.encrypted is False


@needs_openssl
def test_requests_and_lists_are_described_as_openssl_describes_them() -> None:
    crl = pki.crl(ROOT, [LEAF], number=0x1F)
    told = describe(read_objects(crl, source="x").objects[0], file="x", form="pem")
    said = openssl("crl", "-noout", "-issuer", "-crlnumber", "-nameopt", "RFC2253", stdin=crl)
    lines = dict(line.split("=", 1) for line in said.decode().splitlines())
    assert lines["issuer"] == told.issuer
    assert int(lines["crlNumber"], 16) == told.number
    request = pki.request(LEAF)
    told = describe(read_objects(request, source="x").objects[0], file="x", form="pem")
    said = openssl("req", "-noout", "-subject", "-nameopt", "RFC2253", stdin=request)
    assert said.decode().strip() == f"subject={told.subject}"


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (timedelta(days=10), "80 days left"),
        (timedelta(days=95), "ended 5 days ago"),
        (timedelta(days=-3), "begins in 2 days"),
    ],
)
def test_days_are_counted_from_the_moment_asked_about(offset: timedelta, words: str) -> None:
    (found,) = read_objects(LEAF.pem, source="x").objects
    told = dict(rows(describe(found, file="x", form="pem"), now=pki.NOW + offset))
    assert words in told["valid"]


@needs_openssl
def test_a_key_for_rsa_pss_alone_is_called_so_wherever_it_stands() -> None:
    key = openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048")
    plain = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    for private, name in ((key, "RSA-PSS 2048"), (plain, "RSA 2048")):
        subject = ("-subj", "/CN=a", "-key", "/dev/stdin")
        forms = (
            private,
            openssl("pkey", "-pubout", stdin=private),
            openssl("req", "-new", *subject, stdin=private),
            openssl("req", "-new", "-x509", *subject, stdin=private),
        )
        for form in forms:
            assert _row(form, "key") == name


@needs_openssl
@pytest.mark.parametrize(("digest", "told"), [("sha1", "SHA-1"), ("sha256", "SHA-256")])
def test_the_digest_of_an_rsa_pss_signature_is_told_and_judged(digest: str, told: str) -> None:
    key = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    made = openssl(
        *("req", "-new", "-x509", f"-{digest}", "-sigopt", "rsa_padding_mode:pss"),
        *("-subj", "/CN=a", "-key", "/dev/stdin"),
        stdin=key,
    )
    assert _row(made, "signed") == f"rsassa-pss with {told}"
    certificate = x509.load_pem_x509_certificate(made)
    assert facts.weak_digest(certificate) == (told if digest == "sha1" else None)
    assert digest_refused_from(certificate, Peer((3, 0))) == (1 if digest == "sha1" else None)
    assert digest_refused_from(certificate, Peer((1, 1))) == (2 if digest == "sha1" else None)


def _row(data: bytes, name: str) -> str:
    (found,) = read_objects(data, source="x").objects
    return dict(rows(describe(found, file="x", form="pem"), now=pki.NOW))[name]
