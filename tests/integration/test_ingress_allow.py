"""Allow rules against real certificates with subjects made to mislead."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from handclasp.certs.dn import subject_text
from tests import pki
from tests.integration.ingress_stage import (
    NAMES,
    Stage,
    link,
    ports,
    running_stage,
    spec_of,
    until,
)
from tests.integration.servers import Backend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material

pytestmark = pytest.mark.integration

VALUES = {  # link name → value of its one cn: rule
    "plain": "svc-b",
    "comma": "svc-b,O=Evil",
    "plus": "a+CN=svc-b",
    "quote": 'the "boss" \\',
    "umlaut": "dienst-ü",
    "regex": ".*",
    "dollar": "$ssl_client_s_dn",
    "hash": "#abc",
    "long": "x" * 64,
    "braces": "a{2};b # c",
    "tilde": "~^.*",
}


def attribute(value: str, oid: x509.ObjectIdentifier = NameOID.COMMON_NAME, **more: object) -> Any:
    """Any value: those beyond X.520's lengths are what this file is about."""
    with warnings.catch_warnings(action="ignore"):
        return x509.NameAttribute(oid, value, _validate=False, **more)  # type: ignore[arg-type]


def name(*rdns: list[Any]) -> x509.Name:
    return x509.Name([x509.RelativeDistinguishedName(rdn) for rdn in rdns])


O, OU, CN = NameOID.ORGANIZATION_NAME, NameOID.ORGANIZATIONAL_UNIT_NAME, NameOID.COMMON_NAME  # noqa: E741
SUBJECTS = {  # who → subject and the links that admit it
    "exact": (name([attribute("svc-b")]), {"plain"}),
    "in-middle": (name([attribute("Org", O)], [attribute("svc-b")], [attribute("u", OU)]), {"plain"}),
    "multi-valued": (name([attribute("svc-b"), attribute("u", OU)]), {"plain"}),
    "upper": (name([attribute("SVC-B")]), set()),
    "longer": (name([attribute("svc-bb")]), set()),
    "prefixed": (name([attribute("xsvc-b")]), set()),
    "newline": (name([attribute("svc-b\n")]), set()),
    "leading-newline": (name([attribute("\nsvc-b")]), set()),
    "nul": (name([attribute("svc-b\0")]), set()),
    "space": (name([attribute("svc-b ")]), set()),
    "leading-space": (name([attribute(" svc-b")]), set()),
    "empty": (name([attribute("", CN)], [attribute("svc-b", O)]), set()),
    "none": (name([attribute("svc-b", O)]), set()),
    "two": (name([attribute("svc-b")], [attribute("root")]), set()),
    "two-same": (name([attribute("svc-b")], [attribute("svc-b")]), set()),
    "two-in-one": (name([attribute("svc-b"), attribute("root")]), set()),
    "in-organisation": (name([attribute("x,CN=svc-b", O)]), set()),
    "in-organisation-plus": (name([attribute("x+CN=svc-b", O)], [attribute("y")]), set()),
    "backslash-before": (name([attribute("svc-b", CN)], [attribute("x\\", O)]), {"plain"}),
    "backslash-comma": (name([attribute("x\\,CN=svc-b", O)]), set()),
    "comma": (name([attribute("svc-b,O=Evil")]), {"comma"}),
    "comma-for-real": (name([attribute("Evil", O)], [attribute("svc-b")]), {"plain"}),
    "plus": (name([attribute("a+CN=svc-b")]), {"plus"}),
    "quote": (name([attribute('the "boss" \\')]), {"quote"}),
    "umlaut": (name([attribute("dienst-ü")]), {"umlaut"}),
    "umlaut-bmp": (name([attribute("dienst-ü", _type=_ASN1Type.BMPString)]), {"umlaut"}),
    "umlaut-decomposed": (name([attribute("dienst-u\u0308")]), set()),
    "bmp": (name([attribute("svc-b", _type=_ASN1Type.BMPString)]), {"plain"}),
    "printable": (name([attribute("svc-b", _type=_ASN1Type.PrintableString)]), {"plain"}),
    "regex": (name([attribute(".*")]), {"regex"}),
    "dollar": (name([attribute("$ssl_client_s_dn")]), {"dollar"}),
    "hash": (name([attribute("#abc")]), {"hash"}),
    "long": (name([attribute("x" * 64)]), {"long"}),
    "very-long": (name([attribute("u" * 30_000, OU)], [attribute("svc-b")]), {"plain"}),
    "very-escaped": (name([attribute('",+' * 8_000, OU)], [attribute("svc-b")]), {"plain"}),
    "very-long-miss": (name([attribute(",CN=" * 8_000, OU)], [attribute("svc-bb")]), set()),
    "braces": (name([attribute("a{2};b # c")]), {"braces"}),
    "tilde": (name([attribute("~^.*")]), {"tilde"}),
}  # fmt: skip

# One name, whose parts nginx prints in either order: a set is sorted by its encoding.
SETS = {
    "set": name([attribute("Org", O)], [attribute("mv"), attribute("dev", OU)]),
    "set-bmp": name(
        [attribute("Org", O)],
        [attribute("mv", _type=_ASN1Type.BMPString), attribute("dev", OU)],
    ),
}
NEAR_SETS = {
    "set-more": name(
        [attribute("Org", O)], [attribute("mv"), attribute("dev", OU), attribute("x")]
    ),
    "set-less": name([attribute("Org", O)], [attribute("mv")]),
    "set-apart": name([attribute("Org", O)], [attribute("mv")], [attribute("dev", OU)]),
    "set-other": name([attribute("Org", O)], [attribute("mv"), attribute("dev+x", OU)]),
}


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    material.add("server-a", sans=NAMES, usages=[pki.SERVER])
    for who, (subject, _) in SUBJECTS.items():
        material.add(who, subject=subject, key_label="same")
    for who, subject in (SETS | NEAR_SETS).items():
        material.add(who, subject=subject, key_label="same")
    material.add("namesake", issuer=material.other_ca, subject=pki.dn("svc-b"))
    (port,) = ports(1)
    listen = f"127.0.0.1:{port}"
    with Backend() as backend:
        url = f"http://127.0.0.1:{backend.port}"

        def one(link_name: str, *allow: str):
            clients = {"trust": "company", "allow": list(allow)}
            return link(link_name, listen, url, clients=clients, limits={"header": "512k"})

        links = [one(link_name, f"cn:{value}") for link_name, value in VALUES.items()]
        links.append(one("dn", f"dn:{subject_text(material.client.certificate)}"))
        links.append(one("dn-loose", "dn:cn = svc-b , O=Example Org"))
        links.append(one("several", "cn:nobody", "cn:svc-x", "dn:CN=svc-b,O=Example Org"))
        for turn, rule in (("cn", "dn:CN=mv+OU=dev,O=Org"), ("ou", "dn:OU=dev + CN=mv,O=Org")):
            links.append(one(f"set-{turn}", rule))
            links.append(one(f"set-{turn}-asked", rule, "dns:nobody.internal"))
        for listed in links:
            listed["forward"] = []  # the backend takes no header of 40 KB
        with running_stage(
            material, nginx_build, "allow", spec_of(material, links), port, backend=backend
        ) as running:
            yield running


@pytest.mark.parametrize("who", SUBJECTS)
def test_a_cn_rule_admits_the_certificates_whose_only_cn_is_its_value(
    stage: Stage, who: str
) -> None:
    _, admitted = SUBJECTS[who]
    near = {"plain", *admitted} | ({"comma", "regex"} if not admitted else set())
    for link_name in near:
        before = len(stage.extra["backend"].seen)
        answer = stage.caller.get("/", sni=f"{link_name}.example.com", credentials=stage.pair(who))
        assert answer.status == (200 if link_name in admitted else 403), link_name
        assert (len(stage.extra["backend"].seen) > before) == (link_name in admitted)


def test_the_subject_alone_is_not_enough(stage: Stage) -> None:
    """The same subject from another CA fails verification, before any rule is asked."""
    for link_name in ("plain", "dn", "several"):
        answer = stage.caller.get(
            "/", sni=f"{link_name}.example.com", credentials=stage.pair("namesake")
        )
        assert answer.status == 400


@pytest.mark.parametrize(
    ("link_name", "who", "expected"),
    [
        ("dn", "svc-b", 200),
        ("dn", "svc-x", 403),
        ("dn", "exact", 403),  # no organisation
        ("dn-loose", "svc-b", 200),
        ("dn-loose", "comma-for-real", 403),
        ("several", "svc-b", 200),
        ("several", "svc-x", 200),
        ("several", "exact", 403),
    ],
)
def test_dn_rules_compare_the_whole_subject(
    stage: Stage, link_name: str, who: str, expected: int
) -> None:
    answer = stage.caller.get("/", sni=f"{link_name}.example.com", credentials=stage.pair(who))
    assert answer.status == expected


@pytest.mark.parametrize("link_name", ["set-cn", "set-ou", "set-cn-asked", "set-ou-asked"])
def test_parts_that_are_joined_by_plus_have_no_order_whoever_decides(
    stage: Stage, link_name: str
) -> None:
    assert {
        subject_text(x509.load_pem_x509_certificates(stage.pair(who)[0].read_bytes())[0])
        for who in SETS
    } == {
        "CN=mv+OU=dev,O=Org",
        "OU=dev+CN=mv,O=Org",
    }
    for who in (*SETS, *NEAR_SETS):
        answer = stage.caller.get("/", sni=f"{link_name}.example.com", credentials=stage.pair(who))
        assert answer.status == (200 if who in SETS else 403), who


def test_a_rule_holds_for_every_path_and_method(stage: Stage) -> None:
    for method, path in (("GET", "/"), ("POST", "/a/../b"), ("DELETE", "//x"), ("OPTIONS", "/%2e")):
        answer = stage.caller.get(
            path, method=method, sni="plain.example.com", credentials=stage.pair("svc-x")
        )
        assert answer.status == 403


def test_no_worker_dies_of_a_subject(stage: Stage) -> None:
    """Runs last in this file: 30 KB of subject went through the patterns above."""
    assert until(lambda: "exited on signal" not in stage.running.error_log, within=0)
