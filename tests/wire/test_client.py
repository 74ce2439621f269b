"""What the handshake client reports of servers that accept, refuse, lie or say nothing.

The refusals are the table every diagnosis rests on: the same refusal shows in the handshake under
TLS 1.2 and in the first read under TLS 1.3.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

import pytest

from handclasp.errors import InternalFault, UsageError
from handclasp.wire.observation import FailureKind, Party, Stage, Target
from handclasp.wire.offer import HttpRequest, TlsVersion, TrustAnchors
from tests.wire.looking import ASKING, V12, V13, VERSIONS, at, identity, see, trust
from tests.wire.servers import (
    Hop,
    server_context,
    serving,
)
from tests.wire.servers import tls as tls_server

if TYPE_CHECKING:
    from pathlib import Path


@VERSIONS
def test_an_accepted_client_is_reported_with_everything_that_was_agreed(
    hop: Hop, version: ssl.TLSVersion
) -> None:
    with serving(tls_server(server_context(hop, version=version))) as seen:
        found = see(
            at(seen),
            identity=identity(hop),
            trust=trust(hop),
            verify_name="server.example",
            request=HttpRequest(),
        )
    assert found.failure is None
    assert found.ok
    assert found.reached
    assert not found.refused
    assert found.handshake_complete
    assert found.protocol == {V12: "TLSv1.2", V13: "TLSv1.3"}[version]
    assert found.cipher
    assert found.server_hello is not None
    assert (found.server_hello.group is not None) == (version is V13)
    assert found.session_reused is False
    assert found.peer is not None
    assert found.peer.leaf == hop.server.der
    assert found.peer.sha256 == hashlib.sha256(hop.server.der).hexdigest()
    assert len(found.peer.chain) == 2, "leaf and intermediate, as sent"
    assert found.client_certificate_requested is True
    assert found.client_certificate_sent is True
    assert found.answer is not None
    assert (found.answer.status, found.answer.body, found.answer.complete) == (200, b"hi", True)
    assert found.local_address is not None
    assert found.local_address.startswith("127.0.0.1:")
    assert found.bytes_received > 0
    assert found.bytes_sent > 0
    assert seen.certificates == [hop.client.der]
    assert [step.name for step in found.steps if step.ok] == [
        Stage.RESOLVE,
        Stage.CONNECT,
        Stage.HANDSHAKE,
        Stage.FIRST_READ,
        Stage.REQUEST,
        Stage.ANSWER,
    ]


@VERSIONS
def test_a_certificate_request_without_authorities_names_none(
    hop: Hop, version: ssl.TLSVersion
) -> None:
    """Python's servers name no CAs; nginx does, see test_nginx."""
    with serving(tls_server(server_context(hop, version=version), then="hold")) as seen:
        found = see(at(seen), identity=identity(hop), first_read=0.01)
    assert found.certificate_request is not None
    assert found.certificate_request.authorities == ()
    assert found.certificate_request.signature_schemes
    assert bool(found.certificate_request.certificate_types) == (version is V12)


@VERSIONS
def test_a_server_that_wants_no_client_certificate_is_known_to_want_none(
    hop: Hop, version: ssl.TLSVersion
) -> None:
    with serving(tls_server(server_context(hop, version=version, clients=None))) as seen:
        found = see(at(seen), identity=identity(hop), request=HttpRequest())
    assert found.ok
    assert found.client_certificate_requested is False
    assert found.client_certificate_sent is False
    assert found.certificate_request is None


REFUSALS = {
    # name of the client: (TLS 1.2 reason, alert), (TLS 1.3 reason, alert), the server's own words
    None: (
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", 40),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", 116),
        "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    ),
    "stranger": (
        ("TLSV1_ALERT_UNKNOWN_CA", 48),
        ("TLSV1_ALERT_UNKNOWN_CA", 48),
        "CERTIFICATE_VERIFY_FAILED",
    ),
    "expired": (
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", 45),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", 45),
        "CERTIFICATE_VERIFY_FAILED",
    ),
}


@VERSIONS
@ASKING
@pytest.mark.parametrize("client", list(REFUSALS))
def test_a_refused_client_is_told_by_which_alert_and_when(
    hop: Hop, version: ssl.TLSVersion, request_: HttpRequest | None, client: str | None
) -> None:
    in_12, in_13, server_words = REFUSALS[client]
    reason, alert = in_13 if version is V13 else in_12
    with serving(tls_server(server_context(hop, version=version))) as seen:
        found = see(at(seen), identity=identity(hop, client) if client else None, request=request_)
    assert found.failure is not None
    assert found.failure.kind is FailureKind.TLS
    assert found.failure.stage is (Stage.FIRST_READ if version is V13 else Stage.HANDSHAKE)
    assert (found.failure.reason, found.failure.alert) == (reason, alert)
    assert found.failure.library == "SSL"
    assert found.failure.code == 1
    assert found.failure.alert_from is Party.PEER
    assert "_ssl.c" not in found.failure.text
    assert found.refused
    assert found.refused_after_handshake == (version is V13)
    assert found.answer is None
    assert found.client_certificate_requested is True
    assert found.client_certificate_sent is (client is not None)
    assert [getattr(error, "reason", None) for error in seen.errors] == [server_words]


SERVERS = [
    # certificate, trust, name to verify, X509_V_ERR code, alert the server gets
    ("expired-server", "root", "server.example", 10, "SSLV3_ALERT_CERTIFICATE_EXPIRED"),
    ("server", "root", "other.example", 62, "SSLV3_ALERT_BAD_CERTIFICATE"),
    ("server", "stranger-ca", "server.example", 20, "TLSV1_ALERT_UNKNOWN_CA"),
]


@VERSIONS
@pytest.mark.parametrize(("certificate", "anchor", "name", "code", "alert"), SERVERS)
def test_an_unverified_server_gets_an_alert_and_nothing_else_of_ours(
    hop: Hop,
    version: ssl.TLSVersion,
    certificate: str,
    anchor: str,
    name: str,
    code: int,
    alert: str,
) -> None:
    context = server_context(hop, version=version, certificate=certificate)
    with serving(tls_server(context)) as seen:
        found = see(
            at(seen, name),
            identity=identity(hop),
            trust=trust(hop, anchor),
            verify_name=name,
            request=HttpRequest(),
        )
    assert found.failure is not None
    assert found.failure.stage is Stage.HANDSHAKE
    assert found.failure.verify_code == code
    assert found.failure.verify_message
    assert found.failure.alert_from is Party.US
    assert found.peer is not None, "the refused certificate is kept"
    assert len(found.peer.chain) == 2
    assert found.client_certificate_sent is not True
    assert seen.certificates == []
    assert seen.received == []
    assert [getattr(error, "reason", None) for error in seen.errors] == [alert]


@VERSIONS
def test_a_verified_name_other_than_the_sni_is_checked_before_anything_is_sent(
    hop: Hop, version: ssl.TLSVersion
) -> None:
    names: list[str | None] = []
    context = server_context(hop, version=version)
    context.sni_callback = lambda _conn, name, _context: names.append(name)
    common = {"identity": identity(hop), "trust": trust(hop), "request": HttpRequest()}
    with serving(tls_server(context)) as seen:
        good = see(at(seen, None), verify_name="server.example", **common)
        by_address = see(at(seen, None), verify_name="127.0.0.1", **common)
        bad = see(at(seen, "server.example"), verify_name="other.example", **common)
        bad_address = see(at(seen, "server.example"), verify_name="127.0.0.2", **common)
        openssls = see(at(seen, None), verify_name="127.0.0.2", **common)
    assert good.ok
    assert by_address.ok
    assert names == [None, None, "server.example", "server.example", None]
    assert bad.failure is not None
    assert (bad.failure.stage, bad.failure.verify_code) == (Stage.HANDSHAKE, 62)
    assert "other.example" in bad.failure.text
    assert bad.client_certificate_sent is not True
    assert bad_address.failure is not None
    assert bad_address.failure.verify_code == 64
    assert openssls.failure is not None
    assert (openssls.failure.verify_code, openssls.failure.alert_from) == (64, Party.US)
    assert seen.certificates == [hop.client.der] * 2, "only the two verified connections got one"
    assert len(seen.received) == 2


def test_a_revoked_server_is_refused_when_a_crl_is_given(hop: Hop, tmp_path: Path) -> None:
    from tests import pki

    root = pki.authority("Revoking")
    good = pki.leaf(root, "good", sans=["server.example"], usages=[pki.SERVER])
    revoked = pki.leaf(root, "revoked", sans=["server.example"], usages=[pki.SERVER])
    anchor, _ = root.write(tmp_path, "root")
    crl = tmp_path / "crl.pem"
    crl.write_bytes(pki.crl(root, [revoked]))
    anchors = TrustAnchors(files=(str(anchor),), crls=(str(crl),))
    codes = []
    for pair in (good, revoked):
        certificate, key = pair.write(tmp_path, "server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with serving(tls_server(context)) as seen:
            found = see(at(seen), trust=anchors, verify_name="server.example", first_read=0.01)
        codes.append(found.failure.verify_code if found.failure else None)
    assert codes == [None, 23]


def test_versions_without_overlap_are_an_alert(hop: Hop) -> None:
    with serving(tls_server(server_context(hop, version=V12))) as seen:
        found = see(at(seen), identity=identity(hop), minimum=TlsVersion.TLS_1_3)
    assert found.failure is not None
    assert found.failure.alert_name == "protocol_version"
    assert found.peer is None
    assert found.client_certificate_requested is None, "the server never came to its turn's end"


def test_the_highest_version_asked_for_is_the_one_spoken(hop: Hop) -> None:
    with serving(tls_server(server_context(hop))) as seen:
        found = see(
            at(seen), identity=identity(hop), maximum=TlsVersion.TLS_1_2, request=HttpRequest()
        )
    assert found.protocol == "TLSv1.2"


def test_a_protocol_is_agreed_by_alpn(hop: Hop) -> None:
    context = server_context(hop, clients=None)
    context.set_alpn_protocols(["http/1.1"])
    with serving(tls_server(context)) as seen:
        offered = see(at(seen), alpn=("h2", "http/1.1"), request=HttpRequest())
        silent = see(at(seen), request=HttpRequest())
    assert offered.alpn == "http/1.1"
    assert silent.alpn is None


@pytest.mark.parametrize("name", ["", ".example", "x" * 70 + ".example"])
def test_a_name_that_cannot_be_sent_is_the_callers_mistake(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be used as a server name"):
        see(Target(host="127.0.0.1", port=1, server_name=name))


def test_without_recorded_messages_the_unseen_is_none(
    hop: Hop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left on a Python without the private hook: no guesses, and no unchecked name."""
    monkeypatch.setattr(
        "handclasp.wire.session.record_messages", lambda _context, _transcript: False
    )
    with serving(tls_server(server_context(hop, version=V12))) as seen:
        found = see(at(seen), identity=identity(hop), request=HttpRequest())
        refused = see(at(seen))
    assert found.ok
    assert found.protocol == "TLSv1.2"
    assert found.peer is not None
    assert found.peer.chain == (hop.server.der,)
    assert found.client_certificate_requested is None
    assert found.client_certificate_sent is None
    assert refused.failure is not None
    assert (refused.failure.alert, refused.failure.alert_from) == (40, Party.PEER)
    with pytest.raises(InternalFault, match="differs from the SNI"):
        see(at(seen), trust=trust(hop), verify_name="other.example")


@pytest.mark.parametrize(
    "arguments",
    [
        {"target": Target(host="h", port=1), "verify_name": "x"},
        {"target": Target(host="h", port=1, tls=False), "trust": TrustAnchors(system=True)},
    ],
)
def test_settings_that_contradict_each_other_are_refused(arguments: dict[str, object]) -> None:
    target = arguments.pop("target")
    assert isinstance(target, Target)
    with pytest.raises(ValueError, match=r"trust anchors|need a target with tls"):
        see(target, **arguments)
