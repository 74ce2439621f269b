from __future__ import annotations

import ssl

import pytest

from handclasp.wire.alerts import ALERTS, alert_name, alert_of_reason


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", 40),
        ("TLSV1_ALERT_UNKNOWN_CA", 48),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", 116),
        ("TLSV1_UNRECOGNIZED_NAME", 112),
        ("TLSV1_ALERT_USER_CANCELLED", 90),
        ("CERTIFICATE_VERIFY_FAILED", None),
        ("WRONG_VERSION_NUMBER", None),
        ("TLSV1_BAD_CERTIFICATE_HASH_VALUES", None),
        ("", None),
    ],
)
def test_the_alert_is_read_from_openssls_reason(reason: str, number: int | None) -> None:
    assert alert_of_reason(reason) == number


def test_the_table_agrees_with_the_ssl_modules() -> None:
    theirs = {
        alert.value: alert.name.lower().removeprefix("alert_description_")
        for alert in ssl.AlertDescription
    }
    theirs[90] = "user_canceled"  # the registry's spelling
    assert {number: ALERTS[number] for number in theirs} == theirs


def test_an_unknown_number_keeps_its_number() -> None:
    assert alert_name(200) == "alert_200"
