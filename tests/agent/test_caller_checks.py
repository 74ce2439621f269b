"""What `check` says of callers once certificates are read: a case for each, and a near miss."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cryptography import x509

from handclasp.agent.caller_checks import check_callers
from handclasp.agent.header_sizes import SAMPLE_BYTES, sample
from handclasp.certs.material import IdentityMaterial, Material, TrustMaterial
from handclasp.certs.private_keys import spki
from handclasp.certs.secret import Secret
from handclasp.findings import Severity
from handclasp.nginx.plan import Inputs, make_plan
from handclasp.spec.load import parse_spec
from tests import pki
from tests.nginx.planning import UNPRIVILEGED, WHEEL
from tests.nginx.recorded_builds import facts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from handclasp.findings import Finding

ROOT = pki.authority("Root")
CLOSED = pki.authority("Closed root", path_length=0)
ISSUING = pki.authority("Issuing", issuer=ROOT)
BELOW = pki.authority("Below", issuer=ISSUING)
STRANGE = pki.authority("Strange", issuer=pki.authority("Nobody's root"))
SERVER = pki.leaf(ROOT, "server", sans=["*.example.com"], usages=[pki.SERVER])
CLIENT = pki.leaf(ISSUING, "svc-b", sans=["svc-b.internal", "uri:spiffe://example.org/svc-b"])


def key_of(pair: pki.Pair) -> str:
    return hashlib.sha256(spki(pair.certificate.public_key())).hexdigest()


def ingress(
    clients: Mapping[str, Any] | None = None, *, name: str = "api", **link: Any
) -> dict[str, Any]:
    return {
        "name": name,
        "listen": "0.0.0.0:443",
        "server_names": ["api.example.com"],
        "identity": "server",
        "clients": {"trust": "company", "allow": ["cn:svc-b"], **(clients or {})},
        "backend": "http://unix:/run/api.sock",
        **link,
    }


def egress(**link: Any) -> dict[str, Any]:
    return {
        "name": "orders",
        "listen": "unix:/run/orders/x.sock",
        "upstream": "https://127.0.0.1:443",
        "verify": {"name": "api.example.com"},
        "identity": "client",
        "trust": "company",
        **link,
    }


def said(
    *links: dict[str, Any],
    roots: Sequence[pki.Pair] = (ROOT,),
    between: Sequence[pki.Pair] = (),
    client: pki.Pair = CLIENT,
    calls: Sequence[dict[str, Any]] = (),
    lists: Sequence[bytes] = (),
) -> list[Finding]:
    """What check_callers finds, over a real plan of a recorded build."""
    loaded = parse_spec(
        yaml.safe_dump(
            {
                "identities": {
                    one: {"certificate": f"{one}.pem", "key": f"{one}.key"}
                    for one in ("server", "client")
                },
                "trust": {"company": {"certificates": ["ca.pem"]}},
                "ingress": list(links),
                "egress": list(calls),
            }
        ),
        source="spec.yaml",
        base=PurePosixPath("/etc"),
    )
    material = Material(
        identities={"server": _identity("server", SERVER), "client": _identity("client", client)},
        trust={
            "company": replace(
                _trust("company", roots), crls=tuple(map(x509.load_pem_x509_crl, lists))
            )
        },
        intermediates={"api": _trust("intermediates of api", between)} if between else {},
    )
    inputs = Inputs(loaded, material, facts_of(WHEEL), UNPRIVILEGED, {}, pki.NOW)
    plan = make_plan(inputs).plan
    assert plan is not None or lists, make_plan(inputs).findings
    return check_callers(loaded, material, plan, now=pki.NOW)


def _identity(name: str, pair: pki.Pair) -> IdentityMaterial:
    chain = tuple(one.certificate for one in pair.issuers if one is not pair.issuers[-1])
    return IdentityMaterial(
        name=name,
        certificate_file=PurePosixPath(f"{name}.pem"),
        key_file=PurePosixPath(f"{name}.key"),
        leaf=pair.certificate,
        chain=chain,
        key=Secret(pair.private_key),
        key_mode=0o600,
    )


def _trust(name: str, pairs: Sequence[pki.Pair]) -> TrustMaterial:
    return TrustMaterial(
        name=name,
        files=(PurePosixPath("/etc/ca.pem"),),
        anchors=tuple(one.certificate for one in pairs),
        anchor_files=tuple(PurePosixPath(f"/etc/{at}.pem") for at in range(len(pairs))),
    )


def told(findings: Sequence[Finding]) -> list[tuple[str, Severity, str | None]]:
    return [(one.slug, one.severity, one.where.path) for one in findings]


def test_a_ca_with_a_list_belongs_under_the_trust() -> None:
    """nginx wants a list of each CA above a caller: without, it refuses whom that CA issued."""
    link = ingress({"intermediates": ["issuing.pem"]})
    place = "ingress[0].clients.intermediates"
    missing = ("crl-missing-for-chain", Severity.ERROR, place)
    for lists in ([pki.crl(ROOT)], [pki.crl(ROOT), pki.crl(ISSUING)]):
        (finding,) = said(link, between=[ISSUING], lists=lists)
        assert told([finding]) == [missing]
        assert "Issuing" in finding.seen
    slugs = {one.slug for one in said(link, between=[ISSUING])}
    slugs |= {one.slug for one in said(link, roots=[ROOT, ISSUING], between=[ISSUING], lists=lists)}
    assert missing[0] not in slugs


# -- rules that let nobody in

IMPOSSIBLE = [
    "dn:svc-b",
    "dns:*",
    "dns:*.com",
    "dns:a*.example.com",
    "dns:with blank.example.com",
    "spiffe://example.org",
    "spiffe://example.org/a/*/b",
    "uri:no-scheme",
    "email:example.com",
    "ip:10.0.0.1/8",
    "issuer:Issuing",
    "sha256:abc",
    "spki:abc",
]
POSSIBLE = [
    "dn:CN=svc-b",
    "dns:*.example.com",
    "spiffe://example.org/*",
    "spiffe://example.org/a/b",
    "uri:urn:service:b",
    "email:*@example.com",
    "ip:10.0.0.0/8",
    "issuer:CN=Root,O=Example Org",
    f"sha256:{'ab' * 32}",
    f"spki:{'AB:' * 31}AB",
    "cn:*",
    "ou:anything",
]


@pytest.mark.parametrize("rule", IMPOSSIBLE)
def test_a_rule_that_no_certificate_can_satisfy_is_an_error_where_it_stands(rule: str) -> None:
    findings = said(ingress({"allow": ["cn:svc-b", rule]}))
    path = "ingress[0].clients.allow[1]"
    assert told(findings) == [("allow-rule-for-nobody", Severity.ERROR, path)]
    kind, _, value = rule.partition(":")
    assert findings[0].seen.lstrip("'").startswith(f"{kind}:")
    assert value in findings[0].seen


@pytest.mark.parametrize("rule", POSSIBLE)
def test_a_rule_that_some_certificate_can_satisfy_is_none(rule: str) -> None:
    assert "allow-rule-for-nobody" not in {
        one.slug for one in said(ingress({"allow": ["cn:svc-b", rule]}))
    }


def test_rules_of_paths_and_of_hops_are_looked_at_too() -> None:
    findings = said(
        ingress(
            {"rules": [{"path": "/"}, {"path": "/admin/", "allow": ["cn:a", "dns:*.x"]}]},
            original_certificate={"trusted": ["cn:hop", "sha256:12"]},
        )
    )
    assert [one.where.path for one in findings] == [
        "ingress[0].clients.rules[1].allow[1]",
        "ingress[0].original_certificate.trusted[1]",
    ]


# -- CAs

# Keys are made anew in every process, so they must not be names of tests.
BY_KEY_AND_NAME = pytest.mark.parametrize(
    "value", [key_of(ISSUING), "CN=Issuing,O=Example Org"], ids=["key", "name"]
)


@BY_KEY_AND_NAME
def test_a_rule_by_an_issuer_that_is_not_known_here_lets_nobody_in(value: str) -> None:
    findings = said(ingress({"allow": [f"issuer:{value}"]}))
    place = "ingress[0].clients.allow[0]"
    assert told(findings) == [("chain-not-known", Severity.WARNING, place)]


@BY_KEY_AND_NAME
def test_with_its_file_under_intermediates_or_in_the_trust_the_issuer_is_known(value: str) -> None:
    clients = {"allow": [f"issuer:{value}"], "intermediates": ["issuing.pem"]}
    assert said(ingress(clients), between=[ISSUING]) == []
    assert said(ingress({"allow": [f"issuer:{value}"]}), roots=[ROOT, ISSUING]) == []


def test_an_issuer_that_leads_to_no_root_is_not_known() -> None:
    clients = {"allow": [f"issuer:{key_of(STRANGE)}"], "intermediates": ["x.pem"]}
    findings = said(ingress(clients), between=[STRANGE])
    assert told(findings) == [
        ("chain-not-known", Severity.WARNING, "ingress[0].clients.intermediates"),
        ("chain-not-known", Severity.WARNING, "ingress[0].clients.allow[0]"),
    ]
    assert "leads to no root of trust 'company'" in findings[0].seen


def test_a_leaf_under_intermediates_is_named() -> None:
    findings = said(ingress({"intermediates": ["x.pem"]}), between=[ISSUING, CLIENT])
    (finding,) = findings
    assert finding.slug == "chain-not-known"
    assert "is no CA" in finding.seen
    assert "/etc/1.pem" in finding.seen
    assert said(ingress({"intermediates": ["x.pem"]}), between=[ISSUING]) == []


@pytest.mark.parametrize("dialect", ["rfc9440", "traefik"])
def test_headers_with_the_chain_are_told_of_when_roots_alone_are_known(dialect: str) -> None:
    place = "ingress[0].forward[0]"
    assert told(said(ingress(forward=[dialect]))) == [("chain-not-known", Severity.INFO, place)]


@pytest.mark.parametrize(
    ("forward", "roots", "between"),
    [
        (["rfc9440"], [CLOSED], []),  # no CA can stand below
        (["rfc9440"], [ROOT, ISSUING], []),
        (["rfc9440"], [ROOT], [ISSUING]),
        (["xfcc", "handclasp"], [ROOT], []),  # carry the leaf alone
    ],
)
def test_where_the_chain_is_known_or_not_wanted_nothing_is_said(
    forward: list[str], roots: list[pki.Pair], between: list[pki.Pair]
) -> None:
    clients = {"allow": "any", "intermediates": ["x.pem"] if between else []}
    # The server's own certificate may be of another root: it is not a caller.
    findings = said(ingress(clients, forward=forward), roots=roots, between=between)
    assert findings == []


# -- sizes


def test_four_dialects_with_the_whole_certificate_are_too_many_for_some_servers() -> None:
    forward = ["x-client-cert", "xfcc", "handclasp", "azure-arr"]
    findings = said(ingress(forward=forward))
    place = "ingress[0].forward"
    assert told(findings) == [("identity-header-too-large", Severity.WARNING, place)]
    assert "Tomcat (8,192 in all; maxHttpRequestHeaderSize)" in findings[0].seen
    assert "Node.js" not in findings[0].seen


@pytest.mark.parametrize(
    "forward",
    [
        ["x-client-cert"],
        ["xfcc"],
        ["haproxy"],
        ["x-client-cert", "xfcc", "azure-arr"],
        ["handclasp", "ingress-nginx"],
    ],
)
def test_up_to_three_fit_everywhere(forward: list[str]) -> None:
    assert said(ingress(forward=forward)) == []


def test_the_certificate_of_an_earlier_hop_counts_too() -> None:
    hop = {"trusted": ["cn:hop"]}
    forward = ["x-client-cert", "xfcc", "azure-arr"]
    slugs = [one.slug for one in said(ingress(forward=forward, original_certificate=hop))]
    assert slugs == ["identity-header-too-large"]
    assert said(ingress(forward=forward[:1], original_certificate=hop)) == []


def test_the_chain_that_is_known_counts_where_the_header_carries_it() -> None:
    above = [ISSUING, BELOW]
    for at in range(8):
        above.append(pki.authority(f"Deep {at}", issuer=above[-1]))
    clients = {"intermediates": ["x.pem"], "depth": 10}
    findings = said(ingress(clients, forward=["rfc9440"]), between=above)
    assert [one.slug for one in findings] == ["identity-header-too-large"]
    assert f"a certificate of {SAMPLE_BYTES:,} bytes and 10 CAs above it" in findings[0].seen
    assert said(ingress(clients, forward=["xfcc"]), between=above) == []
    assert said(ingress(clients, forward=["rfc9440"]), between=above[:2]) == []


def test_a_usual_certificate_has_to_be_admitted() -> None:
    findings = said(ingress({"certificate_size": "2k"}, forward=["handclasp"]))
    place = "ingress[0].clients.certificate_size"
    assert told(findings) == [("identity-header-too-large", Severity.WARNING, place)]
    assert "admits 2,048" in findings[0].seen
    assert said(ingress({"certificate_size": "3k"}, forward=["handclasp"])) == []


def test_what_nginx_cannot_keep_would_be_refused() -> None:
    forward = ["xfcc", "handclasp", "azure-arr"]
    findings = said(ingress({"certificate_size": "3k"}, forward=forward))
    assert [one.slug for one in findings] == ["identity-header-too-large"]
    assert "6,144" in findings[0].seen
    assert "refused" in findings[0].seen
    assert said(ingress({"certificate_size": "4k"}, forward=forward)) == []


def test_the_usual_certificate_is_always_the_same() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    der = sample().public_bytes(Encoding.DER)
    sample.cache_clear()
    assert sample().public_bytes(Encoding.DER) == der
    assert len(der) == SAMPLE_BYTES


# -- keys without effect


def test_keys_for_the_agent_on_a_link_that_asks_nobody_are_named() -> None:
    clients = {"certificate_size": "4k", "answers": {"fresh": "1m"}}
    assert [one.where.path for one in said(ingress(clients))] == [
        "ingress[0].clients.certificate_size",
        "ingress[0].clients.answers",
    ]
    assert said(ingress({**clients, "allow": ["dns:svc-b.internal"]})) == []


# -- our own identities

ASKED = {"allow": ["dns:other.internal"]}


def test_a_link_that_calls_another_one_and_is_not_allowed_there_is_named() -> None:
    findings = said(ingress(ASKED), calls=[egress()])
    place = "egress[0].identity"
    assert told(findings) == [("caller-not-allowed", Severity.WARNING, place)]
    assert "link orders calls api.example.com, a name of link api, as client" in findings[0].seen


@pytest.mark.parametrize(
    "rules",
    [
        {"allow": ["dns:svc-b.internal"]},
        {"allow": ["cn:svc-b"]},
        {
            "allow": ["dns:x.internal"],
            "rules": [{"path": "/a/", "allow": ["cn:svc-b"]}],
        },
        {"allow": [f"issuer:{key_of(ISSUING)}"], "intermediates": ["x.pem"]},
    ],
)
def test_one_that_some_rule_admits_is_not(rules: dict[str, Any]) -> None:
    assert said(ingress(rules), between=[ISSUING], calls=[egress()]) == []


@pytest.mark.parametrize(
    "call",
    [
        egress(upstream="https://127.0.0.1:8443"),
        egress(verify={"name": "other.example.com"}),
        egress(upstream="https://unix:/run/other.sock"),
    ],
)
def test_a_call_to_somebody_else_is_nobody_here(call: dict[str, Any]) -> None:
    assert said(ingress(ASKED), calls=[call]) == []


@pytest.mark.parametrize(
    ("listen", "upstream", "names"),
    [
        ("unix:/run/in/api.sock", "https://unix:/run/in/api.sock", ["api.example.com"]),
        ("127.0.0.1:8443", "https://127.0.0.1:8443", ["*.example.com"]),
        ("127.0.0.1:8443", "https://api.example.com:8443", ["api.example.com"]),
    ],
)
def test_listeners_are_recognised(listen: str, upstream: str, names: list[str]) -> None:
    link = ingress(ASKED, listen=listen, server_names=names)
    findings = said(link, calls=[egress(upstream=upstream)])
    assert [one.slug for one in findings] == ["caller-not-allowed"]


def test_a_route_with_an_identity_of_its_own_is_looked_at() -> None:
    call = egress(
        upstream="https://192.0.2.1",
        verify={"name": "elsewhere.example.com"},
        routes=[
            {
                "path": "/api/",
                "upstream": "https://127.0.0.1:443",
                "verify": {"name": "api.example.com"},
            }
        ],
    )
    (finding,) = said(ingress(ASKED), calls=[call])
    assert finding.seen.startswith("route /api/ of link orders calls api.example.com")
    assert finding.where.path == "egress[0].routes[0]"


def test_an_identity_of_another_trust_is_refused_before_any_rule() -> None:
    stranger = pki.leaf(STRANGE, "svc-b")
    (finding,) = said(ingress({"allow": "any"}), calls=[egress()], client=stranger)
    assert finding.slug == "caller-not-allowed"
    assert "not issued under trust 'company'" in finding.seen


def test_a_link_behind_another_one_is_a_caller_too() -> None:
    front = ingress(
        name="front",
        server_names=["front.example.com"],
        backend="https://127.0.0.1:443",
        backend_tls={
            "trust": "company",
            "verify": {"name": "api.example.com"},
            "identity": "client",
        },
    )
    (finding,) = said(ingress(ASKED), front)
    assert (finding.slug, finding.where.path) == (
        "caller-not-allowed",
        "ingress[1].backend_tls.identity",
    )
