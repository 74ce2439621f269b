"""Addresses, URLs, durations, sizes and rules, and the search for what somebody meant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.spec.links import NAME_PATTERN
from handclasp.spec.names import check_accepted_host, check_host_name, check_server_name, fit_name
from handclasp.spec.positions import Place, Positions, path_text
from handclasp.spec.quantities import (
    check_dns_server,
    duration_text,
    parse_duration,
    parse_network,
    parse_size,
)
from handclasp.spec.shape import home_below, home_elsewhere, nearest, section_at
from handclasp.spec.values import AllowKind, AllowRule, ListenAddress, Url


@pytest.mark.parametrize(
    ("text", "shown", "loopback", "wildcard"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080", True, False),
        ("localhost:8080", "127.0.0.1:8080", True, False),
        ("127.9.9.9:1", "127.9.9.9:1", True, False),
        ("[::1]:443", "[::1]:443", True, False),
        ("[0:0::1]:443", "[::1]:443", True, False),
        ("*:443", "0.0.0.0:443", False, True),
        (":443", "0.0.0.0:443", False, True),
        ("[::]:443", "[::]:443", False, True),
        ("10.0.0.1:65535", "10.0.0.1:65535", False, False),
        ("unix:/run/a b.sock", "unix:/run/a b.sock", True, False),
    ],
)
def test_listen_addresses(text: str, shown: str, loopback: bool, wildcard: bool) -> None:
    address = ListenAddress.parse(text)
    assert str(address) == shown
    assert address.is_loopback is loopback
    assert address.is_wildcard is wildcard
    assert ListenAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "authority", "named", "loopback"),
    [
        ("https://A.example.com", "a.example.com", True, False),
        ("https://a.example.com.:443/", "a.example.com", True, False),
        ("https://a.example.com:8443", "a.example.com:8443", True, False),
        ("https://10.0.0.1", "10.0.0.1", False, False),
        ("https://[2001:db8::1]:8443", "[2001:db8::1]:8443", False, False),
        ("https://[::1]", "[::1]", False, True),
        ("https://localhost", "localhost", True, True),
        ("https://unix:/run/a.sock", "localhost", False, False),
        ("https://under_score", "under_score", True, False),
    ],
)
def test_urls(text: str, authority: str, named: bool, loopback: bool) -> None:
    url = Url.parse(text, schemes=("https",))
    assert url.authority == authority
    assert url.is_named is named
    assert url.is_loopback is loopback
    assert Url.parse(str(url), schemes=("https",)) == url


@given(st.text(max_size=30))
def test_a_url_is_read_or_refused_with_a_sentence(text: str) -> None:
    for whole in (text, f"https://{text}", f"https://a{text}:1"):
        try:
            url = Url.parse(whole, schemes=("https", "grpcs"))
        except ValueError as error:
            assert str(error)  # noqa: PT017  either outcome is right
        else:
            assert Url.parse(str(url), schemes=("https", "grpcs")) == url


def test_a_password_in_a_url_is_not_repeated() -> None:
    for text in ("https://me:hunter2@a", "http://me:hunter2@a", "https://me:hunter2@a:b c"):
        with pytest.raises(ValueError, match="URL") as raised:
            Url.parse(text, schemes=("https",))
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["1.2.3.256", "a.1", "::1", "10.0.0.1", "[::1]", "a..b", "-", "a-", "", "."]
)
def test_what_looks_like_an_address_is_no_host_name(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host name|is an IP address"):
        check_host_name(text)


@pytest.mark.parametrize(
    "text", ["*", "*.*.a", "a.*", "10.0.0.1", "*.1", "a" * 64, "a." * 127 + "com"]
)
def test_what_is_no_server_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a server name|is an IP address"):
        check_server_name(text)


def test_names_are_compared_in_lower_case_without_the_final_dot() -> None:
    assert check_server_name("*.Example.COM.") == "*.example.com"
    assert check_host_name("A.Example.") == "a.example"
    assert check_accepted_host("::1") == "[::1]"
    assert check_accepted_host("[::1]") == "[::1]"
    assert check_accepted_host("10.0.0.1") == "10.0.0.1"


@given(st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=3660)))
def test_a_duration_is_written_as_it_is_read(duration: timedelta) -> None:
    whole = duration // timedelta(milliseconds=1) * timedelta(milliseconds=1)
    if whole:
        assert parse_duration(duration_text(whole)) == whole


@pytest.mark.parametrize(
    "text", ["0s", "5", "5 s", "s", "", "-1s", "1y", "\u0661s", "9" * 12 + "d", "4000d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|longer than ten years"):
        parse_duration(text)


def test_sizes() -> None:
    assert [parse_size(text) for text in ("0", "512", "16k", "16K", "1m", "1g")] == [
        *(0, 512, 16384, 16384, 1048576, 1073741824),
    ]
    for text in ("", "k", "1 k", "1kb", "-1", "1.5m", "9" * 15 + "g", "9" * 5000):
        with pytest.raises(ValueError, match=r"is not a size|is larger than"):
            parse_size(text)


def test_networks_and_dns_servers() -> None:
    assert str(parse_network("10.0.0.1")) == "10.0.0.1/32"
    assert str(parse_network("2001:db8::/32")) == "2001:db8::/32"
    assert [
        check_dns_server(text) for text in ("1.1.1.1", "1.1.1.1:53", "::1", "[::1]", "[::1]:5")
    ] == [
        *("1.1.1.1", "1.1.1.1:53", "[::1]", "[::1]", "[::1]:5"),
    ]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("cn:svc-b", AllowKind.CN, "svc-b"),
        ("dn:CN=a,O=Ex: ample", AllowKind.DN, "CN=a,O=Ex: ample"),
        ("spiffe://example.org/*", AllowKind.SPIFFE, "spiffe://example.org/*"),
        ("sha256:ab", AllowKind.SHA256, "ab"),
    ],
)
def test_allow_rules_keep_what_was_written(text: str, kind: AllowKind, value: str) -> None:
    rule = AllowRule.parse(text)
    assert rule == AllowRule(kind, value)
    assert str(rule) == text


@given(st.text(max_size=90))
def test_a_fitted_name_is_a_name_or_empty(text: str) -> None:
    import re

    name = fit_name(text)
    assert not name or re.fullmatch(NAME_PATTERN, name)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("upstreem", "upstream"),
        ("upStream", "upstream"),
        ("acceptHosts", "accept_hosts"),
        ("accept-host", "accept_hosts"),
        ("up", None),
        ("banana", None),
    ],
)
def test_the_nearest_key_is_found(wrong: str, meant: str | None) -> None:
    assert nearest(wrong, ["upstream", "accept_hosts", "listen"]) == meant


def test_a_key_is_sent_where_it_belongs() -> None:
    assert home_below("depth", ("ingress", 0)) == "under `clients`"
    assert home_below("depth", ("status",)) is None
    assert home_elsewhere("trust", ("egress", 0, "verify")) == "further out, beside `verify`"
    assert home_elsewhere("identities", ("egress", 0)) == "at the top of the file"
    assert home_elsewhere("banana", ("egress", 0)) is None
    assert home_elsewhere("allow", ("ingress", 0, "tls")) == "under `clients`"


def test_every_mapping_of_the_model_is_found_by_its_path() -> None:
    for path, name in {
        (): "Spec",
        ("identities", "x", "password"): "SecretSource",
        ("egress", 0, "routes", 3, "upstream", 0): "UpstreamServer",
        ("ingress", 1, "forward", 0): "Forward",
        ("egress", 0, "original_certificate"): "EgressOriginal",
    }.items():
        section = section_at(path)
        assert section is not None
        assert section.__name__ == name
    assert section_at(("egress", 0, "name")) is None
    assert section_at(("nowhere", 0)) is None


def test_a_single_value_answers_for_item_0_and_a_list_does_not_answer_for_more() -> None:
    places = {
        (): Place(1, 1),
        ("one",): Place(1, 6, 1, 1),
        ("one", "x"): Place(1, 7, 1, 6),
        ("many",): Place(2, 7, 2, 1, is_list=True),
        ("many", 0): Place(2, 8),
    }
    positions = Positions("s", places)
    assert positions.known(("one", 0)) == ("one",)
    assert positions.known(("one", 0, "x")) == ("one", "x")
    assert positions.known(("one", 1, "x")) == ("one",)
    assert positions.known(("many", 0)) == ("many", 0)
    assert positions.known(("many", 1, "x")) == ("many",)
    assert str(positions.key(("one", 0))) == "s:1:1 (one)"
    assert str(Positions("s", {}).where(("x",))) == "s:1:1"
    assert path_text(("egress", 0, "routes", 1, "path")) == "egress[0].routes[1].path"
