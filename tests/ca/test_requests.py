"""Signing requests: whatever the bytes are, a request or a reason."""

from __future__ import annotations

import functools
import ipaddress
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handclasp.ca.requests import key_weakness, read_request
from handclasp.findings import FindingsError
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path


def _asking(*names: x509.GeneralName, common_name: str | None = "a.example") -> bytes:
    builder = x509.CertificateSigningRequestBuilder()
    builder = builder.subject_name(pki.dn(common_name) if common_name else x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    key = ec.generate_private_key(ec.SECP256R1())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    "name",
    [
        *(
            x509.DNSName(text)
            for text in (
                *("*", "*.com", "f*o.example", "..", "", ".a.example", "a.example.", "a b.example"),
                *("a\x00.example", "10.0.0.1", "x" * 64 + ".example", "a_b.example", "\x1b[31m"),
            )
        ),
        x509.DNSName._init_without_validation("b\xfc.example"),
        x509.IPAddress(ipaddress.ip_network("10.0.0.0/8")),
        *(
            x509.UniformResourceIdentifier(text)
            for text in (
                *("", "a", "javascript:alert(1)", "https:///a", "https://x y/", "https://a/%zz"),
                *("spiffe://A/b", "spiffe://a/..", "SPIFFE://a/b"),
            )
        ),
        *(x509.RFC822Name._init_without_validation(text) for text in ("a", "", "a@", "A <a@b.c>")),
    ],
    ids=repr,
)
def test_a_name_that_could_not_be_asked_for_is_dropped_with_the_reason(
    name: x509.GeneralName,
) -> None:
    request = read_request(_asking(x509.DNSName("b.example"), name), source="r.csr")
    assert request.names == (x509.DNSName("b.example"),)
    assert any(one.startswith("name ") and one.endswith(")") for one in request.extras)


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("*.a.example"),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.UniformResourceIdentifier("spiffe://a/b"),
        x509.RFC822Name("Ops@a.example"),
    ],
    ids=repr,
)
def test_a_fit_name_is_kept_as_it_is(name: x509.GeneralName) -> None:
    assert read_request(_asking(name), source="r.csr").names == (name,)


def test_an_empty_common_name_is_none_and_warns_nobody() -> None:
    """A warning would be an error here."""
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.warns(UserWarning, match="length"):
        nobody = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "", _validate=False)])
    data = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(nobody)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    assert read_request(data, source="r.csr").common_name is None


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


@pytest.mark.parametrize(("exponent", "taken"), [(2**31 - 1, True), (2**31 + 1, False)])
def test_an_exponent_that_go_cannot_take_is_refused(exponent: int, taken: bool) -> None:
    key = pki.key("strong", kind="rsa2048").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    modulus = key.public_numbers().n
    weakness = key_weakness(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    assert (weakness is None) == taken, weakness


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


# -- keys that the request says more of than the library keeps


def _made_by_openssl(folder: Path, *key: str) -> bytes:
    """A request with a key of `openssl genpkey` with these options."""
    openssl("genpkey", *key, "-out", folder / "key.pem")
    return openssl("req", "-new", "-key", folder / "key.pem", "-subj", "/CN=a.example")


EXPLICIT = ("-pkeyopt", "ec_param_enc:explicit")
EC_KEY = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")


@needs_openssl
@pytest.mark.parametrize(
    ("key", "seen"),
    [
        (("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"), "RSA-PSS signatures alone"),
        ((*EC_KEY, *EXPLICIT), "explicit parameters"),
    ],
    ids=["RSA-PSS", "explicit"],
)
def test_a_key_that_would_be_certified_as_another_is_refused(
    tmp_path: Path, key: tuple[str, ...], seen: str
) -> None:
    with pytest.raises(FindingsError) as refusal:
        read_request(_made_by_openssl(tmp_path, *key), source="r.csr")
    (finding,) = refusal.value.findings
    assert finding.slug == "csr-key-unsuitable"
    assert seen in finding.seen


@needs_openssl
@pytest.mark.parametrize(
    "key",
    [
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        (*EC_KEY, "-pkeyopt", "ec_param_enc:named_curve"),
        ("-algorithm", "ED25519"),
    ],
    ids=["RSA", "named", "Ed25519"],
)
def test_a_key_that_says_no_more_is_taken(tmp_path: Path, key: tuple[str, ...]) -> None:
    assert read_request(_made_by_openssl(tmp_path, *key), source="r.csr").common_name == "a.example"
