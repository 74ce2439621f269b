"""What the client brings to a handshake. Files are named by path; the edge reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class TlsVersion(StrEnum):
    """Protocol versions in nginx's words (``ssl_protocols``)."""

    TLS_1_0 = "TLSv1"
    TLS_1_1 = "TLSv1.1"
    TLS_1_2 = "TLSv1.2"
    TLS_1_3 = "TLSv1.3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredential:
    """A client certificate and its key.

    ``certificate`` is a PEM file, leaf first and then the chain as it will be sent; ``key`` is a
    PEM file, the certificate's own if left out; ``password`` opens an encrypted key.
    """

    certificate: str
    key: str | None = None
    password: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustAnchors:
    """Whom to believe: the union of PEM files, PEM text and, if asked, the system's bundle.

    With ``crls`` (PEM files) every certificate of the chain is checked for revocation, as nginx
    does with ``ssl_crl``.
    """

    files: tuple[str, ...] = ()
    pem: str = ""
    system: bool = False
    crls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One HTTP/1.1 request, sent with ``Connection: close``.

    ``host`` is the Host header; left out, it is the target's server name, else its host.
    """

    method: str = "GET"
    path: str = "/"
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
