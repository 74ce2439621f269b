"""What is in the certificates of a private CA, by RFC 5280, by pkilint and by OpenSSL's strict checks."""

from __future__ import annotations

import importlib
import io
import ipaddress
import itertools
import re
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from handclasp.ca.creation import Wishes, make_certificates
from handclasp.ca.directory import NewAuthority, make_directory
from handclasp.ca.ledger import ISSUING, ROOT
from handclasp.ca.names import constraint, constraints_of, guessed_name
from handclasp.ca.newkeys import KEY_TYPES, kind_of_key, new_key
from handclasp.ca.profile import (
    Leaf,
    Signer,
    Use,
    Validity,
    intermediate_certificate,
    leaf_certificate,
    root_certificate,
    subject_name,
    use_of,
)
from handclasp.certs.secret import Secret
from handclasp.findings import FindingsError
from tests.ca.authority import issued, lists, make_authority, opened
from tests.openssl import needs_openssl, openssl
from tests.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pkilint", reason="pkilint is not installed")

BASE = "http://crl.example.internal/lists/"
FAST_KINDS = ("p256", "p384", "ed25519", "rsa2048")
NAMES = tuple(
    guessed_name(name)
    for name in ("192.0.2.7", "2001:db8::7", "spiffe://example.internal/a", "ops@example.internal")
)


@pytest.fixture(scope="module", params=FAST_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def ca(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    constraints = constraints_of(
        [
            constraint("dns", "example.internal"),
            constraint("ip", "192.0.2.0/24"),
            constraint("ip", "2001:db8::/32"),
        ],
        [constraint("dns", "secret.example.internal")],
    )
    folder = tmp_path_factory.mktemp(kind)
    return make_authority(folder, kind=kind, crl_base=BASE, constraints=constraints)


def _extension(
    certificate: x509.Certificate, kind: type[x509.ExtensionType]
) -> x509.Extension[Any]:
    return certificate.extensions.get_extension_for_class(kind)


def test_serials_are_positive_random_and_at_most_twenty_octets(ca: Path, tmp_path: Path) -> None:
    serials = {issued(ca, f"a{n}.example.internal", tmp_path).serial_number for n in range(4)}
    assert len(serials) == 4
    for serial in serials:
        assert 2**64 < serial < 2**159


def test_both_cas_sign_certificates_and_lists_and_nothing_else(ca: Path) -> None:
    with opened(ca) as (directory, _):
        for role, below in ((ROOT, 1), (ISSUING, 0)):
            certificate = directory.authority(role).certificate
            constraints = _extension(certificate, x509.BasicConstraints)
            assert constraints.critical
            assert constraints.value == x509.BasicConstraints(ca=True, path_length=below)
            usage = _extension(certificate, x509.KeyUsage)
            assert usage.critical
            assert usage.value.key_cert_sign
            assert usage.value.crl_sign
            assert not usage.value.digital_signature
        limits = _extension(directory.issuing.certificate, x509.NameConstraints)
        assert limits.critical
        with pytest.raises(x509.ExtensionNotFound):
            _extension(directory.root.certificate, x509.NameConstraints)


def test_key_identifiers_chain_from_leaf_to_root(ca: Path, tmp_path: Path) -> None:
    leaf = issued(ca, "a.example.internal", tmp_path)
    with opened(ca) as (directory, _):
        chain = [leaf, directory.issuing.certificate, directory.root.certificate]
    for below, above in itertools.pairwise(chain):
        identifier = _extension(above, x509.SubjectKeyIdentifier).value
        authority = _extension(below, x509.AuthorityKeyIdentifier)
        assert authority.value.key_identifier == identifier.digest
        assert not authority.critical
        assert below.issuer == above.subject
        below.verify_directly_issued_by(above)


@pytest.mark.parametrize(
    ("use", "purposes"),
    [
        (Use.CLIENT, {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (Use.SERVER, {ExtendedKeyUsageOID.SERVER_AUTH}),
        (Use.BOTH, {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}),
    ],
)
def test_usages_are_those_of_the_use_and_of_the_key(
    ca: Path, kind: str, tmp_path: Path, use: Use, purposes: set[x509.ObjectIdentifier]
) -> None:
    leaf = issued(ca, "a.example.internal", tmp_path, use=use, kind=kind)
    assert set(_extension(leaf, x509.ExtendedKeyUsage).value) == purposes
    assert not _extension(leaf, x509.BasicConstraints).value.ca
    usage = _extension(leaf, x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.key_encipherment == (kind.startswith("rsa") and use is not Use.CLIENT)
    assert not usage.value.key_agreement
    assert use_of(leaf) is use


def test_leaves_and_the_intermediate_say_where_their_list_is(ca: Path, tmp_path: Path) -> None:
    leaf = issued(ca, "a.example.internal", tmp_path)
    with opened(ca) as (directory, _):
        intermediate = directory.issuing.certificate
    for certificate, name in ((leaf, "issuing.crl"), (intermediate, "root.crl")):
        (point,) = _extension(certificate, x509.CRLDistributionPoints).value
        assert point.full_name == [x509.UniformResourceIdentifier(f"{BASE}{name}")]


def test_without_a_place_for_lists_none_is_told(tmp_path: Path) -> None:
    leaf = issued(make_authority(tmp_path), "a.example.internal", tmp_path)
    with pytest.raises(x509.ExtensionNotFound):
        _extension(leaf, x509.CRLDistributionPoints)


def test_names_are_utf8_and_the_common_name_is_among_the_alternative_names(
    ca: Path, tmp_path: Path
) -> None:
    leaf = issued(ca, "a.example.internal", tmp_path, names=NAMES)
    assert {attribute._type.name for attribute in leaf.subject} == {"UTF8String"}
    (common,) = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    names = _extension(leaf, x509.SubjectAlternativeName)
    assert not names.critical
    assert list(names.value) == [x509.DNSName(str(common.value)), *NAMES]


def test_alternative_names_are_critical_where_there_is_no_subject() -> None:
    key = new_key("p256")
    root = root_certificate(
        subject_name("Root", None), key, Validity.starting(NOW, timedelta(days=9)), path_length=0
    )
    leaf = Leaf(
        subject=subject_name("a" * 65, None),
        public_key=key.public_key(),
        use=Use.CLIENT,
        names=(guessed_name("spiffe://example.org/a"),),
        validity=Validity.starting(NOW, timedelta(days=1)),
    )
    certificate = leaf_certificate(Signer(certificate=root, key=key), leaf)
    assert not certificate.subject.rdns
    assert _extension(certificate, x509.SubjectAlternativeName).critical


@pytest.mark.parametrize(
    ("name", "other", "kept"),
    [
        ("svc-b", "spiffe://example.internal/b", False),
        ("svc-b", "192.0.2.1", False),
        ("v1.0", "ops@example.internal", False),
        ("192.0.2.7", "192.0.2.8", False),
        ("svc-b", "b.example.internal", True),
        ("Service B", "spiffe://example.internal/b", True),
        ("b.example.internal", "spiffe://example.internal/b", True),
    ],
)
def test_a_common_name_outside_the_dns_constraints_is_left_out(
    ca: Path, tmp_path: Path, name: str, other: str, kept: bool
) -> None:
    leaf = issued(ca, name, tmp_path, names=(guessed_name(other),))
    common = [str(one.value) for one in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    assert common == ([name] if kept else [])
    assert leaf.subject.rdns


def test_without_dns_constraints_a_common_name_stays(tmp_path: Path) -> None:
    ca = make_authority(tmp_path, constraints=constraints_of([constraint("uri", "a.b")], []))
    leaf = issued(ca, "svc-b", tmp_path, names=(guessed_name("spiffe://a.b/c"),))
    assert leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)


def test_the_constraints_of_the_root_bind_too(tmp_path: Path) -> None:
    """Even where the issuing CA has none."""
    constrained, free = new_key("p256"), new_key("p256")
    wishes = Wishes(
        organisation="Example Org",
        constraints=constraints_of([constraint("dns", "example.internal")], []),
        constrain_root=True,
    )
    made = make_certificates(wishes, NOW, root_key=constrained, issuing_key=free.public_key())
    root = made[ROOT]
    issuing = intermediate_certificate(
        Signer(certificate=root, key=constrained),
        made[ISSUING].subject,
        free.public_key(),
        Validity.starting(NOW, timedelta(days=9)).within(root),
    )
    path = tmp_path / "ca"
    make_directory(
        path,
        wishes.settings(),
        {
            ROOT: NewAuthority(certificate=root, key=Secret(constrained)),
            ISSUING: NewAuthority(certificate=issuing, key=Secret(free)),
        },
    )
    issued(path, "a.example.internal", tmp_path)
    with pytest.raises(FindingsError, match="name-constraint-violated"):
        issued(path, "a.example.com", tmp_path)


@pytest.mark.parametrize("use", list(Use))
def test_a_leaf_without_any_name_is_not_issued(use: Use) -> None:
    key = new_key("p256")
    validity = Validity.starting(NOW, timedelta(days=9))
    root = root_certificate(subject_name("Root", None), key, validity, path_length=0)
    leaf = Leaf(
        subject=x509.Name([]), public_key=key.public_key(), use=use, names=(), validity=validity
    )
    with pytest.raises(ValueError, match="needs a name"):
        leaf_certificate(Signer(certificate=root, key=key), leaf)


def test_no_certificate_begins_before_or_ends_after_its_issuer(ca: Path, tmp_path: Path) -> None:
    leaf = issued(ca, "a.example.internal", tmp_path)
    with opened(ca) as (directory, _):
        chain = [leaf, directory.issuing.certificate, directory.root.certificate]
    for below, above in itertools.pairwise(chain):
        assert below.not_valid_before_utc >= above.not_valid_before_utc
        assert below.not_valid_after_utc <= above.not_valid_after_utc
    assert leaf.not_valid_before_utc == NOW - timedelta(minutes=5)


@pytest.mark.parametrize("kind_wanted", KEY_TYPES)
def test_a_new_key_is_of_the_kind_that_was_wanted(kind_wanted: str) -> None:
    key = new_key(kind_wanted)
    assert kind_of_key(key) == kind_of_key(key.public_key()) == kind_wanted
    if isinstance(key, rsa.RSAPrivateKey):
        assert key.public_key().public_numbers().e == 65537
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        assert key.curve.key_size == int(kind_wanted[1:])


def test_an_unknown_kind_of_key_is_refused() -> None:
    with pytest.raises(ValueError, match="there are p256"):
        new_key("rsa1024")


# pkilint: the linter that can be had as a Python package; docs/decisions/0011 says which of zlint's
# checks it stands for.


class _StandardInput(io.BytesIO):
    name = "standard input"


Linter = Callable[[str, list[str], bytes], str]


@pytest.fixture
def lint(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Linter:
    """What a program of pkilint says of DER, with a severity of notice or more."""

    def run(program: str, arguments: list[str], data: bytes) -> str:
        # On standard input: it does not close the files it opens.
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(_StandardInput(data)))
        main = importlib.import_module(f"pkilint.bin.{program}").main
        main(["lint", "-s", "NOTICE", "--document-format", "DER", *arguments, "-"])
        return re.sub(r"\s+", " ", capsys.readouterr().out).strip()

    return run


def _lint_certificate(lint: Linter, certificate: x509.Certificate) -> str:
    return lint("lint_pkix_cert", [], certificate.public_bytes(Encoding.DER))


def test_a_linter_finds_nothing_in_any_certificate(
    ca: Path, kind: str, tmp_path: Path, lint: Linter
) -> None:
    with opened(ca) as (directory, _):
        certificates = [directory.authority(role).certificate for role in (ROOT, ISSUING)]
    # pkilint takes a spiffe: URI for no URI at all: it knows a list of schemes.
    web = guessed_name("https://a.example.internal/a")
    names = tuple(
        web if isinstance(name, x509.UniformResourceIdentifier) else name for name in NAMES
    )
    for use in Use:
        folder = tmp_path / use.value
        certificates.append(
            issued(ca, "a.example.internal", folder, use=use, kind=kind, names=names)
        )
    for certificate in certificates:
        assert _lint_certificate(lint, certificate) == ""


def test_the_linter_sees_what_a_ca_certificate_lacks(lint: Linter) -> None:
    """The broken twin: a certificate that signs others and does not say so as it should."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = subject_name("Root", None)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=False)
        .sign(key, hashes.SHA256())
    )
    assert "basic_constraints" in _lint_certificate(lint, certificate)


def test_a_linter_finds_nothing_in_the_lists(ca: Path, lint: Linter) -> None:
    lists(ca)
    for role in (ROOT, ISSUING):
        data = (ca / f"{role}.crl").read_bytes()
        assert lint("lint_crl", ["-t", "CRL", "-p", "PKIX"], data) == ""


@needs_openssl
def test_openssl_accepts_leaves_of_every_kind_strictly_for_their_use_only(
    ca: Path, kind: str, tmp_path: Path
) -> None:
    crl = lists(ca)
    for use, purpose, other in (
        (Use.CLIENT, "sslclient", "sslserver"),
        (Use.SERVER, "sslserver", "sslclient"),
    ):
        folder = tmp_path / use.value
        issued(ca, "a.example.internal", folder, use=use, kind=kind, names=NAMES)
        leaf = folder / "a.example.internal.pem"
        verify: list[str | Path] = [
            *("verify", "-x509_strict", "-policy_check", "-crl_check_all", "-CRLfile", crl),
            *("-CAfile", ca / "root.pem", "-untrusted", leaf, "-purpose"),
        ]
        assert b": OK" in openssl(*verify, purpose, leaf)
        assert b": OK" not in openssl(*verify, other, leaf, ok=False)


@needs_openssl
def test_openssl_refuses_what_the_constraints_forbid(ca: Path, tmp_path: Path) -> None:
    """That we refuse it too, before signing, is shown elsewhere; here it is forced."""
    with opened(ca) as (directory, signer):
        leaf = Leaf(
            subject=subject_name("a.example.com", None),
            public_key=new_key("p256").public_key(),
            use=Use.SERVER,
            names=(
                x509.DNSName("a.example.com"),
                x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
            ),
            validity=Validity.starting(NOW, timedelta(days=1)).within(
                directory.issuing.certificate
            ),
        )
        path = tmp_path / "forced.pem"
        path.write_bytes(leaf_certificate(signer, leaf).public_bytes(Encoding.PEM))
    command = ("verify", "-CAfile", ca / "root.pem", "-untrusted", ca / "issuing.pem", path)
    assert b": OK" not in openssl(*command, ok=False)
