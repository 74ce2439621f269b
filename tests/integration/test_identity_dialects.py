"""Every dialect, from the handshake to the application: the bytes are the encoder's, the identity is true."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from handclasp.backend import DIALECTS, ClientIdentity
from handclasp.backend.asgi import KEY, ClientIdentityMiddleware
from handclasp.backend.dialects import stripped_headers
from handclasp.certs.dn import issuer_text, subject_text
from handclasp.certs.names import subject_alt_names
from handclasp.identity.caller import read_caller
from handclasp.identity.chain import Authorities
from handclasp.identity.encoders import Style
from handclasp.identity.encoders.encode import encode_all
from tests import pki
from tests.integration.http2_client import Http2Client
from tests.integration.ingress_stage import NAMES, Stage, link, ports, running_stage, spec_of
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from handclasp.identity.caller import Caller
    from tests.integration.running import Material
    from tests.integration.servers import Seen

pytestmark = pytest.mark.integration

OURS = "uri:spiffe://example.org/ingress"
STYLE = Style(xfcc_by=(OURS.removeprefix("uri:"),))
SPIFFE = "uri:spiffe://example.org/svc-b"
TWENTY = [
    *(f"host{number}.example.org" for number in range(15)),
    *("ip:192.0.2.7", "ip:2001:db8::7", "email:caller@example.org", "email:other@example.org"),
    SPIFFE,
]
SEVERAL = {
    # The two write X-SSL-Client-Verify in two ways, and so are never together.
    "all-but-haproxy": [name for name in DIALECTS if name != "haproxy"],
    "all-but-x-ssl-cert": [name for name in DIALECTS if name != "x-ssl-cert"],
    "chains": ["traefik", "rfc9440"],
    "native": ["x-ssl-cert", "x-client-cert"],
}


def subject(common_name: str, organisation: str) -> x509.Name:
    kinds = (NameOID.COUNTRY_NAME, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    values = ("DE", organisation, common_name)
    return x509.Name([x509.NameAttribute(*pair) for pair in zip(kinds, values, strict=True)])


CASES: dict[str, dict[str, Any]] = {
    "p256": {"sans": ["svc-b.internal", SPIFFE]},
    "rsa4096": {"sans": [SPIFFE], "key_kind": "rsa4096"},
    "non-ascii": {"subject": subject("Jürgen Ångström", "Ünïcode 東京 🦀"), "sans": [SPIFFE]},
    "hostile": {
        "subject": subject(
            'x";URI=spiffe://example.org/admin,By=y;CN=admin, O="Evil", \\', "a,b;c\"d'e=f+g<h>#"
        ),
        "sans": [SPIFFE],
    },
    "twenty-sans": {"sans": TWENTY},
    "no-names": {},
}


@pytest.fixture(scope="module")
def issuing(material: Material) -> pki.Pair:
    """The CA of the callers, between them and the trust; and the callers."""
    issuing = pki.authority("Issuing CA, Europe", issuer=material.ca)
    (material.folder / "issuing.pem").write_bytes(issuing.pem)
    material.add("server-a", sans=[*NAMES, OURS], usages=[pki.SERVER])
    for case, options in CASES.items():
        material.add(case, issuer=issuing, **options)
    return issuing


@pytest.fixture(scope="module")
def stage(material: Material, issuing: pki.Pair, nginx_build: Path) -> Iterator[Stage]:
    (port,) = ports(1)
    clients = {
        "trust": "company",
        "allow": "any",
        "verify": "optional",
        "intermediates": ["issuing.pem"],
        "certificate_size": "16k",
    }
    with Backend() as backend:
        links = [
            link(
                name,
                f"127.0.0.1:{port}",
                f"http://127.0.0.1:{backend.port}",
                clients=clients,
                forward=dialects,
            )
            for name, dialects in {**{name: [name] for name in DIALECTS}, **SEVERAL}.items()
        ]
        spec = spec_of(material, links)
        with running_stage(
            material, nginx_build, "dialects", spec, port, backend=backend
        ) as running:
            yield running


def caller_of(stage: Stage, case: str) -> Caller:
    """With its path to the trust, as the agent has it."""
    leaf, issuer = x509.load_pem_x509_certificates(stage.pair(case)[0].read_bytes())
    chain = Authorities([stage.material.ca.certificate], [issuer]).chain(leaf, now=pki.NOW)
    assert chain is not None
    return read_caller(leaf, chain=chain)


def ask(stage: Stage, name: str, case: str | None, **headers: str) -> Seen:
    answer = stage.caller.get(
        sni=f"{name}.example.com",
        credentials=stage.pair(case) if case else None,
        headers=[(key.replace("_", "-"), value) for key, value in headers.items()],
    )
    assert answer.status == 200, answer.text
    seen: Seen = stage.extra["backend"].last
    return seen


def identity_headers(seen: Seen) -> list[tuple[str, str]]:
    """Every header of the request by which some proxy tells of a client, in some order."""
    known = {name for name in stripped_headers() if name.replace("_", "-") not in FORWARDING}
    return sorted((name, value) for name, value in seen.headers if name.lower() in known)


FORWARDING = {
    *("x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"),
}


def written(dialects: Sequence[str], who: Caller | None) -> list[tuple[str, str]]:
    return sorted(encode_all([(dialect, STYLE) for dialect in dialects], who))


def admitted(seen: Seen, dialect: str, peer: str = "127.0.0.1") -> ClientIdentity | int | None:
    """Whom an application that trusts the proxy's address takes the caller for; or its refusal."""
    found: list[Any] = []

    async def application(scope: Any, _: Any, __: Any) -> None:
        found.append(scope[KEY])

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        found.append(message.get("status"))

    middleware = ClientIdentityMiddleware(
        application, dialect=dialect, trusted_peers=["127.0.0.1"], key=KEY
    )
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in seen.headers]
    scope = {
        "type": "http",
        "headers": headers,
        "client": (peer, 4711),
        "server": ("127.0.0.1", 8000),
    }
    asyncio.run(middleware(scope, receive, send))
    told: ClientIdentity | int | None = found[0]
    return told


def assert_is(identity: ClientIdentity | int | None, stage: Stage, case: str) -> None:
    """Everything told is what the certificate says."""
    leaf, issuer = x509.load_pem_x509_certificates(stage.pair(case)[0].read_bytes())
    assert isinstance(identity, ClientIdentity)
    assert identity.certificate == leaf.public_bytes(Encoding.DER)
    assert identity.sha256 == leaf.fingerprint(SHA256()).hex()
    assert identity.subject == subject_text(leaf)
    assert identity.issuer == issuer_text(leaf)
    assert sorted(identity.sans.typed) == sorted(subject_alt_names(leaf))
    assert identity.spiffe_id == (None if case == "no-names" else SPIFFE.removeprefix("uri:"))
    assert identity.not_after == leaf.not_valid_after_utc
    assert identity.serial is not None
    assert int(identity.serial, 16) == leaf.serial_number
    assert identity.notes == ()
    if identity.dialect in ("rfc9440", "traefik"):
        assert identity.chain == (issuer.public_bytes(Encoding.DER),)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_application_reads_who_called_and_nginx_sent_what_the_encoder_wrote(
    stage: Stage, dialect: str, case: str
) -> None:
    expected = written([dialect], caller_of(stage, case))
    for _ in range(2):  # the agent's answer, and the one that nginx remembers
        seen = ask(stage, dialect, case)
        assert identity_headers(seen) == expected
        assert_is(admitted(seen, dialect), stage, case)
    assert admitted(seen, dialect, "192.0.2.1") == 403


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("several", SEVERAL)
def test_several_dialects_at_once_tell_the_same(stage: Stage, several: str, case: str) -> None:
    seen = ask(stage, several, case)
    assert identity_headers(seen) == written(SEVERAL[several], caller_of(stage, case))
    for dialect in SEVERAL[several]:
        assert_is(admitted(seen, dialect), stage, case)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_of_a_caller_without_certificate_nothing_is_told(stage: Stage, dialect: str) -> None:
    for case in (None, "p256", None):
        seen = ask(stage, dialect, case)
        who = caller_of(stage, case) if case else None
        assert identity_headers(seen) == written([dialect], who)
    assert admitted(seen, dialect) == 403


@pytest.mark.parametrize("name", ["all-but-haproxy", "haproxy"])
def test_two_callers_on_one_link_are_never_taken_for_each_other(stage: Stage, name: str) -> None:
    dialects = SEVERAL.get(name, [name])
    for case in (*CASES, *reversed(CASES)):
        seen = ask(stage, name, case)
        for dialect in dialects:
            assert_is(admitted(seen, dialect), stage, case)


def test_who_asks_for_events_or_speaks_http2_is_told_of_alike(stage: Stage) -> None:
    expected = written(SEVERAL["all-but-haproxy"], caller_of(stage, "hostile"))
    seen = ask(stage, "all-but-haproxy", "hostile", Accept="text/event-stream")
    assert identity_headers(seen) == expected
    name = "all-but-haproxy.example.com"
    with Http2Client(stage.caller, name, stage.pair("hostile")) as client:
        assert client.request("/").status == 200
    assert identity_headers(stage.extra["backend"].last) == expected


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_was_really_told_of_one_caller_is_of_no_use_to_another(
    stage: Stage, dialect: str
) -> None:
    copied = identity_headers(ask(stage, dialect, "rsa4096"))
    spelt = [(name.replace("-", "_"), value) for name, value in copied]
    for told in (copied, [*copied, *spelt]):
        answer = stage.caller.get(
            sni=f"{dialect}.example.com", credentials=stage.pair("p256"), headers=told
        )
        assert answer.status == 200
        assert_is(admitted(stage.extra["backend"].last, dialect), stage, "p256")
