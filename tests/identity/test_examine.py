"""What people are told about headers they copied: what a backend would see, and what happened to them."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handclasp.backend.dialects import DIALECTS
from handclasp.backend.identity import Reason
from handclasp.identity.encoders import Style, encode
from handclasp.identity.examine import Examination, examine
from tests.identity import golden_cases
from tests.identity.specimens import NOW

WHO = golden_cases.load("rsa4096")
EVERY_DIALECT = list(DIALECTS)


def lines(dialect: str) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in encode(dialect, WHO))


def certificate(dialect: str) -> str:
    """The value of the header that carries the certificate."""
    return max((value for _, value in encode(dialect, WHO)), key=len)


def look(text: str | bytes, dialect: str | None = None) -> Examination:
    data = text.encode() if isinstance(text, str) else text
    return examine(data, dialect=dialect, now=NOW)


def codes(found: Examination) -> set[str]:
    return {one.code for one in found.odd}


@pytest.mark.parametrize("dialect", EVERY_DIALECT)
def test_header_lines_of_every_dialect_are_recognised(dialect: str) -> None:
    request = (
        f"GET /a HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: ::1\r\n{lines(dialect)}\r\n"
    )
    found = look(request)
    assert [reading.dialect for reading in found.readings] == [dialect]
    identity = found.readings[0].identity
    assert identity is not None
    assert identity.sha256 == WHO.sha256
    assert (found.accepted, found.odd, found.guessed) == (True, (), True)


@pytest.mark.parametrize(
    ("dialect", "told"),
    [
        *(
            (one, one)
            for one in EVERY_DIALECT
            if one not in ("x-ssl-cert", "ingress-nginx", "haproxy")
        ),
        # These carry the same value as another, which is named.
        ("x-ssl-cert", "x-client-cert"),
        ("ingress-nginx", "x-client-cert"),
        ("haproxy", "azure-arr"),
    ],
)
def test_a_value_by_itself_is_told_by_its_form(dialect: str, told: str) -> None:
    found = look(certificate(dialect))
    assert [reading.dialect for reading in found.readings] == [told]
    assert found.accepted
    assert bool(found.readings[0].assumed) is (told == "x-client-cert")
    assert look(certificate(dialect), dialect).readings[0].dialect == dialect


def test_lines_that_curl_or_a_shell_put_something_in_front_of_are_read() -> None:
    shown = "".join(f"> {line}\n" for line in lines("x-client-cert").splitlines())
    assert look(shown).accepted
    quoted = look(f"'{certificate('x-client-cert')}'")
    assert (quoted.accepted, codes(quoted)) == (True, {"quoted"})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_named(encoding: str) -> None:
    found = look(lines("xfcc").encode(encoding))
    assert (found.accepted, codes(found)) == (True, {"bom"})


def test_a_missing_verification_header_is_named_and_the_certificate_shown() -> None:
    found = look(f"X-Client-Cert: {certificate('x-client-cert')}")
    assert found.readings[0].reason is Reason.VERIFY_MISSING
    assert found.certificate is not None
    assert found.certificate.sha256 == WHO.sha256
    assert not found.accepted


def test_a_header_that_is_there_twice_or_misspelt_is_named() -> None:
    twice = look(lines("x-client-cert") + lines("x-client-cert"))
    assert twice.readings[0].reason is Reason.SEVERAL_INSTANCES
    assert "several-instances" in codes(twice)
    misspelt = look(lines("x-client-cert").replace("X-Client-Cert", "x_client_cert"))
    assert misspelt.readings[0].reason is Reason.MISSPELT_HEADER
    assert codes(misspelt) == {"misspelt-header"}


DAMAGES = {
    "encoded-twice": quote(certificate("x-client-cert")),
    "not-encoded": unquote(certificate("x-client-cert")),
    "plus-as-space": unquote_plus(certificate("aws-alb")),
    "lines-as-blanks": unquote(certificate("x-client-cert")).replace("\n", " "),
    "several-lines": unquote(certificate("x-client-cert")),
}


@pytest.mark.parametrize("code", DAMAGES)
def test_a_damaged_value_is_refused_its_damage_named_and_the_certificate_found(code: str) -> None:
    found = look(DAMAGES[code])
    assert not found.accepted
    assert code in codes(found)
    assert found.certificate is not None
    assert found.certificate.sha256 == WHO.sha256


@pytest.mark.parametrize("length", [200, 1000, 1700])
@pytest.mark.parametrize("dialect", ["x-client-cert", "azure-arr"])
def test_a_value_that_is_cut_off_is_named_as_such(dialect: str, length: int) -> None:
    found = look(certificate(dialect)[:length])
    assert codes(found) == {"cut-off"}
    assert not found.accepted


def test_a_pem_without_its_last_line_or_with_more_behind_is_found() -> None:
    pem = unquote(certificate("x-client-cert"))
    for text, code in (
        (pem.replace("-----END CERTIFICATE-----", ""), "cut-off"),
        (pem.replace("\n-----END", "AAAA\n-----END"), "not-encoded"),
        ("".join(f"    {line}\n" for line in pem.splitlines()), "several-lines"),
    ):
        found = look(text)
        assert code in codes(found)
        assert "plus-as-space" not in codes(found)
        assert found.certificate is not None
        assert found.certificate.sha256 == WHO.sha256


def test_what_is_assumed_for_a_bare_value_is_not_among_its_headers() -> None:
    (reading,) = look(certificate("x-client-cert")).readings
    assert reading.headers == ("X-Client-Cert",)
    assert reading.assumed == ("X-Client-Verify: SUCCESS",)


def test_a_mangled_plus_that_a_backend_puts_right_is_reported() -> None:
    found = look(certificate("azure-arr").replace("+", " "))
    assert (found.accepted, codes(found)) == (True, {"plus-as-space"})


def test_a_folded_header_is_named() -> None:
    pem = unquote(certificate("x-client-cert")).rstrip("\n").replace("\n", "\r\n\t")
    found = look(f"X-Client-Verify: SUCCESS\r\nX-Client-Cert: {pem}\r\n")
    assert {"several-lines", "not-encoded"} <= codes(found)
    assert found.certificate is not None


def test_dates_are_judged_as_of_the_given_moment() -> None:
    for moment, expected in (
        (WHO.not_after + timedelta(seconds=1), {"expired"}),
        (WHO.not_before - timedelta(seconds=1), {"not-yet-valid"}),
        (WHO.not_after, set()),
    ):
        assert codes(examine(lines("rfc9440").encode(), now=moment)) == expected


def test_an_xfcc_of_names_alone_is_odd() -> None:
    assert codes(look("URI=spiffe://example.org/a;DNS=a")) == {"no-hash"}
    style = Style(xfcc_details=frozenset())
    assert codes(look(encode("xfcc", WHO, style)[0][1])) == set()


def test_identity_headers_of_no_dialect_are_pointed_out() -> None:
    assert codes(look("X-SPIFFE-ID: spiffe://example.org/a")) == {"other-header"}


def test_several_dialects_are_read_one_by_one() -> None:
    found = look(lines("rfc9440") + lines("xfcc") + lines("traefik"))
    assert [reading.dialect for reading in found.readings] == ["rfc9440", "xfcc", "traefik"]
    assert [one.dialect for one in look(lines("rfc9440") + lines("xfcc"), "xfcc").readings] == [
        "xfcc"
    ]


@pytest.mark.parametrize("text", ["", "\n", "hello", "Host: example.org", "GET / HTTP/1.1", "a: b"])
def test_what_holds_no_identity_is_not_understood(text: str) -> None:
    found = look(text)
    assert not found.understood
    assert not found.accepted


PIECES = st.sampled_from(
    [
        "X-Client-Cert: ",
        "x_ssl_cert:",
        "Client-Cert: :",
        "-----BEGIN CERTIFICATE-----",
        "-----BEGIN%20CERTIFICATE-----%0A",
        "-----END CERTIFICATE-----",
        "MIIB",
        "MII" + "A" * 70,
        'Subject="',
        'Cert="%2D',
        "\n\t",
        "\n",
        "\r\n",
        " ",
        "%",
        "%25",
        "é",
        "\x00",
        "{",
        "> ",
        ",",
        ":",
        "=",
        certificate("azure-arr")[:300],
    ]
)


@given(
    data=st.one_of(
        st.binary(max_size=200), st.lists(PIECES, max_size=8).map(lambda p: "".join(p).encode())
    ),
    dialect=st.one_of(st.none(), st.sampled_from(EVERY_DIALECT)),
)
def test_any_bytes_are_examined_without_an_exception(data: bytes, dialect: str | None) -> None:
    found = examine(data, dialect=dialect, now=NOW)
    assert all(one.sentence for one in found.odd)
