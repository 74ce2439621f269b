"""X-Forwarded-Client-Cert of an earlier hop: ours comes after it, whole, or in its place."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from handclasp.backend import IdentityError
from tests.integration.earlier_hops import envoy_hop
from tests.integration.hop_stage import (
    APPENDING,
    XFCC,
    element,
    hop_stage,
    read,
    sha256,
    straight,
    through,
    told_by_xfcc,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.ingress_stage import Stage
    from tests.integration.running import Material

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stage(material: Material, nginx_build: Path) -> Iterator[Stage]:
    with hop_stage(material, nginx_build, "three-xfcc") as running:
        yield running


@pytest.mark.parametrize("link_name", APPENDING)
@pytest.mark.parametrize("who", ["customer", "hostile", "rsa"])
def test_our_element_follows_that_of_a_trusted_hop(stage: Stage, link_name: str, who: str) -> None:
    value = element(stage, who)
    seen = straight(stage, link_name, "gateway", [(XFCC, value)])
    assert told_by_xfcc(seen) == (sha256(stage, who), sha256(stage, "gateway"))
    assert seen.values(XFCC) == [f"{value},{element(stage, 'gateway')}"]


@pytest.mark.parametrize("link_name", APPENDING)
def test_two_earlier_hops_keep_their_order(stage: Stage, link_name: str) -> None:
    before = f"{element(stage, 'customer')},{element(stage, 'svc-x')}"
    seen = straight(stage, link_name, "gateway", [(XFCC, before)])
    assert seen.values(XFCC) == [f"{before},{element(stage, 'gateway')}"]
    assert told_by_xfcc(seen) == (sha256(stage, "customer"), sha256(stage, "gateway"))


@pytest.mark.parametrize("link_name", APPENDING)
def test_of_two_headers_of_a_trusted_hop_none_is_believed_where_nginx_sees_both(
    stage: Stage, link_name: str
) -> None:
    """A hop that adds its own to the one that its client sent: before 1.23.0 nginx knows the first alone,
    which `check` warns of."""
    forged, own = element(stage, "customer"), element(stage, "svc-x")
    seen = straight(stage, link_name, "gateway", [(XFCC, forged), (XFCC, own)])
    if stage.facts.version < (1, 23, 0):
        assert told_by_xfcc(seen) == (sha256(stage, "customer"), sha256(stage, "gateway"))
        return
    assert seen.values(XFCC) == [f'Subject="",{element(stage, "gateway")}']
    for first in ('URI="', 'URI="x\\', "", f'{forged};Subject="'):
        seen = straight(stage, link_name, "gateway", [(XFCC, first), (XFCC, own)])
        assert seen.values(XFCC) == [f'Subject="",{element(stage, "gateway")}']


@pytest.mark.parametrize("link_name", APPENDING)
@pytest.mark.parametrize("odd", ["{0};Hash={1}", '{0};Subject="a";Subject="b"'])
def test_a_key_that_a_hop_writes_twice_leaves_the_hop_itself_known(
    stage: Stage, link_name: str, odd: str
) -> None:
    told = odd.format(element(stage, "customer"), "ab" * 32)
    seen = straight(stage, link_name, "gateway", [(XFCC, told)])
    assert seen.values(XFCC) == [f"{told},{element(stage, 'gateway')}"]
    nearest = read(seen, "xfcc", hop="nearest")
    assert nearest is not None
    assert nearest.sha256 == sha256(stage, "gateway")
    for hop in ("original", "only"):
        with pytest.raises(IdentityError):
            read(seen, "xfcc", hop=hop)


@pytest.mark.parametrize(
    ("link_name", "who"),
    [
        *(
            (link_name, who)
            for link_name in (*APPENDING, "optional")
            for who in ("impostor", "svc-b")
        ),
        ("replacing", "gateway"),
        ("replacing", "svc-b"),
        ("no-hop", "gateway"),
    ],
)
def test_what_others_send_is_replaced(stage: Stage, link_name: str, who: str) -> None:
    for spelling in (XFCC, XFCC.upper(), XFCC.replace("-", "_")):
        seen = straight(stage, link_name, who, [(spelling, element(stage, "customer"))])
        assert seen.values(XFCC) == [element(stage, who)]
        assert seen.values(XFCC.replace("-", "_")) == []


@pytest.mark.parametrize("link_name", APPENDING)
@pytest.mark.parametrize(
    "value",
    [
        'Hash={0};Subject="CN=x',
        'Hash={0};Subject="CN=x\\"',
        'Hash={0};Subject="CN=x\\\\"',
        'Hash={0};Subject="CN=x\\\\\\\\"',
        'Hash={0};Subject="CN=x\\',
        '"',
        '""',
        '"Hash={0}"',
        'By=a"b;URI="c=";URI="d',
        'By=a"b"c',
        "Hash={0};URI=x\\",
        'Hash={0};Subject="a""',
        'Hash={0};Subject="a"b"c"',
        "Hash={0},",
        ",Hash={0}",
        "Hash={0};",
        "Hash={0}, Hash={0}",
        "X=y",
        "Hash={0};Foo=bar",
        "Hash={0},,Hash={0}",
        "garbage",
        "=x",
        "Hash",
        ", ,",
        'Hash={0};Subject="CN=\xe4"',
        "-----BEGIN CERTIFICATE-----",
    ],
)
def test_a_hops_value_that_readers_could_differ_on_becomes_an_element_of_nobody(
    stage: Stage, link_name: str, value: str
) -> None:
    """Behind it our element could be read as part of the hop's; without it the hop would pass for the
    original caller."""
    told = value.format("ab" * 32)
    seen = straight(stage, link_name, "gateway", [(XFCC, told)])
    assert seen.values(XFCC) == [f'Subject="",{element(stage, "gateway")}']
    nearest = read(seen, "xfcc", hop="nearest")
    assert nearest is not None
    assert nearest.sha256 == sha256(stage, "gateway")
    for hop in ("original", "only"):
        with pytest.raises(IdentityError):
            read(seen, "xfcc", hop=hop)


@pytest.mark.parametrize("link_name", APPENDING)
def test_a_long_value_neither_breaks_the_worker_nor_loses_ours(
    stage: Stage, link_name: str
) -> None:
    for piece in ("\\,", '\\"', "\\\\a", '";URI="', '",Subject="', ";x"):
        value = f'Subject="{piece * (6000 // len(piece))}a"'
        seen = straight(stage, link_name, "gateway", [(XFCC, value)])
        assert seen.values(XFCC) == [f"{value},{element(stage, 'gateway')}"]
    seen = straight(stage, link_name, "gateway", [(XFCC, 'Subject="' + '\\"' * 10_000)])
    assert seen.values(XFCC) == [f'Subject="",{element(stage, "gateway")}']
    assert "exited on signal" not in stage.running.error_log
    assert "pcre" not in stage.running.error_log


@pytest.mark.parametrize("link_name", APPENDING)
@pytest.mark.parametrize("who", ["customer", "hostile", "rsa"])
def test_behind_envoy_its_element_comes_first_and_ours_last(
    stage: Stage, material: Material, envoy_ports: dict[str, int], link_name: str, who: str
) -> None:
    forged = element(stage, "svc-b")
    seen = through(stage, envoy_ports[link_name], link_name, who, X_Forwarded_Client_Cert=forged)
    assert seen.values(XFCC)[0].endswith("," + element(stage, "gateway"))
    assert told_by_xfcc(seen) == (sha256(stage, who), sha256(stage, "gateway"))
    told = read(seen, "xfcc", hop="original")
    assert told is not None
    assert told.spiffe_id == "spiffe://customers.example/seven"
    assert told.sans.dns == ("seven.customers.example",)


@pytest.mark.parametrize("link_name", APPENDING)
@pytest.mark.parametrize("who", ["backslash", "quote", "comma"])
def test_a_customer_whose_names_break_envoys_element_does_not_pass_for_the_hop_or_anybody(
    stage: Stage, envoy_ports: dict[str, int], link_name: str, who: str
) -> None:
    seen = through(stage, envoy_ports[link_name], link_name, who)
    assert seen.values(XFCC)[0].endswith("," + element(stage, "gateway"))
    for hop in ("original", "only"):
        with pytest.raises(IdentityError):
            read(seen, "xfcc", hop=hop)
    nearest = read(seen, "xfcc", hop="nearest")
    assert nearest is not None
    assert nearest.sha256 == sha256(stage, "gateway")


@pytest.fixture(scope="module")
def envoy_ports(stage: Stage, material: Material) -> Iterator[dict[str, int]]:
    with contextlib.ExitStack() as stack:
        yield {
            name: stack.enter_context(
                envoy_hop(
                    material,
                    stage.port,
                    "gateway",
                    f"{name}.example.com",
                    **dict.fromkeys(("subject", "cert", "dns", "uri"), True),
                )
            )
            for name in APPENDING
        }
