"""Signing requests: whatever the bytes are, a request or a reason."""

from __future__ import annotations

import functools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from handclasp.ca.requests import key_weakness, read_request
from handclasp.findings import FindingsError
from tests import pki


@functools.cache
def _request() -> bytes:
    names = x509.SubjectAlternativeName(
        [x509.DNSName("a.example"), x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))]
    )
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.dn("a.example"))
    builder = builder.add_extension(names, critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_request_is_read_from_pem_and_der() -> None:
    pem = x509.load_der_x509_csr(_request()).public_bytes(Encoding.PEM)
    for data in (_request(), pem):
        request = read_request(data, source="r.csr")
        assert request.common_name == "a.example"
        assert request.names == (x509.DNSName("a.example"),)
        assert request.extras == ("subject O=Example Org", "name other:RegisteredID")


@given(st.data())
def test_a_damaged_request_is_refused_with_a_finding(data: st.DataObject) -> None:
    """No byte can be changed: what can still be read has a signature that is wrong."""
    good = bytearray(_request())
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FindingsError, match=r"\[[a-z0-9-]+\]"):
        read_request(bytes(good), source="r.csr")


@given(st.binary(max_size=400))
def test_any_other_bytes_are_refused_with_a_finding(data: bytes) -> None:
    with pytest.raises(FindingsError, match=r"\[[a-z0-9-]+\]"):
        read_request(data, source="r.csr")


def test_two_requests_in_a_file_are_refused() -> None:
    pem = x509.load_der_x509_csr(_request()).public_bytes(Encoding.PEM)
    with pytest.raises(FindingsError, match="2 signing requests"):
        read_request(pem + pem, source="r.csr")


@pytest.mark.parametrize(
    ("key", "weakness"),
    [
        (ec.generate_private_key(ec.SECP256R1()), None),
        (ec.generate_private_key(ec.SECP521R1()), None),
        (ed25519.Ed25519PrivateKey.generate(), None),
        (pki.key("strong", kind="rsa2048"), None),
        (pki.key("weak", kind="rsa1024"), "1024 bits"),
        (rsa.generate_private_key(3, 2048), "exponent 3"),
        (ec.generate_private_key(ec.SECP224R1()), "secp224r1"),
        (ec.generate_private_key(ec.BrainpoolP256R1()), "brainpoolP256r1"),
        (ed448.Ed448PrivateKey.generate(), "of a kind"),
        (dsa.generate_private_key(1024), "of a kind"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_weak_and_odd_keys_are_not_certified(key: object, weakness: str | None) -> None:
    said = key_weakness(key.public_key())  # type: ignore[attr-defined]
    if weakness is None:
        assert said is None
    else:
        assert said is not None
        assert weakness in said
