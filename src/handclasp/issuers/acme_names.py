"""What ACME's renewal information calls a certificate (RFC 9773). Pure."""

from __future__ import annotations

import base64

from cryptography import x509


def certificate_id(leaf: x509.Certificate) -> str | None:
    """What RFC 9773, section 4.1, calls a certificate; None for one without key identifier."""
    try:
        value = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return None
    if value.key_identifier is None:
        return None
    serial = leaf.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    parts = (base64.urlsafe_b64encode(part) for part in (value.key_identifier, octets))
    return ".".join(part.decode().rstrip("=") for part in parts)
