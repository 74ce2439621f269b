"""The kinds of issuers, and the names that are asked of them. docs/reference/spec.md is generated from it."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema

from handclasp.spec.issuer import IssuerSection, OneOf
from handclasp.spec.issuer_acme import Acme
from handclasp.spec.issuer_spiffe import Spiffe
from handclasp.spec.issuer_vault import Vault
from handclasp.spec.names import check_host_name, check_server_name, is_ip, shown
from handclasp.spec.policy import Secret
from handclasp.spec.types import Argument, SpecPath, kind_of

_MOST_NAMES = 100  # as handclasp.ca.names has it


@dataclass(frozen=True, slots=True)
class CertificateName:
    """One name a certificate is to carry: `kind` is dns, ip, uri or email."""

    kind: Literal["dns", "ip", "uri", "email"]
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """`svc-b.internal`, `spiffe://…`, `10.0.0.7`, `ops@example.com`, or with the kind before it."""
        kind, colon, rest = text.partition(":")
        if colon and kind in ("dns", "ip", "uri", "email") and not rest.startswith("//"):
            return cls(kind, _checked(kind, rest))  # type: ignore[arg-type]
        guessed = _guessed(text)
        return cls(guessed, _checked(guessed, text))

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}"


def _guessed(text: str) -> Literal["dns", "ip", "uri", "email"]:
    if "://" in text:
        return "uri"
    if is_ip(text):
        return "ip"
    return "email" if "@" in text else "dns"


def _checked(kind: str, text: str) -> str:
    """The name in its usual spelling. Raises ValueError; the CA's own rules come on top of these."""
    match kind:
        case "dns":
            name = check_server_name(text)
            if "_" in name:
                raise ValueError(f"{shown(text)}: certificates have no underscore in a DNS name")
            return name
        case "ip":
            if not is_ip(text):
                raise ValueError(f"{shown(text)} is not an IP address")
            return str(ipaddress.ip_address(text))
        case "email":
            mailbox, at, host = text.rpartition("@")
            if not at or not mailbox:
                raise ValueError(f"{shown(text)} is not an e-mail address")
            return f"{mailbox}@{check_host_name(host)}"
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*://[\x21-\x7e]+", text):
        raise ValueError(f"{shown(text)} is not a URI with a scheme and a host")
    return text


def _name(value: Any) -> CertificateName:
    if not isinstance(value, str):
        raise ValueError(f"a name such as svc-b.internal is expected, not {kind_of(value)}")  # noqa: TRY004  pydantic wants ValueError
    return CertificateName.parse(value)


IssuedName = Annotated[
    CertificateName,
    BeforeValidator(_name),
    WithJsonSchema(
        {
            "type": "string",
            "title": "name",
            "description": "svc-b.internal, spiffe://example.org/svc-b, 10.0.0.7 or ops@example.com;"
            " dns:, ip:, uri: or email: before it says which is meant.",
        }
    ),
]
IssuedNames = Annotated[list[IssuedName], Field(min_length=1, max_length=_MOST_NAMES)]
KeyType = Literal["p256", "p384", "rsa2048", "rsa3072", "rsa4096", "ed25519"]
"""As handclasp.ca.newkeys makes them."""


class LocalIssuer(IssuerSection):
    """Our own CA, made with `handclasp ca init`, in a directory of this machine."""

    type: Literal["local"]
    directory: SpecPath
    """The CA's directory."""
    password: Secret | None = None
    """Password of the issuing CA's key."""


class CommandIssuer(IssuerSection):
    """Any program that takes a signing request and prints a certificate."""

    type: Literal["command"]
    command: Annotated[list[Argument], Field(min_length=1)]
    """The program and its arguments, as a list, without a shell; it runs in the directory of this file. It
    gets the request as PEM on standard input and prints the certificate, its chain below."""
    makes_key: bool = False
    """The program makes the key itself and prints it too; it then gets no request."""


KINDS: dict[str, type[IssuerSection]] = {
    "local": LocalIssuer,
    "command": CommandIssuer,
    "acme": Acme,
    "vault": Vault,
    "spiffe": Spiffe,
}
"""By `type`. A further kind is a file of its own and a line here."""
IssuerSection.kinds = KINDS

Issuer = Annotated[IssuerSection, OneOf(KINDS)]
