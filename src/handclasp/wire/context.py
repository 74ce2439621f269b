"""Settings and files become an SSLContext; what cannot be loaded is named with its path."""

from __future__ import annotations

import ssl
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from handclasp.errors import EnvironmentFault, UsageError
from handclasp.wire.observation import Party
from handclasp.wire.offer import ClientCredential, TlsVersion, TrustAnchors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.wire.messages import Transcript

_VERSIONS = {
    TlsVersion.TLS_1_0: ssl.TLSVersion.TLSv1,
    TlsVersion.TLS_1_1: ssl.TLSVersion.TLSv1_1,
    TlsVersion.TLS_1_2: ssl.TLSVersion.TLSv1_2,
    TlsVersion.TLS_1_3: ssl.TLSVersion.TLSv1_3,
}
# SSL_OP_NO_TX_CERTIFICATE_COMPRESSION and _RX_ of openssl/ssl.h; the ssl module does not name them.
_NO_CERTIFICATE_COMPRESSION = 1 << 32 | 1 << 33
_COMPRESSES_CERTIFICATES = (3, 2)  # OpenSSL versions from here on may be built to


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSettings:
    """What one SSLContext is made of."""

    identity: ClientCredential | None
    trust: TrustAnchors | None
    minimum: TlsVersion | None
    maximum: TlsVersion | None
    alpn: Sequence[str]
    check_hostname: bool


def build_context(settings: ContextSettings) -> ssl.SSLContext:
    """A client context with exactly these settings.

    ``ssl.create_default_context`` is not used: it adds the system's bundle and, from Python 3.13,
    checks that nginx does not make (VERIFY_X509_STRICT).
    Raises UsageError or EnvironmentFault for a certificate, key or bundle that cannot be loaded.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ssl.OPENSSL_VERSION_INFO >= _COMPRESSES_CERTIFICATES:
        # Debian 13 offers zlib and zstd (RFC 8879). A compressed chain cannot be read from the
        # messages, so whether ours was sent, and what a refused server sent, would stay unknown.
        context.options |= _NO_CERTIFICATE_COMPRESSION
    context.check_hostname = settings.check_hostname
    if settings.trust is None:
        context.verify_mode = ssl.CERT_NONE
    else:
        _load_trust(context, settings.trust)
    _set_versions(context, settings.minimum, settings.maximum)
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    if settings.identity is not None:
        _load_identity(context, settings.identity)
    return context


def _set_versions(
    context: ssl.SSLContext, minimum: TlsVersion | None, maximum: TlsVersion | None
) -> None:
    old = {TlsVersion.TLS_1_0, TlsVersion.TLS_1_1}
    with warnings.catch_warnings():
        # Asking for an old version is how one finds out that a server still has it.
        warnings.simplefilter("ignore", DeprecationWarning)
        if minimum in old or maximum in old:
            # SSL_CTX_set_security_level: OpenSSL 3 has no signature for them above level 0.
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1
        if minimum is not None:
            context.minimum_version = _VERSIONS[minimum]
        if maximum is not None:
            context.maximum_version = _VERSIONS[maximum]


def _load_trust(context: ssl.SSLContext, trust: TrustAnchors) -> None:
    for path in (*trust.files, *trust.crls):
        try:
            context.load_verify_locations(cafile=path)
        except (OSError, ValueError) as error:
            raise _unloadable("a trust bundle", path, error) from error
    if trust.pem:
        try:
            context.load_verify_locations(cadata=trust.pem)
        except (OSError, ValueError) as error:
            raise UsageError(f"the trust anchors cannot be loaded: {error}") from error
    if trust.system:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if trust.crls:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN


def _load_identity(context: ssl.SSLContext, identity: ClientCredential) -> None:
    asked = False

    def password() -> bytes:
        # Always given: without it OpenSSL would ask on the terminal and wait.
        nonlocal asked
        asked = True
        return identity.password or b""

    certificate, key = identity.certificate, identity.key or identity.certificate
    try:
        context.load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:
        for path in (certificate, key):
            _check_readable(path)
        if asked and not identity.password:
            raise UsageError(
                f"{key} is encrypted and no password was given", hint="name the key's password"
            ) from error
        if asked:
            raise UsageError(f"the password does not open {key}: {error}") from error
        if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"{key} is not the key of {certificate}") from error
        raise UsageError(
            f"the client certificate {certificate} with the key {key} cannot be loaded: {error}",
            hint="both must be PEM, the leaf first",
        ) from error


def _check_readable(path: str) -> None:
    """Raise for a file that cannot be opened: load_cert_chain does not say which of the two."""
    try:
        with Path(path).open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise _unloadable("the client identity", path, error) from error


def _unloadable(what: str, path: str, error: Exception) -> UsageError | EnvironmentFault:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return EnvironmentFault(f"{what} cannot be read: {path}: {error.strerror or error}")
    return UsageError(f"{what} cannot be loaded: {path}: {error}", hint="it must be PEM")


class _Callback(Protocol):
    def __call__(
        self,
        conn: object,
        direction: str,
        version: int,
        content_type: int,
        message_type: int,
        data: bytes,
        /,
    ) -> None: ...


def record_messages(context: ssl.SSLContext, transcript: Transcript) -> bool:
    """Have every handshake message of this context's connections noted; False if Python cannot.

    ``SSLContext._msg_callback`` is private (CPython has it since 3.8) and the only way to the chain of
    a refused server, to CertificateRequest and to alerts under TLS 1.3: public API has the chain from
    3.13 and after success only. Without it an observation has Nones.
    """

    def note(
        _conn: object, direction: str, _version: int, content_type: int, _type: int, data: bytes, /
    ) -> None:
        transcript.note(Party.US if direction == "write" else Party.PEER, content_type, data)

    if not hasattr(type(context), "_msg_callback"):
        return False
    callback: _Callback = note
    private: Any = context
    private._msg_callback = callback  # noqa: SLF001
    return True
