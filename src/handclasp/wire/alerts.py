"""TLS alert numbers and names (RFC 8446 section 6; the IANA TLS Alerts registry)."""

from __future__ import annotations

import re

ALERTS: dict[int, str] = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    117: "general_error",
    120: "no_application_protocol",
    121: "ech_required",
}

_NUMBERS = {name: number for number, name in ALERTS.items()}
# OpenSSL's include/openssl/sslerr.h: SSLV3_ALERT_…, TLSV1_ALERT_…, TLSV13_ALERT_…, and without
# ALERT for the extensions of RFC 6066 (TLSV1_UNRECOGNIZED_NAME).
_REASON = re.compile(r"(?:SSLV3|TLSV1|TLSV13)_(?:ALERT_)?([A-Z0-9_]+)", re.ASCII)
# The names sslerr.h shortens.
_SHORTENED = {"user_cancelled": "user_canceled"}


def alert_name(number: int) -> str:
    """The registry's name, or `alert_N` for a number it does not have."""
    return ALERTS.get(number, f"alert_{number}")


def alert_of_reason(reason: str) -> int | None:
    """The alert number in an OpenSSL reason name such as TLSV1_ALERT_UNKNOWN_CA, if it is one."""
    match = _REASON.fullmatch(reason)
    if match is None:
        return None
    name = match.group(1).lower()
    return _NUMBERS.get(_SHORTENED.get(name, name))
