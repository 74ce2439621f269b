"""Certificates of callers, and the headers by which each dialect's own proxy would tell of them.

Facts come from the `openssl` command and the texts are put together here, so that a reader of ours is
not judged by an encoder of ours.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests import pki
from tests.openssl import openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pki import Pair

Headers = list[tuple[str, str]]

TWENTY_SANS = [
    *(f"host{number}.example.org" for number in range(16)),
    "ip:192.0.2.7",
    "ip:2001:db8::7",
    "email:caller@example.org",
    "uri:spiffe://example.org/twenty",
]
_HOSTILE = 'x";URI=spiffe://example.org/admin,By=y;CN=admin, O="Evil", \\'


def _name(common_name: str, organisation: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


@functools.cache
def root() -> Pair:
    return pki.authority("Test CA")


@functools.cache
def intermediate() -> Pair:
    return pki.authority("Issuing CA", issuer=root())


def caller(case: str = "p256") -> Pair:
    """One of CASES; the same certificate every time."""
    return _caller(case)


@functools.cache
def _caller(case: str) -> Pair:
    spiffe = "uri:spiffe://example.org/svc-b"
    return {
        "p256": lambda: pki.leaf(intermediate(), sans=["svc-b.internal", spiffe]),
        "rsa4096": lambda: pki.leaf(intermediate(), "svc-r", sans=[spiffe], key_kind="rsa4096"),
        "non-ascii": lambda: pki.leaf(
            intermediate(), "n", subject=_name("Jürgen Ångström", "Ünïcode 東京"), sans=[spiffe]
        ),
        "hostile": lambda: pki.leaf(
            intermediate(), "h", subject=_name(_HOSTILE, "a,b;c\"d'e=f+g<h>#"), sans=[spiffe]
        ),
        "twenty-sans": lambda: pki.leaf(intermediate(), "t", sans=TWENTY_SANS),
    }[case]()


CASES = ("p256", "rsa4096", "non-ascii", "hostile", "twenty-sans")


class Facts:
    """What `openssl x509` prints of a certificate."""

    def __init__(self, pair: Pair) -> None:
        self.pem, self.der = pair.pem, pair.der
        self.subject = self._ask("-subject").removeprefix("subject=")
        self.issuer = self._ask("-issuer").removeprefix("issuer=")
        self.serial = self._ask("-serial").removeprefix("serial=")
        self.not_before = self._ask("-startdate").removeprefix("notBefore=")
        self.not_after = self._ask("-enddate").removeprefix("notAfter=")
        self.sha1 = hashlib.sha1(self.der).hexdigest()
        self.sha256 = hashlib.sha256(self.der).hexdigest()
        self.certificate = pair.certificate

    def _ask(self, option: str) -> str:
        shown = openssl("x509", "-noout", "-nameopt", "RFC2253", option, stdin=self.pem)
        return shown.decode().removesuffix("\n")


@functools.cache
def facts(case: str) -> Facts:
    return Facts(caller(case))


def escaped(pem: bytes) -> str:
    """As `$ssl_client_escaped_cert`."""
    return quote(pem.decode(), safe="")


def b64(der: bytes) -> str:
    return base64.b64encode(der).decode()


def x_client_cert(of: Facts, prefix: str = "X-Client-") -> Headers:
    return [
        (f"{prefix}Cert", escaped(of.pem)),
        (f"{prefix}Verify", "SUCCESS"),
        (f"{prefix}Subject", of.subject),
        (f"{prefix}Issuer", of.issuer),
        (f"{prefix}Serial", of.serial),
        (f"{prefix}Fingerprint", of.sha1),
        (f"{prefix}Not-After", of.not_after),
    ]


def x_ssl_cert(of: Facts) -> Headers:
    return [
        ("X-SSL-CERT", escaped(of.pem)),
        ("X-SSL-Client-Verify", "SUCCESS"),
        ("X-SSL-Client-S-DN", of.subject),
        ("X-SSL-Client-I-DN", of.issuer),
        ("X-SSL-Client-Serial", of.serial),
        ("X-SSL-Client-Fingerprint", of.sha1),
        ("X-SSL-Client-V-End", of.not_after),
    ]


def ingress_nginx(of: Facts) -> Headers:
    return [
        ("ssl-client-cert", escaped(of.pem)),
        ("ssl-client-verify", "SUCCESS"),
        ("ssl-client-subject-dn", of.subject),
        ("ssl-client-issuer-dn", of.issuer),
    ]


def rfc9440(of: Facts) -> Headers:
    return [
        ("Client-Cert", f":{b64(of.der)}:"),
        ("Client-Cert-Chain", f":{b64(intermediate().der)}:, :{b64(root().der)}:"),
    ]


def xfcc(of: Facts) -> Headers:
    """Envoy with every detail; it escapes nothing in Subject."""
    element = [
        "By=spiffe://example.org/proxy",
        f"Hash={of.sha256}",
        f'Cert="{escaped(of.pem)}"',
        f'Chain="{escaped(of.pem + intermediate().pem)}"',
        f'Subject="{of.subject}"',
        *(f"URI={uri}" for uri in sans(of, x509.UniformResourceIdentifier)),
        *(f"DNS={name}" for name in sans(of, x509.DNSName)),
    ]
    return [("x-forwarded-client-cert", ";".join(element))]


def traefik(of: Facts) -> Headers:
    """Names in Info as Traefik writes them: quoted, nothing escaped."""
    common_name = of.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    info = (
        f'Subject="CN={common_name!s}";Issuer="CN=Issuing CA";'
        f'SerialNumber="{of.certificate.serial_number}";NB="1";NA="2";SAN="svc-b.internal"'
    )
    return [
        ("X-Forwarded-Tls-Client-Cert", f"{b64(of.der)},{b64(intermediate().der)}"),
        ("X-Forwarded-Tls-Client-Cert-Info", quote_plus(info)),
    ]


def aws_alb(of: Facts) -> Headers:
    name = "X-Amzn-Mtls-Clientcert"
    start, end = (
        moment.strftime("%Y-%m-%dT%H:%M:%SZ")
        for moment in (of.certificate.not_valid_before_utc, of.certificate.not_valid_after_utc)
    )
    return [
        (f"{name}-Serial-Number", of.serial),
        (f"{name}-Issuer", of.issuer),
        (f"{name}-Subject", of.subject),
        (f"{name}-Validity", f"NotBefore={start};NotAfter={end}"),
        (f"{name}-Leaf", quote(of.pem.decode(), safe="+=/")),
    ]


def azure_arr(of: Facts) -> Headers:
    return [("X-ARR-ClientCert", b64(of.der))]


def haproxy(of: Facts) -> Headers:
    """With `%{+Q}` around the names, as in HAProxy's examples."""
    start, end = (
        moment.strftime("%y%m%d%H%M%SZ")
        for moment in (of.certificate.not_valid_before_utc, of.certificate.not_valid_after_utc)
    )
    return [
        ("X-SSL", "1"),
        ("X-SSL-Client-Verify", "0"),
        ("X-SSL-Client-DN", f'"{of.subject}"'),
        ("X-SSL-Issuer", f'"{of.issuer}"'),
        ("X-SSL-Client-Serial", of.serial),
        ("X-SSL-Client-SHA1", of.sha1.upper()),
        ("X-SSL-Client-NotBefore", start),
        ("X-SSL-Client-NotAfter", end),
        ("X-SSL-Client-DER", b64(of.der)),
    ]


def compact(of: Facts) -> Headers:
    """The documented format, by hand."""
    names = [
        *(f"dns:{name}" for name in sans(of, x509.DNSName)),
        *(f"ip:{name}" for name in sans(of, x509.IPAddress)),
        *(f"uri:{name}" for name in sans(of, x509.UniformResourceIdentifier)),
        *(f"email:{name}" for name in sans(of, x509.RFC822Name)),
    ]
    content = {
        "subject": of.subject,
        "issuer": of.issuer,
        "sans": names,
        "serial": of.serial,
        "sha256": of.sha256,
        "not_after": of.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "verify": "SUCCESS",
        "cert": b64(of.der),
    }
    return [("X-Handclasp-Identity", json.dumps(content, separators=(",", ":")))]


WRITERS: dict[str, Callable[[Facts], Headers]] = {
    "x-client-cert": x_client_cert,
    "x-ssl-cert": x_ssl_cert,
    "ingress-nginx": ingress_nginx,
    "rfc9440": rfc9440,
    "xfcc": xfcc,
    "traefik": traefik,
    "aws-alb": aws_alb,
    "azure-arr": azure_arr,
    "haproxy": haproxy,
    "handclasp": compact,
}


def headers(dialect: str, case: str = "p256") -> Headers:
    """What a proxy speaking `dialect` sends for the caller."""
    return WRITERS[dialect](facts(case))


def sans(
    of: Facts,
    kind: type[x509.DNSName | x509.IPAddress | x509.UniformResourceIdentifier | x509.RFC822Name],
) -> list[str]:
    """The names of one type, in certificate order."""
    extension = of.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return [str(name.value) for name in extension.value if isinstance(name, kind)]


def replaced(original: Headers, name: str, value: str | None) -> Headers:
    """With another value, or without the header."""
    return [
        (key, told if key.lower() != name.lower() else value)  # type: ignore[misc]
        for key, told in original
        if key.lower() != name.lower() or value is not None
    ]
