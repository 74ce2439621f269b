from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.wire.messages import (
    ContentType,
    HandshakeType,
    MessageError,
    Transcript,
    parse_certificate_request,
    parse_certificates,
    parse_server_hello,
)
from handclasp.wire.observation import Party

SHORT = st.binary(min_size=1, max_size=40)


def vector(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data


def message(kind: HandshakeType, body: bytes) -> bytes:
    return bytes([kind]) + vector(3, body)


def extensions(found: dict[int, bytes]) -> bytes:
    return vector(
        2, b"".join(struct.pack("!H", key) + vector(2, value) for key, value in found.items())
    )


@given(certificates=st.lists(SHORT, max_size=4), tls13=st.booleans())
def test_certificates_come_out_as_they_went_in(certificates: list[bytes], tls13: bool) -> None:
    entries = b"".join(vector(3, one) + (b"\0\0" if tls13 else b"") for one in certificates)
    body = (b"\0" if tls13 else b"") + vector(3, entries)
    sent = message(HandshakeType.CERTIFICATE, body)
    assert parse_certificates(sent, tls13=tls13) == tuple(certificates)


@given(names=st.lists(SHORT, max_size=4), schemes=st.lists(st.integers(0, 65535), max_size=5))
def test_a_certificate_request_of_either_version_is_read(
    names: list[bytes], schemes: list[int]
) -> None:
    packed = vector(2, b"".join(struct.pack("!H", one) for one in schemes))
    authorities = vector(2, b"".join(vector(2, one) for one in names))
    old = parse_certificate_request(
        message(HandshakeType.CERTIFICATE_REQUEST, b"\x02\x01\x40" + packed + authorities),
        tls13=False,
    )
    new = parse_certificate_request(
        message(
            HandshakeType.CERTIFICATE_REQUEST,
            b"\0" + extensions({13: packed, 47: authorities, 5: b"x"}),
        ),
        tls13=True,
    )
    assert (old.authorities, old.signature_schemes) == (tuple(names), tuple(schemes))
    assert old.certificate_types == (1, 64)
    assert (new.authorities, new.signature_schemes) == (tuple(names), tuple(schemes))
    assert new.certificate_types == ()


def hello(found: dict[int, bytes] | None) -> bytes:
    body = b"\x03\x03" + bytes(32) + vector(1, b"id") + b"\x13\x01\0"
    return message(
        HandshakeType.SERVER_HELLO, body + (extensions(found) if found is not None else b"")
    )


def test_the_server_hello_tells_version_suite_and_group() -> None:
    new = parse_server_hello(hello({43: b"\x03\x04", 51: b"\0\x1d" + vector(2, b"key")}))
    assert (new.version, new.cipher_suite, new.group) == ("TLSv1.3", 0x1301, "x25519")
    old = parse_server_hello(hello(None))
    assert (old.version, old.group) == ("TLSv1.2", None)
    odd = parse_server_hello(hello({43: b"\x7f\x1c", 51: b"\xff\xff"}))
    assert (odd.version, odd.group) == ("0x7f1c", "group_65535")


def test_a_message_cut_short_is_an_error_with_words() -> None:
    with pytest.raises(MessageError, match="bytes wanted"):
        parse_server_hello(hello({43: b"\x03\x04"})[:-1])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(Party), st.sampled_from([20, 21, 22, 23, 256]), st.binary(max_size=80)
        )
    )
)
def test_noting_never_raises(notes: list[tuple[Party, int, bytes]]) -> None:
    """Any bytes under any content type are recorded or passed over."""
    transcript = Transcript()
    for sender, content_type, data in notes:
        transcript.note(sender, content_type, data)
    assert len(transcript.messages) <= len(notes)


@given(kind=st.sampled_from(HandshakeType), body=st.binary(max_size=80), tls13=st.booleans())
def test_a_malformed_message_is_recorded_by_name(
    kind: HandshakeType, body: bytes, tls13: bool
) -> None:
    transcript = Transcript()
    if tls13:
        transcript.note(Party.PEER, ContentType.HANDSHAKE, hello({43: b"\x03\x04"}))
    transcript.note(Party.PEER, ContentType.HANDSHAKE, bytes([kind]) + body)
    assert transcript.messages[-1].name == kind.name.lower()


def test_an_alert_is_kept_with_its_sender_and_close_notify_is_no_error() -> None:
    transcript = Transcript()
    transcript.note(Party.US, ContentType.ALERT, b"\x02\x30")
    transcript.note(Party.PEER, ContentType.ALERT, b"\x01\x00")
    alert = transcript.fatal_alert()
    assert alert is not None
    assert (alert.sender, alert.number) == (Party.US, 48)
    assert transcript.close_notify_received()
    assert [one.name for one in transcript.messages] == ["alert unknown_ca", "alert close_notify"]


def test_what_was_never_sent_is_forgotten() -> None:
    transcript = Transcript()
    empty = message(HandshakeType.CERTIFICATE, b"\0\0\0")
    transcript.note(Party.US, ContentType.HANDSHAKE, message(HandshakeType.CLIENT_HELLO, b""))
    transcript.note(Party.PEER, ContentType.HANDSHAKE, message(HandshakeType.FINISHED, b""))
    transcript.note(Party.US, ContentType.HANDSHAKE, empty)
    assert transcript.sent_chain == ()
    transcript.forget_ours(1)
    assert transcript.sent_chain is None
    assert [one.name for one in transcript.messages] == ["client_hello", "finished"]
