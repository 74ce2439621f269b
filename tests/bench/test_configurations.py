"""The texts the proxies read do the same job."""

from __future__ import annotations

import json

import pytest

from bench import rendered
from bench.__main__ import chosen_scenarios
from bench.binaries import Binary
from bench.commands import many_links
from bench.configurations.headers import WRITTEN, removed
from bench.configurations.nginx import outer
from bench.model import Site
from bench.scenarios import SCENARIOS
from bench.subjects import SUBJECTS, Subject, subject

SITE = Site("/f", "/m", 18080, 18443)
NGINX = Binary("nginx", "/usr/sbin/nginx", "1.22.1")


def named(one: Subject) -> str:
    return f"{one.role}-{one.name}"


TLS = [one for one in SUBJECTS if one.speaks_tls]


@pytest.mark.parametrize("one", SUBJECTS, ids=named)
def test_listens_on_loopback_and_talks_to_its_target(one: Subject):
    text = one.configuration(SITE)
    assert "18080" in text
    assert "18443" in text
    assert "127.0.0.1" in text
    assert "0.0.0.0" not in text


@pytest.mark.parametrize("one", [s for s in TLS if s.role == "egress"], ids=named)
def test_an_egress_presents_the_certificate_and_verifies_the_name(one: Subject):
    text = one.configuration(SITE)
    assert "/m/client" in text or "identities/client" in text
    assert "/m/ca.pem" in text
    assert SITE.name in text


@pytest.mark.parametrize(
    "one", [s for s in SUBJECTS if s.role == "ingress" and s.strips], ids=named
)
def test_an_ingress_removes_every_identity_header(one: Subject):
    text = one.configuration(SITE).lower()
    assert len(removed()) > 60
    for name in removed():
        assert name in text


def test_what_is_written_is_not_also_removed():
    assert not WRITTEN & set(removed())


def test_the_floor_has_no_tls():
    text = subject("egress", "floor").configuration(SITE)
    assert "ssl" not in text
    assert "https" not in text


def test_the_seed_keeps_what_makes_it_slow():
    text = subject("egress", "seed").configuration(SITE)
    for lacking in ("upstream ", "keepalive", "proxy_http_version", "Connection"):
        assert lacking not in text
    for kept in ("proxy_ssl_session_reuse on", "proxy_ssl_verify_depth 2", "Host $host"):
        assert kept in text


def test_envoy_reads_json():
    document = json.loads(subject("egress", "envoy").configuration(SITE))
    assert document["static_resources"]["clusters"][0]["transport_socket"]


def test_user_is_named_only_when_given():
    assert "user " not in outer("/f", "", user=None)
    assert "user nobody nogroup;" in outer("/f", "", user="nobody nogroup")


@pytest.mark.parametrize(
    ("name", "rotation"), [("handclasp", "reload"), ("handclasp-lookup", "auto")]
)
def test_the_spec_of_an_ingress_asks_for_the_lookup_or_not(name: str, rotation: str):
    (link,) = rendered.specification(subject("ingress", name), SITE, NGINX)["ingress"]
    assert link["rotation"] == rotation
    assert link["forward"] == ["x-client-cert"]


def test_many_links_differ_in_name_listener_and_upstream():
    one = rendered.specification(subject("egress", "handclasp"), SITE, NGINX)
    links = many_links(one, 1000)["egress"]
    for key in ("name", "listen", "upstream"):
        assert len({link[key] for link in links}) == 1000
    assert len(one["egress"]) == 1


def test_scenarios_can_be_narrowed_by_name_and_subject():
    assert chosen_scenarios(None, None) == SCENARIOS
    (only,) = chosen_scenarios(["egress-1mib"], ["haproxy", "handclasp"])
    assert (only.name, only.subjects) == ("egress-1mib", ("handclasp", "haproxy"))
    assert chosen_scenarios(None, ["nobody"]) == ()
