"""The operating system's bundle of public CAs (edge)."""

from __future__ import annotations

from pathlib import Path

from handclasp.findings import Finding, found
from handclasp.keys.files import read_file

# Debian and Ubuntu; Fedora and RHEL; Alpine, and macOS as OpenSSL's own default.
SYSTEM_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)


def read_system_bundle() -> tuple[bytes | None, Path | None, Finding | None]:
    """The first bundle that holds a certificate, else certifi's: (PEM bytes, its path, problem)."""
    for path in (*SYSTEM_BUNDLES, *_certifi()):
        data = read_file(path).data
        if data is not None and b"-----BEGIN CERTIFICATE-----" in data:
            return data, path, None
    looked = ", ".join(str(path) for path in SYSTEM_BUNDLES)
    problem = found(
        "trust-bundle-empty",
        f"there is no system bundle of public CAs (looked for {looked})",
        fix="Install the package ca-certificates, or the Python package certifi.",
    )
    return None, None, problem


def _certifi() -> tuple[Path, ...]:
    try:
        import certifi
    except ImportError:
        return ()
    return (Path(certifi.where()),)
