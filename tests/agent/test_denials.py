"""What is denied survives, is understood in any spelling, and is never forgotten by mistake."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from handclasp.agent.denials import Denial, Denials, parse_serial, read_denial
from handclasp.backend.certificate import serial_text
from handclasp.errors import EnvironmentFault, UsageError
from handclasp.identity.caller import read_caller
from handclasp.identity.denied import body_digest
from tests import pki
from tests.identity.specimens import caller

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.identity.caller import Caller
    from handclasp.identity.denied import Denied

P256_ORDER = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"

SINCE = "2026-01-01T00:00:00+00:00"
A = caller("a")
BY_FILE = Denial(since=SINCE, sha256=A.sha256, issuer=A.issuer, serial=A.serial)
BY_DIGEST = Denial(since=SINCE, sha256=A.sha256)
BY_SERIAL = Denial(since=SINCE, issuer=A.issuer, serial=A.serial)


def opened(place: Path) -> Denials:
    denials = Denials(place)
    denials.load()
    return denials


def told(denials: Denials, denial: Denial) -> bool:
    """Added and written."""
    new = denials.add(denial)
    denials.write()
    return new


def test_denials_outlive_the_agent(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert told(first, BY_FILE)
    assert not told(first, BY_FILE), "it was there"
    second = opened(tmp_path)
    assert second.entries == (BY_FILE,)
    assert second.denied().holds(A)
    assert not second.denied().holds(caller("b"))
    assert (tmp_path / "denied.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("undone", [BY_FILE, BY_DIGEST, BY_SERIAL])
@pytest.mark.parametrize("said", [BY_FILE, BY_DIGEST, BY_SERIAL])
def test_a_denial_is_taken_back_by_whatever_names_the_certificate(
    tmp_path: Path, said: Denial, undone: Denial
) -> None:
    denials = opened(tmp_path)
    told(denials, said)
    nothing_in_common = {said, undone} == {BY_DIGEST, BY_SERIAL}
    assert denials.remove(undone) is not nothing_in_common
    assert opened(tmp_path).denied().holds(A) is nothing_in_common


def test_an_issuer_is_the_same_in_another_spelling(tmp_path: Path) -> None:
    denials = opened(tmp_path)
    spelled = A.issuer.upper().replace(",", ", ").replace("CN=", "cn=")
    denials.add(Denial(since=SINCE, issuer=spelled, serial=A.serial))
    assert denials.denied().holds(A)
    assert not denials.add(BY_SERIAL)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"denied": [{}]}',
        json.dumps({"denied": [{"since": SINCE}]}),
        json.dumps({"denied": [{"since": SINCE, "sha256": "12"}]}),
        json.dumps({"denied": [{"since": SINCE, "serial": 12}]}),
        json.dumps({"denied": [{"since": SINCE, "sha256": A.sha256, "new": 1}]}),
    ],
)
def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "denied.json").write_text(content)
    with pytest.raises(EnvironmentFault, match="nobody knows who is denied"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "told",
    [
        {"since": SINCE, "serial": True, "issuer": "CN=x"},
        {"since": SINCE, "serial": "12", "issuer": "CN=x"},
        {"since": "yesterday", "sha256": A.sha256},
        {"since": SINCE, "sha256": 5},
        {"sha256": A.sha256},
        {"since": SINCE, "sha256": A.sha256, "why": 5},
        {"since": SINCE, "sha256": A.sha256, "subject": {}},
    ],
)
def test_an_order_that_names_no_certificate_is_refused(told: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_denial(told)


def test_a_fingerprint_is_kept_in_one_spelling() -> None:
    spelled = ":".join(A.sha256[at : at + 2] for at in range(0, 64, 2)).upper()
    assert read_denial({"since": SINCE, "sha256": spelled}).sha256 == A.sha256


@pytest.mark.parametrize(
    ("serial", "text"), [(0, "00"), (10, "0A"), (0x1234, "1234"), (-10, "-0A")]
)
def test_a_serial_is_written_as_nginx_shows_it(serial: int, text: str) -> None:
    assert serial_text(serial) == text
    assert parse_serial(text) == serial


@pytest.mark.parametrize("text", ["serial=1234", " 12:34\n", "0x1234"])
def test_a_serial_is_taken_as_openssl_prints_it(text: str) -> None:
    assert parse_serial(text) == 0x1234


@pytest.mark.parametrize("text", ["xyz", "", "-5_0", "1 2", "--1"])
def test_a_serial_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a serial"):
        parse_serial(text)


def test_a_file_that_is_gone_is_not_taken_for_none(tmp_path: Path) -> None:
    opened(tmp_path)
    assert (tmp_path / "denied.json").exists(), "written by the first start"
    (tmp_path / "denied.json").unlink()
    with pytest.raises(EnvironmentFault, match="it is gone"):
        Denials(tmp_path).load(expected=True)


def test_a_denial_that_cannot_be_written_is_in_force_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denials = opened(tmp_path)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("handclasp.agent.denials.replace_file", full)
        assert denials.add(BY_FILE)
        with pytest.raises(EnvironmentFault, match="write the denials"):
            denials.write()
        assert denials.denied().holds(A)
        with pytest.raises(EnvironmentFault):
            denials.remove(BY_FILE)
        assert denials.denied().holds(A), "what is not written is not taken back"
    assert not denials.written
    denials.write()
    assert opened(tmp_path).denied().holds(A)


TWINS = [caller("twin", serial=77, issuer=pki.authority("Twin", key_label=key)) for key in "ab"]
"""Of two CAs of one name."""


def by_file(who: Caller) -> Denial:
    return Denial(
        since=SINCE,
        sha256=who.sha256,
        issuer=who.issuer,
        serial=who.serial,
        body=body_digest(who.certificate),
    )


def test_a_denial_does_not_meet_the_same_serial_of_a_ca_of_that_name(tmp_path: Path) -> None:
    denials = opened(tmp_path)
    one, other = TWINS
    told(denials, by_file(one))
    assert denials.denied().holds(one)
    assert not denials.denied().holds(other)
    assert told(denials, by_file(other))
    assert denials.remove(by_file(one))
    assert denials.entries == (by_file(other),)
    assert opened(tmp_path).denied().holds(other)
    assert denials.remove(Denial(since=SINCE, issuer=one.issuer, serial=one.serial))
    assert opened(tmp_path).entries == (), "a serial names both"


def test_a_second_spelling_of_the_signature_is_the_same_certificate() -> None:
    """Of an ECDSA signature (r, s) whoever has it can make (r, n - s), and so another fingerprint."""
    (one, _), order = TWINS, int(P256_ORDER, 16)
    r, s = decode_dss_signature(one.certificate.signature)
    signature = encode_dss_signature(r, order - s)
    before = one.der[4 : -len(one.certificate.signature) - 3]
    inner = before + b"\x03" + bytes([len(signature) + 1, 0]) + signature
    other = x509.load_der_x509_certificate(b"\x30\x82" + len(inner).to_bytes(2, "big") + inner)
    other.verify_directly_issued_by(pki.authority("Twin", key_label="a").certificate)
    assert read_caller(other).sha256 != one.sha256
    assert by_file(one).denied().holds(read_caller(other))
    assert not BY_FILE.denied().holds(read_caller(other))


def test_the_file_told_after_the_fingerprint_makes_the_denial_fuller(tmp_path: Path) -> None:
    denials, (one, other) = opened(tmp_path), TWINS
    old = Denial(since=SINCE, sha256=one.sha256, issuer=one.issuer, serial=one.serial)
    told(denials, old)
    assert denials.denied().holds(other), "all that is known is a serial"
    assert told(denials, by_file(one))
    assert len(denials.entries) == 1
    assert not denials.denied().holds(other)
    assert opened(tmp_path).entries == denials.entries


def test_thousands_are_not_joined_anew_for_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{"since": SINCE, "sha256": f"{number:064x}"} for number in range(3000)]
    (tmp_path / "denied.json").write_text(json.dumps({"denied": many}))
    denials = opened(tmp_path)
    read: list[Denial] = []
    whole = Denial.denied

    def noted(denial: Denial) -> Denied:
        read.append(denial)
        return whole(denial)

    monkeypatch.setattr(Denial, "denied", noted)
    told(denials, BY_FILE)
    assert denials.denied().holds(A)
    assert len(denials.denied().certificates) == 3001
    assert read == [BY_FILE]
