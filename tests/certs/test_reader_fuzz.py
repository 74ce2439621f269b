"""Bytes in, a result or a finding out: damaged files of every format, and files made to take long.

The default run is a sample; `make soak` makes ten thousand examples of each.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handclasp.certs import der
from handclasp.certs.describe import describe
from handclasp.certs.kinds import kind_of
from handclasp.certs.kinship import signers
from handclasp.certs.read import LIMIT, read_objects
from handclasp.certs.rows import rows
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from handclasp.certs.contents import Contents

PASSWORD = b"correct horse"
ROOT = pki.authority("Root")
LEAF = pki.leaf(
    ROOT,
    sans=["dns:svc-b.internal", "ip:10.0.0.1", "uri:spiffe://x/y", "email:a@b"],
    ca_issuers="http://pki/m.crt",
)


@cache
def samples() -> dict[str, bytes]:
    """One valid file of every format."""
    key, cert = LEAF.private_key, LEAF.certificate
    sealed = BestAvailableEncryption(PASSWORD)
    plain = NoEncryption()
    return {
        "certificate pem": LEAF.pem,
        "certificate der": LEAF.der,
        "bundle": LEAF.pem + LEAF.key_pem + ROOT.pem,
        "request pem": pki.request(LEAF),
        "request der": pki.der_from_pem(pki.request(LEAF)),
        "crl pem": pki.crl(ROOT, [LEAF]),
        "crl der": pki.der_from_pem(pki.crl(ROOT, [LEAF])),
        "pkcs8 pem": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, plain),
        "pkcs8 der": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, plain),
        "pkcs8 sealed": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, sealed),
        "sec1 der": key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, plain),
        "sec1 sealed": key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, sealed),
        "openssh": key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, plain),
        "public": key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "pkcs7 der": pkcs7.serialize_certificates([cert, ROOT.certificate], Encoding.DER),
        "pkcs7 pem": pkcs7.serialize_certificates([cert, ROOT.certificate], Encoding.PEM),
        "pkcs12": pkcs12.serialize_key_and_certificates(
            b"n",
            key,  # type: ignore[arg-type]
            cert,
            [ROOT.certificate],
            sealed,
        ),
        "pkcs12 open": pkcs12.serialize_key_and_certificates(
            b"n",
            key,  # type: ignore[arg-type]
            cert,
            [ROOT.certificate],
            plain,
        ),
    }


NAMES = st.sampled_from(sorted(samples()))
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def judged(data: bytes) -> Contents:
    """Something came of it, and all of that can be described; no private key in any of it."""
    contents = read_objects(data, source="x", password=PASSWORD)
    assert contents.objects or contents.findings
    assert len(contents.findings) <= 100
    told = repr(contents) + "".join(finding.as_text() for finding in contents.findings)
    for found in contents.objects:
        told += str(rows(describe(found, file="x", form=contents.format), now=pki.NOW))
    for line in LEAF.key_pem.splitlines()[1:-1]:
        assert line.decode() not in told
    return contents


def test_the_samples_themselves_are_read_without_an_error() -> None:
    for name, data in samples().items():
        contents = judged(data)
        assert contents.objects, name
        assert name == "openssh" or contents.findings == (), name


@slow
@given(st.binary(max_size=400))
def test_noise_gives_a_finding(data: bytes) -> None:
    judged(data)


@slow
@given(NAMES, st.floats(0, 1))
def test_a_file_cut_anywhere_gives_a_result_or_a_finding(name: str, place: float) -> None:
    data = samples()[name]
    judged(data[: int(place * len(data))])


@slow
@given(NAMES, NAMES, st.floats(0, 1), st.floats(0, 1))
def test_a_file_that_goes_on_as_another_gives_a_result_or_a_finding(
    one: str, other: str, place: float, there: float
) -> None:
    head, tail = samples()[one], samples()[other]
    judged(head[: int(place * len(head))] + tail[int(there * len(tail)) :])


@slow
@given(NAMES, st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_changed_bytes_give_a_result_or_a_finding(
    name: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(samples()[name])
    for place, value in changes:
        data[min(int(place * len(data)), len(data) - 1)] = value
    judged(bytes(data))


@slow
@given(
    st.sampled_from(sorted(name for name, data in samples().items() if data[:1] == b"0")),
    st.integers(0, 10**6),
    st.sampled_from(["drop", "twice", "empty", "tag", "swap"]),
    st.integers(0, 255),
)
def test_der_whose_elements_are_moved_about_gives_a_result_or_a_finding(
    name: str, number: int, change: str, tag: int
) -> None:
    """The lengths around the change are made right again, so that it reaches what parses the inside."""
    data = samples()[name]
    elements = list(der.walk(data))[1:]
    judged(_edited(data, elements[number % len(elements)], change, tag))


@pytest.mark.parametrize("name", ["request der", "crl der", "certificate der"])
def test_an_empty_name_is_told_without_a_warning_of_the_library(name: str) -> None:
    data = samples()[name]
    texts = [one for one in der.walk(data) if one.tag == 0x0C]
    odd = _edited(data, texts[0], "empty", 0)
    contents = judged(odd)  # a warning is an error in the tests
    for crl in contents.crls:
        assert signers(crl, [ROOT.certificate]) == ()
    assert contents.objects


def _edited(data: bytes, element: der.Element, change: str, tag: int) -> bytes:
    whole = element.whole(data)
    new = {
        "drop": b"",
        "twice": whole * 2,
        "empty": bytes([whole[0], 0]),
        "tag": bytes([tag]) + whole[1:],
        "swap": _wrapped(0x30, whole),
    }[change]
    inside = [outer for outer in der.walk(data) if outer.start <= element.offset < outer.end]
    start, end = element.offset, element.end
    for outer in reversed([one for one in inside if one.offset != element.offset]):
        content = data[outer.start : start] + new + data[end : outer.end]
        new, start, end = _wrapped(data[outer.offset], content), outer.offset, outer.end
    return new


def _wrapped(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def test_an_edit_that_changes_nothing_gives_the_same_der() -> None:
    element = list(der.walk(LEAF.der))[7]
    same = _edited(LEAF.der, element, "tag", LEAF.der[element.offset])
    assert same == LEAF.der
    assert kind_of(_edited(LEAF.der, element, "twice", 0))[1] > len(LEAF.der)


def _nested(depth: int) -> bytes:
    data = b""
    for _ in range(depth):
        data = _wrapped(0x30, data)
    return data


def _container_of(elements: int) -> bytes:
    """A PKCS#12, as far as can be told from outside, of very many elements."""
    inner = _wrapped(0x30, b"\x02\x00" * elements)
    data = bytes.fromhex("06092a864886f70d010701") + _wrapped(0xA0, _wrapped(0x04, inner))
    return _wrapped(0x30, b"\x02\x01\x03" + _wrapped(0x30, data))


@pytest.mark.parametrize(
    "made",
    [
        lambda: b"-----BEGIN CERTIFICATE-----\n" * (LIMIT // 28),
        lambda: b"-----BEGIN A-----\n-----END A-----\n" * (LIMIT // 40),
        lambda: b"-----BEGIN " * (LIMIT // 11),
        lambda: b"-----BEGIN " + b"A" * (LIMIT - 20),
        lambda: b"-----BEGIN A-----\n" + b"-" * (LIMIT - 40),
        lambda: b"-----BEGIN A-----\n" + b"a: b\n" * (LIMIT // 5 - 20) + b"-----END A-----\n",
        lambda: b"-----BEGIN A-----\na: b\n" + b"  c\n" * (LIMIT // 4 - 20) + b"-----END A-----\n",
        lambda: b"MI" + b"A" * (LIMIT - 10),
        lambda: b"\x30\x80" * (LIMIT // 2),
        lambda: _nested(20_000),
        lambda: _wrapped(0x30, b"\x02\x00" * (LIMIT // 2 - 10)),
        lambda: _wrapped(0x30, _wrapped(0x30, b"\x02\x00" * (LIMIT // 2 - 10))),
        lambda: _container_of(LIMIT // 2 - 50),
    ],
    ids=[
        *("begins", "empty-blocks", "half-begins", "long-label", "dashes", "headers"),
        *("folded-header", "base64", "indefinite", "nested", "wide", "wide-inside", "container"),
    ],
)
def test_files_made_to_take_long_are_done_with_in_seconds(made: Callable[[], bytes]) -> None:
    data = made()
    began = time.process_time()
    contents = read_objects(data, source="x", password=PASSWORD)
    assert (
        time.process_time() - began < 20
    )  # none takes 3 s; what grows by the square takes minutes
    assert contents.findings
    assert len(contents.findings) <= 100


def test_many_problems_of_one_cause_are_counted_and_not_listed() -> None:
    contents = read_objects(b"-----BEGIN A-----\n-----END A-----\n" * 250, source="x")
    assert len(contents.findings) == 100
    assert "150 more problems" in contents.findings[-1].seen


def test_an_error_after_very_many_warnings_is_still_an_error() -> None:
    mislabelled = LEAF.pem.replace(b"CERTIFICATE", b"X509 CRL")
    contents = read_objects(mislabelled * 150 + LEAF.pem[:-30], source="x")
    assert len(contents.findings) == 100
    assert [one.severity.value for one in contents.findings[98:]] == ["warning", "error"]


@needs_openssl
def test_a_container_with_nothing_in_it_is_told_so() -> None:
    hollow = openssl("crl2pkcs7", "-nocrl", "-outform", "DER")
    parameters = openssl("ecparam", "-name", "P-256")
    for data, told in ((hollow, "no certificate in it"), (parameters, "no certificate or key")):
        (finding,) = read_objects(data, source="x").findings
        assert told in finding.seen


@pytest.mark.parametrize("keep", range(0, 32, 5))
def test_a_shortened_vector_of_an_encrypted_key_is_damage_and_no_panic(keep: int) -> None:
    sealed = samples()["sec1 sealed"]
    assert read_objects(sealed, source="x", password=PASSWORD).findings == ()
    at = sealed.index(b",", sealed.index(b"DEK-Info")) + 1
    contents = read_objects(sealed[: at + keep] + sealed[at + 32 :], source="x", password=PASSWORD)
    (finding,) = contents.findings
    assert (finding.slug, "DEK-Info" in finding.seen) == ("key-unreadable", True)
