"""`type: vault`: certificates from the PKI engine of Vault or OpenBao (edge: network).

The engine signs our request (POST /PKI/sign/ROLE, https://openbao.org/api-docs/secret/pki/), so
the key stays here. Names, purposes and the longest lifetime are the role's to allow.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.errors import HandclaspError
from handclasp.issuers.protocol import Issued, IssuerError
from handclasp.issuers.received import chain_from_pem
from handclasp.issuers.secrets import read_secret
from handclasp.issuers.vault_http import Connection, Refused
from handclasp.issuers.vault_login import Login, kept_alive
from handclasp.wire.context import ContextSettings, build_context
from handclasp.wire.offer import ClientCredential, TlsVersion, TrustAnchors

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from handclasp.issuers.protocol import Wanted
    from handclasp.issuers.vault_http import Answer
    from handclasp.issuers.vault_login import TokenLife
    from handclasp.spec.issuer_vault import CertificateLogin, Vault


class VaultIssuer:
    """One `type: vault` section as an issuer (protocol.Issuer)."""

    def __init__(self, section: Vault) -> None:
        self._section = section
        self._login = Login(section.auth)

    @property
    def makes_key(self) -> bool:
        """Never: Vault signs our request."""
        return False

    async def issue(self, wanted: Wanted) -> Issued:
        """A certificate for the request of `wanted`. Raises IssuerError."""
        async with await self._connected() as connection:
            answer = await self._sign(connection, sign_request(wanted))
        data = answer.section("data", server=connection.server)
        return Issued(chain=chain_of(data, server=connection.server))

    async def keep_token(self, now: datetime) -> TokenLife | None:
        """Renews the token of the spec where it is time; how long it is good then. None for one without end,
        and where handclasp logs in by itself. Raises IssuerError."""
        written = self._section.auth.token
        if written is None:
            return None
        token = read_secret(written)
        async with await self._connected() as connection:
            return await kept_alive(connection, token, now)

    async def _connected(self) -> Connection:
        section, tls = self._section, None
        if section.address.is_tls:
            # Reading the system's CAs takes some hundredths of a second.
            tls = await asyncio.to_thread(_tls, section)
        return Connection(str(section.address), namespace=section.namespace, tls=tls)

    async def _sign(self, connection: Connection, body: Mapping[str, Any]) -> Answer:
        path = f"{self._section.mount.rstrip('/')}/sign/{self._section.role}"
        token = await self._login.token(connection)
        try:
            return await connection.post(path, body, token=token)
        except Refused as error:
            if error.status != 403 or not self._login.forget(token):
                raise _sign_refused(error, path) from error
        # The token of an earlier login was revoked, or Vault was restored from a backup.
        token = await self._login.token(connection)
        try:
            return await connection.post(path, body, token=token)
        except Refused as error:
            raise _sign_refused(error, path) from error


def sign_request(wanted: Wanted) -> Mapping[str, Any]:
    """The body for /sign/ROLE.

    Names are in the request already; they are given again for roles that read them from here
    (use_csr_sans and use_csr_common_name false). Without DNS name there is no common name, which the
    role has to allow (require_cn false).
    """
    if wanted.request is None:
        raise IssuerError("Vault signs requests, and none was made", permanent=True)
    dns = [name.value for name in wanted.names if isinstance(name, x509.DNSName)]
    email = [name.value for name in wanted.names if isinstance(name, x509.RFC822Name)]
    addresses = [str(name.value) for name in wanted.names if isinstance(name, x509.IPAddress)]
    uris = [name.value for name in wanted.names if isinstance(name, x509.UniformResourceIdentifier)]
    lists = {"alt_names": dns + email, "ip_sans": addresses, "uri_sans": uris}
    body: dict[str, Any] = {
        "csr": wanted.request.public_bytes(Encoding.PEM).decode(),
        "format": "pem",
        **{key: ",".join(values) for key, values in lists.items() if values},
    }
    if dns:
        body["common_name"] = dns[0]
    if wanted.lifetime is not None:
        body["ttl"] = f"{_whole_seconds(wanted.lifetime)}s"
    return body


def _whole_seconds(lifetime: timedelta) -> int:
    return max(1, int(lifetime.total_seconds()))


def chain_of(data: Mapping[str, Any], *, server: str) -> tuple[x509.Certificate, ...]:
    """Leaf and CAs out of the `data` of an answer; ca_chain is absent where the CA is a root."""
    above = data.get("ca_chain") or [data.get("issuing_ca")]
    texts = [data.get("certificate"), *(above if isinstance(above, list) else [above])]
    if not isinstance(texts[0], str):
        raise IssuerError(f"{server} answered without a certificate")
    return chain_from_pem("\n".join(text for text in texts if isinstance(text, str)), issuer=server)


def _sign_refused(error: Refused, path: str) -> Refused:
    hints = {
        400: "The role decides which names it gives: see allowed_domains, allowed_uri_sans, require_cn.",
        403: f"The token needs a policy with `update` on {path}, and must not have run out.",
        404: "`mount` is where the PKI engine is mounted, `role` one of its roles.",
    }
    return Refused(
        error.message,
        hint=hints.get(error.status, error.hint),
        status=error.status,
        retry_after=error.retry_after,
        permanent=error.permanent,
    )


def _tls(section: Vault) -> ssl.SSLContext:
    cert = section.auth.cert
    trust = TrustAnchors(files=(str(section.ca),) if section.ca else (), system=section.ca is None)
    settings = ContextSettings(
        identity=None if cert is None else _credential(cert),
        trust=trust,
        minimum=TlsVersion.TLS_1_2,
        maximum=None,
        alpn=(),
        check_hostname=True,
    )
    try:
        return build_context(settings)
    except HandclaspError as error:
        raise IssuerError(error.message, hint=error.hint, permanent=True) from error


def _credential(cert: CertificateLogin) -> ClientCredential:
    return ClientCredential(
        certificate=str(cert.certificate),
        key=str(cert.key) if cert.key else None,
        password=read_secret(cert.password).reveal() if cert.password else None,
    )
