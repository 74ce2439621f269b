"""One request as the application, both nginxes and the backend saw it, and whether that is right. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from cryptography import x509

from handclasp.certs.dn import subject_text
from handclasp.demo.cast import SERVER_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the backend says it received; all empty when it was not the backend that answered."""

    method: str = ""
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def identity(self) -> tuple[str, ...]:
        """Every value of the header that carries the caller's certificate."""
        return tuple(value for name, value in self.headers if name.lower() == "x-client-cert")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One request from end to end. The two logs are nginx's access logs, field by field."""

    url: str
    client_saw: str
    seconds: float
    b_logged: Mapping[str, str]
    a_logged: Mapping[str, str]
    told: Told
    differences: tuple[str, ...]


def judge_crossing(
    told: Told, a_logged: Mapping[str, str], client: x509.Certificate, *, saw: str
) -> tuple[str, ...]:
    """What differs from a request that crossed both ends and whose caller was named."""
    differences = []
    if not told.path:
        differences.append(f"the application did not get the backend's answer: {saw}")
    if not is_genuine(told, client):
        differences.append("the backend was not told who called")
    if a_logged.get("verify") != "SUCCESS":
        differences.append(f"A did not verify B: {a_logged.get('verify', 'nothing logged')}")
    if a_logged.get("sni") != SERVER_NAME:
        differences.append(f"B asked A for {a_logged.get('sni', 'no name')}, not {SERVER_NAME}")
    return tuple(differences)


def is_genuine(told: Told, client: x509.Certificate) -> bool:
    """Whether the backend was given this client's certificate, once, and no other."""
    return [_certificate(value) for value in told.identity()] == [client]


def described(name: str, value: str) -> str:
    """A header's value for people: whose certificate it is, instead of the certificate."""
    certificate = _certificate(value) if name.lower().endswith("-cert") else None
    if certificate is None:
        return value
    return f"the certificate of {subject_text(certificate)}, URL-encoded PEM"


def headers_of(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Header lines, as the backend tells them, as pairs."""
    return tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))


def _certificate(value: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(unquote(value).encode())
    except ValueError:
        return None
