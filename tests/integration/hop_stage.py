"""Ingress links behind earlier hops: the cast, the links, and what an application reads behind them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from handclasp.backend import IdentityReader
from handclasp.identity.caller import read_caller
from handclasp.identity.encoders import encode
from tests import pki
from tests.integration.ingress_stage import NAMES, link, ports, running_stage, spec_of
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from handclasp.backend import ClientIdentity
    from tests.integration.ingress_stage import Stage
    from tests.integration.running import Material
    from tests.integration.servers import Seen

ORIGINAL = "X-Original-Client-Cert"
XFCC = "X-Forwarded-Client-Cert"
GATEWAY = [
    "gateway.edge.internal",
    "uri:spiffe://example.org/gateway",
    "email:gateway@example.org",
    "ip:192.0.2.7",
]
CUSTOMER = ["uri:spiffe://customers.example/seven", "seven.customers.example"]
HOSTILE = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'a,b;c"d=e'),
        x509.NameAttribute(NameOID.COMMON_NAME, 'Jürgen",By=x;Hash=0;Subject="CN=admin'),
    ]
)
BREAKING = {  # Envoy puts the subject between quotes as it is, and a URI nowhere
    "backslash": (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x\\")]), CUSTOMER),
    "quote": (pki.dn("x"), ['uri:spiffe://customers.example/";Subject="CN=admin']),
    "comma": (pki.dn("x"), [f"uri:spiffe://customers.example/x,Hash={'ab' * 32}"]),
}
IMPOSTOR = [
    "gateway.far.edge.internal",
    "uri:spiffe://example.org.example/gateway",
    "email:gateway@example.org.example",
    "ip:192.0.2.70",
]
KINDS = (
    *("cn", "dn", "ou", "dns", "spiffe", "uri", "email", "ip"),
    *("issuer", "issuer-dn", "sha256", "spki"),
)


def _rules(gateway: pki.Pair) -> dict[str, str]:
    """A rule of each kind that names the gateway and no other certificate here."""
    own, above = (_key_digest(pair.certificate) for pair in (gateway, gateway.issuers[0]))
    return {
        "cn": "cn:gateway",
        "dn": "dn:CN=gateway,OU=edge,O=Example Org",
        "ou": "ou:edge",
        "dns": "dns:*.edge.internal",
        "spiffe": "spiffe://example.org/*",
        "uri": "uri:spiffe://example.org/gateway",
        "email": "email:gateway@example.org",
        "ip": "ip:192.0.2.7",
        "issuer": f"issuer:{above}",
        "issuer-dn": "issuer:CN=Gateways CA,O=Example Org",
        "sha256": f"sha256:{gateway.certificate.fingerprint(hashes.SHA256()).hex()}",
        "spki": f"spki:{own}",
    }


def _key_digest(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(key).hexdigest()


def _in_unit(unit: str, common_name: str) -> x509.Name:
    kinds = (NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME)
    values = ("Example Org", unit, common_name)
    return x509.Name([x509.NameAttribute(*pair) for pair in zip(kinds, values, strict=True)])


APPENDING = ["appending", "appending-by-nginx"]


def _cast(material: Material) -> pki.Pair:
    """The trusted hop, of a CA of its own below ours; and the rest of the cast."""
    gateways = pki.authority("Gateways CA", issuer=material.ca)
    (material.folder / "gateways.pem").write_bytes(gateways.pem)
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    material.add("impostor", subject=_in_unit("edges", "gateway-2"), sans=IMPOSTOR)
    material.add("customer", issuer=material.other_ca, sans=CUSTOMER)
    material.add("hostile", issuer=material.other_ca, sans=CUSTOMER, subject=HOSTILE)
    for name, (subject, sans) in BREAKING.items():
        material.add(name, issuer=material.other_ca, subject=subject, sans=sans)
    material.add("rsa", issuer=material.other_ca, sans=CUSTOMER, key_kind="rsa4096")
    subject = _in_unit("edge", "gateway")
    return material.add("gateway", issuer=gateways, subject=subject, sans=GATEWAY)


def _links(listen: str, url: str, trusted: dict[str, str]) -> list[dict[str, Any]]:
    clients = {"trust": "company", "allow": "any", "intermediates": ["gateways.pem"]}

    def one(name: str, forward: list[Any], **original: Any) -> dict[str, Any]:
        more = {"original_certificate": original} if original else {}
        limits = {"header": "64k"}
        return link(name, listen, url, clients=clients, forward=forward, limits=limits, **more)

    appending = {"dialect": "xfcc", "append": True}
    agent, nginx = [trusted["spiffe"]], [trusted["cn"]]
    from_ = {"from": "x-client-cert"}
    optional = one("optional", [appending], trusted=agent, **from_)
    optional["clients"] = {**clients, "verify": "optional"}
    return [
        *(one(kind, ["x-client-cert"], trusted=[trusted[kind]], **from_) for kind in KINDS),
        one("compact", ["handclasp", "rfc9440"], trusted=agent, **from_),
        one("same-name", ["handclasp"], trusted=agent),
        one("appending", [appending], trusted=agent, **from_),
        one("appending-by-nginx", [appending], trusted=nginx, **from_),
        one("replacing", ["xfcc"], trusted=agent, **from_),
        one("no-hop", ["xfcc", "x-client-cert"]),
        optional,
    ]


@contextlib.contextmanager
def hop_stage(material: Material, nginx: Path, mark: str) -> Iterator[Stage]:
    """All links, before one backend: `extra["backend"]`."""
    gateway = _cast(material)
    (port,) = ports(1)
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"
        links = _links(f"127.0.0.1:{port}", url, _rules(gateway))
        spec = spec_of(material, links)
        with running_stage(material, nginx, mark, spec, port, backend=backend) as running:
            yield running


def read(seen: Seen, dialect: str, **options: Any) -> ClientIdentity | None:
    """What an application makes of it."""
    return IdentityReader(dialect, **options).read(seen.headers)


def sha256(stage: Stage, name: str) -> str:
    (leaf, *_) = x509.load_pem_x509_certificates(stage.pair(name)[0].read_bytes())
    return leaf.fingerprint(hashes.SHA256()).hex()


def assert_told(stage: Stage, dialect: str, hop: str, original: str | None) -> None:
    """The last request carries the identities of both, or of the hop alone."""
    told, before = read(last(stage), dialect), read(last(stage), "original-client-cert")
    assert told is not None
    assert told.sha256 == sha256(stage, hop)
    assert (before and before.sha256) == (original and sha256(stage, original))
    assert ORIGINAL in [name for name, _ in last(stage).headers] or original is None


def last(stage: Stage) -> Seen:
    seen: Seen = stage.extra["backend"].last
    return seen


def escaped(stage: Stage, name: str) -> str:
    """As nginx's $ssl_client_escaped_cert."""
    return quote(stage.pair(name)[0].read_text(), safe="")


def straight(stage: Stage, link_name: str, who: str | None, headers: list[tuple[str, str]]) -> Seen:
    """A request past every proxy, with these headers."""
    answer = stage.caller.get(
        sni=f"{link_name}.example.com",
        credentials=stage.pair(who) if who else None,
        headers=headers,
    )
    assert answer.status == 200, answer.text
    return last(stage)


def through(stage: Stage, port: int, link_name: str, who: str, **forged: str) -> Seen:
    """A request of a customer by way of the proxy at `port`."""
    at_proxy = dataclasses.replace(stage.caller, port=port)
    headers = [(name.replace("_", "-"), value) for name, value in forged.items()]
    answer = at_proxy.get(
        sni=f"{link_name}.example.com", credentials=stage.pair(who), headers=headers
    )
    assert answer.status == 200, answer.text
    return last(stage)


def element(stage: Stage, name: str) -> str:
    """The X-Forwarded-Client-Cert of a proxy that saw this certificate."""
    (leaf, *_) = x509.load_pem_x509_certificates(stage.pair(name)[0].read_bytes())
    ((_, value),) = encode("xfcc", read_caller(leaf))
    return value


def told_by_xfcc(seen: Seen) -> tuple[str | None, str | None]:
    """SHA-256 of the original and of the nearest, as an application reads them."""
    (value,) = seen.values(XFCC)
    original, nearest = (read(seen, "xfcc", hop=hop) for hop in ("original", "nearest"))
    assert original is not None
    assert nearest is not None
    assert value.startswith(("By=", "Hash="))
    return original.sha256, nearest.sha256
