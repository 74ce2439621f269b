"""`type: acme`: certificates over ACME (RFC 8555). docs/reference/spec.md comes from this."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from handclasp.spec.issuer import WORD_PATTERN, IssuerSection
from handclasp.spec.names import shown
from handclasp.spec.policy import Secret, Section
from handclasp.spec.types import Argument, Duration, Listen, SpecPath
from handclasp.spec.values import ListenAddress

EMAIL_PATTERN = r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9.-]+$"


def _directory(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("a URL is expected, such as https://acme.example.com/directory")  # noqa: TRY004
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(
            f"{shown(value)} is no https:// URL, as ACME directories have (RFC 8555, 6.1)"
        )
    if "@" in parts.netloc:
        raise ValueError("the URL holds a user name or password; leave it out")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError(f"{shown(value)} holds characters a URL has not")
    return value


DirectoryUrl = Annotated[
    str,
    BeforeValidator(_directory),
    WithJsonSchema({"type": "string", "title": "URL", "pattern": "^https://"}),
]


def _over_tcp(address: ListenAddress) -> ListenAddress:
    if address.path is not None:
        raise ValueError("an IP address and port is expected: no CA comes over a unix socket")
    return address


TcpListen = Annotated[
    Listen,
    AfterValidator(_over_tcp),
    WithJsonSchema({"type": "string", "title": "address", "description": "host:port"}),
]


class ExternalAccount(Section):
    """What binds our account to one that the CA knows already (RFC 8555, section 7.3.4)."""

    key_id: Annotated[str, Field(pattern=WORD_PATTERN)]
    """The key's id, as the CA gave it."""
    hmac_key: Secret
    """The key, in the base64url form the CA gave it in; read when the account is made."""


class Acme(IssuerSection):
    """Certificates over ACME, names proven by HTTP or DNS. Public CAs give them to servers alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["challenges"]},
                {"required": ["listen"]},
                {"required": ["dns"]},
            ]
        }
    )

    type: Literal["acme"]
    timeout: Duration = timedelta(minutes=3)
    """How long one certificate may take, from the order to the download."""
    directory: DirectoryUrl
    """The CA's directory."""
    ca: SpecPath | None = None
    """PEM file of the CAs the server's own certificate is verified with; default: the system's."""
    challenges: SpecPath | None = None
    """For http-01: directory that a web server on port 80 of the names serves at
    /.well-known/acme-challenge/; answers are written there while the CA looks. Either this, `listen` or
    `dns`."""
    listen: TcpListen | None = None
    """For http-01: address and port where the nginx of this spec answers itself, such as 0.0.0.0:80; the
    `redirect` of a link may be there too. Before the first certificate another one answers for a moment."""
    expose: bool = False
    """Must be true for `listen` beyond loopback: the CA has to reach it, and so does everybody else."""
    dns: Annotated[list[Argument], Field(min_length=1)] | None = None
    """For dns-01: program that is called with `set NAME VALUE`, later with `clear NAME VALUE`, for a TXT
    record; it ends when the record can be seen. Without a shell, in the directory of this file."""
    contact: list[Annotated[str, Field(pattern=EMAIL_PATTERN, title="e-mail address")]] = Field(
        default_factory=list
    )
    """E-mail addresses the CA may write to."""
    agree_to_terms: bool = False
    """We agree to the CA's terms of service; needed where it has some."""
    external_account: ExternalAccount | None = None
    """For CAs that give certificates to known accounts only."""
    profile: Annotated[str, Field(pattern=WORD_PATTERN)] | None = None
    """One of the CA's profiles, where it offers some."""

    @model_validator(mode="after")
    def _one_proof(self) -> Self:
        if [self.challenges, self.listen, self.dns].count(None) != 2:
            raise ValueError(
                "write either `challenges` or `listen`, both for http-01, or `dns`, for dns-01"
            )
        return self


def challenge_listeners(issuers: Iterable[IssuerSection]) -> tuple[ListenAddress, ...]:
    """Every address where our nginx answers challenges, in the order of their text."""
    addresses = {one.listen for one in issuers if isinstance(one, Acme) and one.listen is not None}
    return tuple(sorted(addresses, key=str))
