from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import EnvironmentFault, HandclaspError, UsageError
from handclasp.wire.context import ContextSettings, build_context
from handclasp.wire.offer import ClientCredential, TlsVersion, TrustAnchors
from handclasp.wire.session import Session
from tests import pki

if TYPE_CHECKING:
    from pathlib import Path

    from tests.wire.servers import Hop


def build(**changes: object) -> ssl.SSLContext:
    plain = {
        "identity": None,
        "trust": None,
        "minimum": None,
        "maximum": None,
        "alpn": (),
        "check_hostname": False,
    }
    return build_context(ContextSettings(**{**plain, **changes}))  # type: ignore[arg-type]


def test_without_trust_nothing_is_verified_and_with_it_everything_is(hop: Hop) -> None:
    assert build().verify_mode is ssl.CERT_NONE
    trusting = build(trust=TrustAnchors(files=(hop.pem("root"),)), check_hostname=True)
    assert trusting.verify_mode is ssl.CERT_REQUIRED
    assert trusting.check_hostname
    assert len(trusting.get_ca_certs()) == 1


def test_trust_is_the_union_of_files_and_text_and_never_the_systems_unasked(hop: Hop) -> None:
    both = TrustAnchors(files=(hop.pem("root"),), pem=hop.server.issuers[0].pem.decode())
    assert len(build(trust=both).get_ca_certs()) == 2
    assert build(trust=TrustAnchors()).get_ca_certs() == []


def test_certificates_are_never_compressed_so_that_they_can_be_read() -> None:
    """OpenSSL 3.2 and newer offer compress_certificate (RFC 8879, extension 27) unless told."""
    hello = Session(build(minimum=TlsVersion.TLS_1_3), "server.example")
    assert not hello.handshake()
    record = hello.take_outgoing()
    # In front: record and message headers, version, random, session id.
    rest = record[5 + 4 + 2 + 32 :]
    rest = rest[1 + rest[0] :]
    rest = rest[2 + int.from_bytes(rest[:2], "big") :]  # cipher suites
    rest = rest[1 + rest[0] + 2 :]  # compression methods, length of the extensions
    offered = set()
    while rest:
        offered.add(int.from_bytes(rest[:2], "big"))
        rest = rest[4 + int.from_bytes(rest[2:4], "big") :]
    assert 43 in offered, "supported_versions: the walk through the hello is right"
    assert 27 not in offered


def test_an_encrypted_key_opens_with_its_password_and_only_with_it(tmp_path: Path) -> None:
    pair = pki.leaf(pki.authority())
    certificate, key = pair.write(tmp_path, "client")
    key.write_bytes(pair.encrypted_key_pem(b"sesame"))

    def load(password: bytes | None) -> None:
        who = ClientCredential(certificate=str(certificate), key=str(key), password=password)
        assert "sesame" not in repr(who)
        build(identity=who)

    load(b"sesame")
    with pytest.raises(UsageError, match="password does not open"):
        load(b"wrong")
    with pytest.raises(UsageError, match="encrypted and no password"):
        load(None)
    with pytest.raises(UsageError, match="password does not open"):
        load(b"x" * 5000)


def test_a_key_beside_its_certificate_needs_no_second_path(tmp_path: Path) -> None:
    pair = pki.leaf(pki.authority())
    both = tmp_path / "both.pem"
    both.write_bytes(pair.pem + pair.key_pem)
    build(identity=ClientCredential(certificate=str(both)))


def test_an_identity_that_cannot_be_loaded_is_named(hop: Hop, tmp_path: Path) -> None:
    text, absent = tmp_path / "text.pem", str(tmp_path / "absent.pem")
    text.write_text("no PEM at all")
    cases = [
        (hop.pem("client"), absent, EnvironmentFault, "absent.pem: No such file"),
        (absent, hop.key("client"), EnvironmentFault, "absent.pem: No such file"),
        (hop.pem("client"), hop.key("server"), UsageError, "is not the key of"),
        (str(text), hop.key("client"), UsageError, "must be PEM"),
        ("nul\0", hop.key("client"), UsageError, "cannot be loaded"),
    ]
    for certificate, key, kind, words in cases:
        with pytest.raises(HandclaspError, match=words) as caught:
            build(identity=ClientCredential(certificate=certificate, key=key))
        assert caught.type is kind


def test_anchors_that_cannot_be_loaded_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    with pytest.raises(UsageError, match=r"empty\.pem"):
        build(trust=TrustAnchors(files=(str(empty),)))
    with pytest.raises(EnvironmentFault, match=r"absent\.crl: No such file"):
        build(trust=TrustAnchors(crls=(str(tmp_path / "absent.crl"),)))
    with pytest.raises(UsageError, match="trust anchors cannot be loaded"):
        build(trust=TrustAnchors(pem="nothing"))


def test_versions_are_set_as_asked_and_old_ones_can_be() -> None:
    context = build(minimum=TlsVersion.TLS_1_2, maximum=TlsVersion.TLS_1_2)
    assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_2
    old = build(maximum=TlsVersion.TLS_1_1)
    assert old.maximum_version is ssl.TLSVersion.TLSv1_1
    assert old.minimum_version is ssl.TLSVersion.TLSv1
    assert old.security_level == 0
