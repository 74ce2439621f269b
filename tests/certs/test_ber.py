"""PKCS#7 and PKCS#12 with indefinite lengths, as programs of Java and Windows write them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from hypothesis import given
from hypothesis import strategies as st

from handclasp.certs import ber, der
from handclasp.certs.read import read_objects
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

ROOT = pki.authority("Root")
LEAF = pki.leaf(ROOT, sans=["dns:svc-b.internal"])
CRL = pki.crl(ROOT, [LEAF], number=7)
CONSTRUCTED, END = 0x20, b"\x00\x00"


def indefinite(data: bytes, *, deep: int = 99, pieces: int = 0) -> bytes:
    """The same values with indefinite lengths to a depth, and OCTET STRINGs in pieces of a size."""
    out, offset = b"", 0
    while offset < len(data):
        one = der.read_element(data, offset)
        content = one.content(data)
        if one.tag & CONSTRUCTED and deep:
            inside = indefinite(content, deep=deep - 1, pieces=pieces)
            out += bytes([one.tag, 0x80]) + inside + END
        elif one.tag == der.OCTET_STRING and pieces and deep:
            parts = [content[at : at + pieces] for at in range(0, len(content), pieces)]
            whole = b"".join(der.encoded(der.OCTET_STRING, part) for part in parts)
            out += bytes([one.tag | CONSTRUCTED, 0x80]) + whole + END
        else:
            out += one.whole(data)
        offset = one.end
    return out


def p12(folder: Path, *extra: str) -> bytes:
    (folder / "all.pem").write_bytes(LEAF.pem + LEAF.key_pem)
    made = ("pkcs12", "-export", "-in", folder / "all.pem", "-passout", "pass:right")
    return openssl(*made, *extra)


values = st.recursive(
    st.builds(der.encoded, st.sampled_from([2, 4, 6, 12, 0x80]), st.binary(max_size=300)),
    lambda inner: st.builds(
        der.encoded, st.sampled_from([0x30, 0x31, 0xA0]), st.lists(inner, max_size=4).map(b"".join)
    ),
    max_leaves=12,
)


@given(values, st.integers(0, 5), st.sampled_from([0, 1, 100]), st.binary(max_size=4))
def test_what_is_made_definite_is_what_it_was(
    value: bytes, deep: int, pieces: int, after: bytes
) -> None:
    """DER written with indefinite lengths to any depth, strings in pieces, comes back byte for byte."""
    written = indefinite(value, deep=deep, pieces=pieces)
    assert ber.definite(written + after) == (value, len(written))


@given(st.binary(max_size=60) | values.map(indefinite).map(lambda data: data[:-1]))
def test_whatever_is_not_whole_is_refused_and_nothing_else_happens(data: bytes) -> None:
    """Any bytes are a value or a DerError."""
    try:
        _, end = ber.definite(data)
    except der.DerError:
        return
    assert end <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x04\x80\x00\x00",  # a primitive value has no indefinite length
        b"\x24\x80\x0c\x01a\x00\x00",  # a piece of another kind
        b"\x30\x03\x30\x80\x00\x00",  # the end lies beyond what holds it
        b"\x30\x80" * 2000,
    ],
)
def test_what_is_no_ber_either_is_refused(data: bytes) -> None:
    with pytest.raises(der.DerError, match=r"primitive|piece|cut off|deep"):
        ber.definite(data)


def test_as_many_elements_as_no_real_file_has_are_refused() -> None:
    with pytest.raises(der.DerError, match="too many"):
        ber.definite(der.encoded(0x30, b"\x05\x00" * (der.MOST_ELEMENTS + 1)))


@pytest.mark.parametrize("deep", [1, 2, 3, 4, 99])
def test_certificates_of_a_pkcs7_in_ber_are_read(deep: int) -> None:
    data = pkcs7.serialize_certificates([LEAF.certificate, ROOT.certificate], Encoding.DER)
    for written in (data, indefinite(data, deep=deep)):
        contents = read_objects(written, source="x")
        assert set(contents.certificates) == {LEAF.certificate, ROOT.certificate}
        assert (contents.format, contents.findings) == ("pkcs7", ())


def test_a_pkcs7_in_ber_is_read_from_pem_too_and_a_cut_one_is_damaged() -> None:
    data = indefinite(pkcs7.serialize_certificates([LEAF.certificate], Encoding.DER))
    pem = b"-----BEGIN PKCS7-----\n" + base64.encodebytes(data) + b"-----END PKCS7-----\n"
    assert read_objects(pem, source="x").certificates == (LEAF.certificate,)
    cut = read_objects(data[:-3], source="x")
    assert ("damaged" in cut.findings[0].seen, cut.objects) == (True, ())


@needs_openssl
@pytest.mark.parametrize("deep", [1, 2, 3, 99])
def test_a_pkcs12_in_ber_is_opened_with_its_password_alone(deep: int, tmp_path: Path) -> None:
    sealed = p12(tmp_path, "-name", "the one")
    written = indefinite(sealed, deep=deep, pieces=100)
    contents = read_objects(written, source="x", password=b"right")
    assert contents.certificates == (LEAF.certificate,)
    assert (contents.keys[0].key is not None, contents.keys[0].name) == (True, "the one")
    assert contents.findings == ()
    wrong = read_objects(written, source="x", password=b"wrong")
    assert [one.slug for one in wrong.findings] == ["keystore-wrong-password"]


@needs_openssl
def test_what_stands_in_ber_inside_a_pkcs12_is_read_as_well(tmp_path: Path) -> None:
    sealed = p12(tmp_path, "-nomac")
    top = der.read_element(sealed)
    version, data = der.children(sealed, top)
    kind, content = der.children(sealed, data)
    (string,) = der.children(sealed, content)
    inside = indefinite(string.content(sealed))
    held = der.encoded(0xA0, der.encoded(der.OCTET_STRING, inside))
    content_info = der.encoded(0x30, kind.whole(sealed) + held)
    written = der.encoded(0x30, version.whole(sealed) + content_info)
    contents = read_objects(written, source="x", password=b"right")
    assert contents.certificates == (LEAF.certificate,)
    assert contents.keys[0].key is not None


@needs_openssl
def test_revocation_lists_in_a_pkcs7_are_read(tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    made = ("crl2pkcs7", "-outform", "DER")
    both = openssl(*made, "-certfile", tmp_path / "root.pem", stdin=CRL)
    alone = openssl(*made, stdin=CRL)
    for data, certificates in ((both, (ROOT.certificate,)), (alone, ())):
        for written in (data, indefinite(data), indefinite(data, deep=3)):
            contents = read_objects(written, source="x")
            assert contents.findings == ()
            assert contents.certificates == certificates
            (crl,) = contents.crls
            assert crl.is_signature_valid(ROOT.private_key.public_key())
            assert [one.serial_number for one in crl] == [LEAF.certificate.serial_number]
    damaged = alone.replace(ROOT.certificate.subject.public_bytes(), b"\xff" * 10, 1)
    assert "damaged" in read_objects(damaged, source="x").findings[0].seen


@needs_openssl
def test_a_pkcs7_may_be_ber_in_its_depth_alone() -> None:
    data = openssl("crl2pkcs7", "-outform", "DER", stdin=CRL)
    top = der.read_element(data)
    kind, content = der.children(data, top)
    (signed,) = der.children(data, content)
    parts = [one.whole(data) for one in der.children(data, signed)]
    held = der.encoded(der.SEQUENCE, b"".join([*parts[:2], indefinite(parts[2]), *parts[3:]]))
    written = der.encoded(der.SEQUENCE, kind.whole(data) + der.encoded(der.CONTEXT_0, held))
    assert b"\x30\x80" in written
    contents = read_objects(written, source="x")
    assert (len(contents.crls), contents.findings) == (1, ())
