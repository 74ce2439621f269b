"""`type: vault`: the PKI engine of HashiCorp Vault or OpenBao. docs/reference/spec.md comes from this."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from handclasp.spec.issuer import WORD_PATTERN, IssuerSection
from handclasp.spec.policy import Secret, Section
from handclasp.spec.types import SpecPath
from handclasp.spec.values import Url

MOUNT_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*/?$"
ROLE_PATTERN = r"^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$"

Mount = Annotated[str, Field(pattern=MOUNT_PATTERN, title="path in Vault")]
Role = Annotated[str, Field(pattern=ROLE_PATTERN, title="role")]


def _address(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a URL is expected, such as https://vault.example.com:8200")  # noqa: TRY004
    url = Url.parse(value, schemes=("https", "http"))
    if url.path is not None:
        raise ValueError("an https:// URL is expected, not a unix socket")
    if not url.is_tls and not url.is_loopback:
        raise ValueError(
            "a token would cross the network readable: the URL must begin with https://"
        )
    return url


Address = Annotated[
    Url,
    BeforeValidator(_address),
    WithJsonSchema({"type": "string", "title": "URL", "pattern": "^https?://"}),
]


class AppRole(Section):
    """Log in with an AppRole (auth method approle)."""

    role_id: Annotated[str, Field(pattern=WORD_PATTERN)]
    """The role's id; it names the role and is no secret."""
    secret_id: Secret | None = None
    """The secret id, read anew at each login; left out for a role with bind_secret_id false."""
    mount: Mount = "approle"
    """Where the auth method is mounted."""


class CertificateLogin(Section):
    """Log in with a client certificate (auth method cert)."""

    certificate: SpecPath
    """PEM file with the certificate and its chain, leaf first."""
    key: SpecPath | None = None
    """PEM file with the key, when it is not in the certificate's file."""
    password: Secret | None = None
    """Password of the key."""
    role: Role | None = None
    """The role to log in with; default: whichever fits the certificate."""
    mount: Mount = "cert"
    """Where the auth method is mounted."""


class VaultAuth(Section):
    """How handclasp logs in: exactly one of these."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["token"]}, {"required": ["approle"]}, {"required": ["cert"]}]
        }
    )

    token: Secret | None = None
    """A token, read anew each time; renewed when half of its time has gone, where it can be."""
    approle: AppRole | None = None
    cert: CertificateLogin | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(way is not None for way in (self.token, self.approle, self.cert)) != 1:
            raise ValueError("write exactly one of token, approle and cert")
        return self


class Vault(IssuerSection):
    """Certificates from a PKI secrets engine; the key never leaves this machine."""

    type: Literal["vault"]
    address: Address
    """https://NAME:PORT of the server; http:// only on loopback, for a Vault Agent or Proxy there."""
    ca: SpecPath | None = None
    """PEM file of the CAs the server's own certificate is verified with; default: the system's."""
    namespace: Mount | None = None
    """Namespace of the engine and of the login."""
    mount: Mount = "pki"
    """Where the PKI engine is mounted."""
    role: Role
    """The engine's role; it decides which names, purposes and lifetimes are given."""
    auth: VaultAuth
