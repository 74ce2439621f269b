"""What is denied survives, is understood in any spelling, and is never forgotten by mistake."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from handclasp.agent.denials import Denial, Denials, parse_serial, read_denial
from handclasp.backend.certificate import serial_text
from handclasp.errors import EnvironmentFault, UsageError
from tests.identity.specimens import caller

if TYPE_CHECKING:
    from pathlib import Path

SINCE = "2026-01-01T00:00:00+00:00"
A = caller("a")
BY_FILE = Denial(since=SINCE, sha256=A.sha256, issuer=A.issuer, serial=A.serial)
BY_DIGEST = Denial(since=SINCE, sha256=A.sha256)
BY_SERIAL = Denial(since=SINCE, issuer=A.issuer, serial=A.serial)


def opened(place: Path) -> Denials:
    denials = Denials(place)
    denials.load()
    return denials


def test_denials_outlive_the_agent(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert first.add(BY_FILE)
    assert not first.add(BY_FILE), "it was there"
    second = opened(tmp_path)
    assert second.entries == (BY_FILE,)
    assert second.denied().holds(A)
    assert not second.denied().holds(caller("b"))
    assert (tmp_path / "denied.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("undone", [BY_FILE, BY_DIGEST, BY_SERIAL])
@pytest.mark.parametrize("told", [BY_FILE, BY_DIGEST, BY_SERIAL])
def test_a_denial_is_taken_back_by_whatever_names_the_certificate(
    tmp_path: Path, told: Denial, undone: Denial
) -> None:
    denials = opened(tmp_path)
    denials.add(told)
    nothing_in_common = {told, undone} == {BY_DIGEST, BY_SERIAL}
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
        with pytest.raises(EnvironmentFault, match="write the denials"):
            denials.add(BY_FILE)
        assert denials.denied().holds(A)
        with pytest.raises(EnvironmentFault):
            denials.remove(BY_FILE)
        assert denials.denied().holds(A), "what is not written is not taken back"
    denials.add(BY_FILE)
    assert opened(tmp_path).denied().holds(A), "told again, it is written"
