"""Any bytes become objects or a finding with the reason, whatever the file is called."""

from __future__ import annotations

import base64
import random
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs7,
    pkcs12,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.certs.dn import subject_text
from handclasp.certs.private_keys import spki
from handclasp.certs.read import LIMIT, read_objects
from handclasp.findings import Severity
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.certs.contents import Contents

PASSWORD = b"correct horse"
ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LEAF = pki.leaf(MIDDLE, sans=["dns:svc-b.internal"])
CRL = pki.crl(ROOT)


def read(data: bytes, password: bytes | None = None) -> Contents:
    return read_objects(data, source="some file.bin", password=password)


def slugs(contents: Contents, severity: Severity | None = None) -> list[str]:
    return [f.slug for f in contents.findings if severity is None or f.severity is severity]


def opened(contents: Contents) -> list[bytes]:
    keys = [key.key.reveal() for key in contents.keys if key.key is not None]
    return [spki(key.public_key()) for key in keys]


OURS = spki(LEAF.private_key.public_key())


def p12(password: bytes | None) -> bytes:
    assert isinstance(LEAF.private_key, ec.EllipticCurvePrivateKey)
    return pkcs12.serialize_key_and_certificates(
        b"name",
        LEAF.private_key,
        LEAF.certificate,
        [issuer.certificate for issuer in LEAF.issuers],
        BestAvailableEncryption(password) if password else NoEncryption(),
    )


def test_pem_with_text_around_and_any_mix_of_objects_is_read_in_file_order() -> None:
    data = b"Subject: CN=x\n" + LEAF.chain_pem + b"some words\n" + LEAF.key_pem + CRL
    contents = read(data)
    assert contents.format == "pem"
    assert contents.certificates == (LEAF.certificate, MIDDLE.certificate)
    assert opened(contents) == [OURS]
    assert len(contents.crls) == 1
    assert contents.findings == ()
    assert contents.objects[0].line == 2


@pytest.mark.parametrize(
    "disguise",
    [
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: pem.replace(b"\n", b"\r"),
        lambda pem: b"\xef\xbb\xbf" + pem,
        lambda pem: pem.replace(b"\n", b"  \n"),
        lambda pem: b"\n\n" + pem,
        lambda pem: pem.removesuffix(b"\n"),
    ],
    ids=["crlf", "cr", "bom", "trailing-blanks", "blank-lines", "no-final-newline"],
)
def test_line_endings_and_byte_order_marks_do_not_matter(disguise) -> None:
    contents = read(disguise(LEAF.chain_pem))
    assert contents.certificates == (LEAF.certificate, MIDDLE.certificate)
    assert contents.findings == ()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_recognised_and_refused_with_the_way_out(encoding: str) -> None:
    contents = read(LEAF.pem.decode().encode(encoding))
    assert slugs(contents) == ["not-pem"]
    assert "UTF-16" in contents.findings[0].seen
    assert "ascii" in contents.findings[0].fix


def test_der_certificates_requests_and_lists_are_told_from_the_bytes() -> None:
    assert read(LEAF.der).certificates == (LEAF.certificate,)
    assert read(LEAF.der).format == "der"
    assert len(read(pki.der_from_pem(CRL)).crls) == 1
    assert len(read(pki.request(LEAF)).csrs) == 1
    assert len(read(pki.der_from_pem(pki.request(LEAF))).csrs) == 1


@needs_openssl
@pytest.mark.parametrize("kind", ["p256", "rsa2048"])
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_every_key_form_openssl_writes_is_read(kind: str, form: str) -> None:
    pair = pki.leaf(ROOT, "keys", key_kind=kind, key_label=f"keys {kind}")
    command = "rsa" if kind.startswith("rsa") else "ec"
    traditional = ("-traditional",) if command == "rsa" else ()
    files = {
        "pkcs8": openssl("pkcs8", "-topk8", "-nocrypt", "-outform", form, stdin=pair.key_pem),
        "pkcs1" if command == "rsa" else "sec1": openssl(
            command, *traditional, "-outform", form, stdin=pair.key_pem
        ),
        "pkcs8-encrypted": openssl(
            "pkcs8", "-topk8", "-outform", form, "-passout", f"pass:{PASSWORD.decode()}",
            stdin=pair.key_pem,
        ),
    }  # fmt: skip
    if form == "PEM":
        files["pem-encrypted"] = openssl(
            command, *traditional, "-aes256", "-passout", f"pass:{PASSWORD.decode()}",
            stdin=pair.key_pem,
        )  # fmt: skip
    for expected, data in files.items():
        contents = read(data, PASSWORD)
        assert [key.form for key in contents.keys] == [expected]
        assert opened(contents) == [spki(pair.private_key.public_key())]
        assert contents.keys[0].encrypted == ("encrypted" in expected)
        assert contents.findings == ()


@pytest.mark.parametrize(
    ("form", "encoding"),
    [
        (PrivateFormat.PKCS8, Encoding.PEM),
        (PrivateFormat.PKCS8, Encoding.DER),
        (PrivateFormat.TraditionalOpenSSL, Encoding.PEM),
    ],
)
@pytest.mark.parametrize(
    ("given", "slug"),
    [
        (None, "key-encrypted-no-passphrase"),
        (b"", "key-encrypted-no-passphrase"),
        (b"wrong", "key-wrong-passphrase"),
    ],
)
def test_an_encrypted_key_without_the_right_passphrase_is_named_so(
    form: PrivateFormat, encoding: Encoding, given: bytes | None, slug: str
) -> None:
    data = LEAF.private_key.private_bytes(encoding, form, BestAvailableEncryption(PASSWORD))
    contents = read(data, given)
    assert slugs(contents) == [slug]
    assert contents.keys[0].key is None
    assert contents.keys[0].problem == contents.findings[0]


def test_a_password_for_a_key_that_is_not_encrypted_does_no_harm() -> None:
    assert opened(read(LEAF.key_pem, PASSWORD)) == [OURS]


def test_ed25519_keys_are_read() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert opened(read(data)) == [spki(key.public_key())]


def test_an_rsa_key_whose_numbers_do_not_fit_is_refused() -> None:
    numbers = rsa.generate_private_key(65537, 2048).private_numbers()
    good = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    bad = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d, numbers.dmp1 ^ 2, numbers.dmq1, numbers.iqmp,
        numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)  # fmt: skip
    for key, expected in ((good, []), (bad, ["key-unreadable"])):
        data = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        assert slugs(read(data)) == expected


def test_pkcs7_in_pem_and_der_gives_its_certificates() -> None:
    for encoding in (Encoding.PEM, Encoding.DER):
        data = pkcs7.serialize_certificates([LEAF.certificate, MIDDLE.certificate], encoding)
        assert set(read(data).certificates) == {LEAF.certificate, MIDDLE.certificate}


def test_pkcs12_gives_key_and_certificates_leaf_first() -> None:
    contents = read(p12(PASSWORD), PASSWORD)
    assert contents.format == "pkcs12"
    assert contents.certificates[0] == LEAF.certificate
    assert len(contents.certificates) == 3
    assert opened(contents) == [OURS]
    assert contents.keys[0].encrypted


def test_pkcs12_without_password_is_read_without_one() -> None:
    contents = read(p12(None))
    assert opened(contents) == [OURS]
    assert not contents.keys[0].encrypted


@pytest.mark.parametrize("given", [None, b"", b"wrong"])
def test_pkcs12_with_the_wrong_password_is_told_from_damage(given: bytes | None) -> None:
    assert slugs(read(p12(PASSWORD), given)) == ["keystore-wrong-password"]


def test_a_damaged_pkcs12_is_told_from_a_wrong_password() -> None:
    data = p12(PASSWORD)
    assert slugs(read(data[:-40], PASSWORD)) == ["certificate-unreadable"]
    # The checksum is broken and everything else intact: the key still opens.
    flipped = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
    contents = read(flipped, PASSWORD)
    assert slugs(contents) == ["certificate-unreadable"]
    assert "damaged" in contents.findings[0].seen
    assert slugs(read(flipped, b"wrong")) == ["keystore-wrong-password"]


@needs_openssl
def test_legacy_pkcs12_is_read_and_its_algorithms_are_named(tmp_path: Path) -> None:
    (tmp_path / "all.pem").write_bytes(LEAF.pem + LEAF.key_pem)
    old = openssl(
        "pkcs12", "-export", "-legacy", "-in", tmp_path / "all.pem", "-passout", "pass:x",
        "-certpbe", "PBE-SHA1-RC2-40", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1",
    )  # fmt: skip
    contents = read(old, b"x")
    assert slugs(contents, Severity.WARNING) == ["pkcs12-legacy-algorithm"]
    assert "3DES" in contents.findings[0].seen
    assert opened(contents) == [OURS]
    new = openssl("pkcs12", "-export", "-in", tmp_path / "all.pem", "-passout", "pass:x")
    assert read(new, b"x").findings == ()


@pytest.mark.parametrize(
    ("data", "slug", "told"),
    [
        (b"\xfe\xed\xfe\xed" + bytes(50), "not-pem", "JKS"),
        (b"PuTTY-User-Key-File-3: ssh-ed25519\n", "key-unreadable", "PuTTY"),
        (b"PK\x03\x04rest", "not-pem", "ZIP"),
        (b"<!DOCTYPE html><html>", "not-pem", "HTML"),
        (b"ssh-ed25519 AAAAC3Nza", "not-pem", "SSH public"),
        (b"", "pem-empty-or-corrupt", "empty"),
        (b" \n\n", "pem-empty-or-corrupt", "empty"),
        (random.Random(7).randbytes(4000), "not-pem", "no certificate"),
        (b"just some words", "not-pem", "no certificate"),
        (b"0\x80\x02\x01\x03\x00\x00", "certificate-unreadable", "damaged"),
        (LEAF.der[:200], "certificate-unreadable", "cut off"),
        (bytes(LIMIT + 1), "certificate-unreadable", "larger"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_of_other_worlds_and_broken_ones_are_named(data: bytes, slug: str, told: str) -> None:
    contents = read(data)
    assert slugs(contents) == [slug]
    assert told in contents.findings[0].seen
    assert contents.findings[0].where.file == "some file.bin"


def test_an_openssh_key_is_recognised_by_name_with_the_way_out() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    data = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    contents = read(data)
    assert slugs(contents) == ["key-unreadable"]
    assert "ssh-keygen" in contents.findings[0].fix
    assert contents.keys[0].form == "openssh"


def lines(pem: bytes) -> list[bytes]:
    return pem.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda pem: b"".join(lines(pem)[:-1]), "no END line"),
        (lambda pem: b"".join(lines(pem)[:3] + lines(pem)[-1:]), "does not hold what it says"),
        (lambda pem: pem.replace(b"END CERTIFICATE", b"END PRIVATE KEY"), "mixed up"),
        (lambda pem: lines(pem)[0] + lines(pem)[-1], "nothing between"),
        (lambda pem: pem.replace(b"M", b"*", 1), "not base64"),
        (lambda pem: pem.replace(b"\n", b"\\n"), "two characters"),
    ],
    ids=["cut", "lines-missing", "mixed", "hollow", "changed", "escaped-newlines"],
)
def test_a_damaged_block_is_named_with_its_line_and_the_next_one_is_read(damage, told: str) -> None:
    contents = read(b"one\ntwo\n" + damage(LEAF.pem) + b"\n" + ROOT.pem)
    assert slugs(contents) == ["pem-empty-or-corrupt"]
    assert told in contents.findings[0].seen
    assert contents.findings[0].where.line == 3
    assert contents.certificates == (ROOT.certificate,)


def test_blocks_glued_together_are_read_with_a_warning() -> None:
    contents = read(LEAF.pem.rstrip() + MIDDLE.pem)
    assert contents.certificates == (LEAF.certificate, MIDDLE.certificate)
    assert set(slugs(contents)) == {"pem-empty-or-corrupt"}
    assert slugs(contents, Severity.ERROR) == []


def test_a_wrong_label_is_told_and_the_content_counts() -> None:
    contents = read(pki.request(LEAF).replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"))
    assert len(contents.csrs) == 1
    assert contents.certificates == ()
    assert slugs(contents, Severity.WARNING) == ["pem-empty-or-corrupt"]
    assert "signing request" in contents.findings[0].seen


def test_base64_without_armour_is_read_with_a_warning() -> None:
    contents = read(base64.encodebytes(LEAF.der))
    assert contents.certificates == (LEAF.certificate,)
    assert slugs(contents, Severity.WARNING) == ["not-pem"]


def test_a_trusted_certificate_block_gives_its_certificate() -> None:
    trust = b"0\x0c0\n\x06\x08+\x06\x01\x05\x05\x07\x03\x01"
    body = base64.encodebytes(LEAF.der + trust)
    data = b"-----BEGIN TRUSTED CERTIFICATE-----\n" + body + b"-----END TRUSTED CERTIFICATE-----\n"
    assert read(data).certificates == (LEAF.certificate,)


def test_curve_parameters_before_a_key_are_passed_over() -> None:
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    contents = read(parameters + LEAF.key_pem)
    assert opened(contents) == [OURS]
    assert contents.findings == ()


def test_a_certificate_with_a_broken_extension_is_refused_with_the_reason() -> None:
    san = b"\x06\x03\x55\x1d\x11\x04"
    at = LEAF.der.index(san) + len(san) + 1
    contents = read(LEAF.der[:at] + b"\x31" + LEAF.der[at + 1 :])
    assert slugs(contents) == ["certificate-unreadable"]
    (finding,) = contents.findings
    assert "extension 2.5.29.17 (subject alternative name) is broken" in finding.seen
    assert "subject 'CN=svc-b,O=Example Org'" in finding.seen
    assert f"until {LEAF.certificate.not_valid_after_utc:%Y-%m-%d}" in finding.seen
    assert contents.objects == ()  # what is known in part only is told, and not used


def test_an_extension_that_stands_twice_is_refused_by_name() -> None:
    ski, aki = b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x0f"
    contents = read(LEAF.der.replace(aki, ski))
    assert slugs(contents) == ["certificate-unreadable"]
    assert "2.5.29.14 (subject key identifier) stands twice" in contents.findings[0].seen


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_on_an_unsupported_curve_is_refused_with_the_reason(form: PrivateFormat) -> None:
    p256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    data = LEAF.private_key.private_bytes(Encoding.DER, form, NoEncryption())
    contents = read(data.replace(p256, p256[:-1] + b"\x63"))
    assert slugs(contents) == ["key-unreadable"]


def test_a_certificate_on_an_unsupported_curve_is_refused_with_the_reason() -> None:
    p256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
    contents = read(LEAF.der.replace(p256, p256[:-1] + b"\x63"))
    assert slugs(contents) == ["certificate-unreadable"]
    assert "key" in contents.findings[0].seen


@needs_openssl
@pytest.mark.parametrize("serial", ["0", "-5"])
def test_certificates_with_forbidden_serials_are_read_without_a_warning(
    serial: str, tmp_path: Path
) -> None:
    data = openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-keyout", tmp_path / "k", "-subj", "/CN=x", "-set_serial", serial,
    )  # fmt: skip
    assert len(read(data).certificates) == 1


def test_names_longer_than_allowed_are_read_without_a_warning_then_or_later() -> None:
    # A country of 64 letters: what was the common name.
    der = pki.leaf(ROOT, "x" * 64).der.replace(b"\x06\x03\x55\x04\x03", b"\x06\x03\x55\x04\x06")
    cert = read(der).certificates[0]
    assert cert.subject != cert.issuer
    assert subject_text(cert).startswith("C=xxx")


SAMPLES = [
    LEAF.pem, LEAF.der, LEAF.key_pem, CRL, pki.request(LEAF), p12(PASSWORD), p12(None),
    LEAF.encrypted_key_pem(PASSWORD),
    pkcs7.serialize_certificates([LEAF.certificate], Encoding.DER),
]  # fmt: skip


def judged(data: bytes) -> None:
    contents = read(data, PASSWORD)
    assert contents.objects or contents.findings
    for finding in contents.findings:
        assert finding.seen
    for key in contents.keys:
        assert (key.key is None) != (key.problem is None)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_result_or_a_finding(data: bytes) -> None:
    judged(data)


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 3)), max_size=4),
)
def test_damaged_files_give_a_result_or_a_finding(
    sample: bytes, edits: list[tuple[float, bytes, int]]
) -> None:
    """Some bytes replaced, inserted or removed anywhere in a real file."""
    for place, new, removed in edits:
        at = int(place * len(sample))
        sample = sample[:at] + new + sample[at + removed :]
    judged(sample)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SAMPLES), st.floats(0, 1))
def test_no_finding_quotes_what_a_damaged_file_held(sample: bytes, place: float) -> None:
    at = int(place * len(sample))
    contents = read(sample[:at] + b"\x00" + sample[at + 1 :], PASSWORD)
    told = repr(contents) + "".join(finding.as_text() for finding in contents.findings)
    for line in LEAF.key_pem.splitlines()[1:-1]:
        assert line.decode() not in told
    assert PASSWORD.decode() not in told


MESSAGE = b"nothing much"


def enveloped(folder: Path, form: str) -> bytes:
    (folder / "to.pem").write_bytes(pki.leaf(pki.authority("Root"), key_kind="rsa2048").pem)
    return openssl("cms", "-encrypt", "-outform", form, folder / "to.pem", stdin=MESSAGE)


@needs_openssl
@pytest.mark.parametrize("form", ["DER", "PEM", "SMIME"])
def test_an_encrypted_message_is_called_one_with_the_way_out(tmp_path: Path, form: str) -> None:
    data = enveloped(tmp_path, form)
    finding = read(data).findings[0]
    assert "encrypted" in finding.seen
    assert "damaged" not in finding.seen
    assert f"openssl cms -decrypt -inform {form} " in finding.fix
    streamed = openssl(
        "cms", "-encrypt", "-stream", "-outform", "DER", tmp_path / "to.pem", stdin=MESSAGE
    )
    assert "encrypted" in read(streamed).findings[0].seen


@needs_openssl
@pytest.mark.parametrize("options", [(), ("-nodetach",)], ids=["multipart", "opaque"])
def test_certificates_of_a_signed_mail_are_had_by_the_way_out_that_is_told(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    pair = pki.leaf(pki.authority("Root"))
    certificate, key = pair.write(tmp_path, "me")
    mail = openssl(
        "cms",
        "-sign",
        *options,
        "-signer",
        certificate,
        "-inkey",
        key,
        "-outform",
        "SMIME",
        stdin=MESSAGE,
    )
    (tmp_path / "FILE").write_bytes(b"From: somebody\n" + mail)
    contents = read((tmp_path / "FILE").read_bytes())
    assert "S/MIME" in contents.findings[0].seen
    assert "openssl smime -pk7out -in FILE -out certificates.p7b" in contents.findings[0].fix
    out = openssl("smime", "-pk7out", "-in", tmp_path / "FILE")
    assert pair.certificate in read(out).certificates


def test_a_mail_with_pem_in_it_is_read() -> None:
    pem = pki.authority("Root").pem
    mail = b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"\n\n' + pem
    assert len(read(mail).certificates) == 1
