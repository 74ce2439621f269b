"""Every dialect: golden headers, agreement with OpenSSL, and readers who see the same caller again."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from urllib.parse import unquote, unquote_plus

import pytest
from cryptography.x509.oid import NameOID

from handclasp.backend.compact import decode_handclasp
from handclasp.backend.dialects import DIALECTS, Field
from handclasp.backend.parsing import parse
from handclasp.errors import InternalFault
from handclasp.identity.caller import certificate_from_escaped
from handclasp.identity.encoders import (
    Detail,
    Style,
    conflicts,
    encode,
    encode_all,
    header_size,
)
from handclasp.identity.encoders.escaping import checked
from tests.identity import golden_cases
from tests.identity.specimens import caller, name
from tests.openssl import needs_openssl, openssl

EVERY_DIALECT = list(DIALECTS)


def value(dialect: str, header: str, *, case: str = "p256", style: Style | None = None) -> str:
    return dict(encode(dialect, golden_cases.load(case), style or Style()))[header]


@pytest.mark.parametrize("case", golden_cases.NAMES)
def test_the_headers_are_the_golden_ones(case: str) -> None:
    expected = (golden_cases.FOLDER / f"{case}.headers").read_text("ascii")
    assert golden_cases.lines(golden_cases.load(case)) == expected


@needs_openssl
@pytest.mark.parametrize("case", golden_cases.NAMES)
def test_names_numbers_and_dates_are_what_openssl_prints(case: str) -> None:
    file = golden_cases.FOLDER / f"{case}.pem"
    options = ("-noout", "-nameopt", "RFC2253", "-subject", "-issuer", "-serial", "-enddate")
    printed = openssl("x509", "-in", str(file), *options).decode()
    told = dict(line.split("=", maxsplit=1) for line in printed.splitlines())
    headers = dict(encode("x-client-cert", golden_cases.load(case)))
    names = DIALECTS["x-client-cert"].fields
    assert headers[names[Field.SUBJECT]] == told["subject"]
    assert headers[names[Field.ISSUER]] == told["issuer"]
    assert headers[names[Field.SERIAL]] == told["serial"]
    assert headers[names[Field.NOT_AFTER]] == told["notAfter"]
    for digest, expected in (
        ("sha1", headers[names[Field.FINGERPRINT]]),
        ("sha256", golden_cases.load(case).sha256),
    ):
        printed = openssl("x509", "-in", str(file), "-noout", "-fingerprint", f"-{digest}").decode()
        assert printed.partition("=")[2].strip().replace(":", "").lower() == expected


@pytest.mark.parametrize("dialect", EVERY_DIALECT)
@pytest.mark.parametrize("case", golden_cases.NAMES)
def test_the_backend_reads_the_same_caller(dialect: str, case: str) -> None:
    who = golden_cases.load(case)
    identity = parse(encode(dialect, who, golden_cases.FULL), dialect)
    assert identity is not None
    assert (identity.sha256, identity.certificate) == (who.sha256, who.der)
    assert sorted(identity.sans.typed) == sorted(who.sans)
    assert identity.subject == who.subject
    if dialect in ("rfc9440", "traefik", "xfcc"):
        assert who.chain is not None
        assert len(identity.chain) == len(who.chain.intermediates)


@pytest.mark.parametrize("dialect", EVERY_DIALECT)
def test_without_a_certificate_nobody_is_told_of(dialect: str) -> None:
    headers = encode(dialect, None)
    assert parse(headers, dialect) is None
    assert {text for _, text in headers} <= {"NONE", "1"}


@pytest.mark.parametrize("dialect", EVERY_DIALECT)
def test_every_header_is_one_that_the_renderer_strips(dialect: str) -> None:
    written = {header.lower() for header, _ in encode(dialect, golden_cases.load("rsa4096"))}
    shared = {header.lower() for header in DIALECTS["x-ssl-cert"].headers}  # HAProxy's share two
    assert written <= {header.lower() for header in DIALECTS[dialect].headers} | shared


def test_the_native_dialects_take_other_header_names() -> None:
    style = Style(names={Field.CERTIFICATE: "X-Peer", Field.VERIFY: "X-Peer-Verify"})
    headers = dict(encode("x-client-cert", golden_cases.load("p256"), style))
    assert headers["X-Peer-Verify"] == "SUCCESS"
    assert "X-Client-Cert" not in headers
    assert encode("x-client-cert", None, style) == [("X-Peer-Verify", "NONE")]


def test_the_escaped_certificate_is_the_one_nginx_would_hand_over() -> None:
    who = golden_cases.load("rsa4096")
    text = value("x-client-cert", "X-Client-Cert", case="rsa4096")
    assert certificate_from_escaped(text) == who.certificate
    assert text.endswith("-----END%20CERTIFICATE-----%0A")
    assert not set("+/= \n") & set(text)


def test_aws_leaves_plus_slash_and_equals_as_they_are() -> None:
    text = value("aws-alb", "X-Amzn-Mtls-Clientcert-Leaf", case="rsa4096")
    assert {"+", "/"} <= set(text)
    assert not re.search("%2B|%2F|%3D", text)
    assert unquote(text) == unquote(value("x-client-cert", "X-Client-Cert", case="rsa4096"))


def test_rfc9440_writes_byte_sequences_and_no_chain_it_does_not_know() -> None:
    who = golden_cases.load("rsa4096")
    headers = dict(encode("rfc9440", who))
    assert re.fullmatch(r":[A-Za-z0-9+/]+=*:", headers["Client-Cert"])
    assert "Client-Cert-Chain" not in dict(encode("rfc9440", replace(who, chain=None)))
    assert "Client-Cert-Chain" not in dict(encode("rfc9440", golden_cases.load("p256")))


def test_xfcc_writes_the_details_that_were_chosen_in_envoys_order() -> None:
    who = golden_cases.load("twenty-sans")
    plain = Style(xfcc_details=frozenset(), xfcc_by=())
    assert encode("xfcc", who, plain) == [("X-Forwarded-Client-Cert", f"Hash={who.sha256}")]
    full = encode("xfcc", who, golden_cases.FULL)[0][1]
    keys = re.findall(r"(?:^|;)([A-Z][A-Za-z]+)=", re.sub(r'"[^"]*"', '""', full))
    assert keys == ["By", "Hash", "Cert", "Chain", "Subject", *["URI"] * 2, *["DNS"] * 14]
    no_chain = encode("xfcc", replace(who, chain=None), golden_cases.FULL)[0][1]
    assert "Chain=" not in no_chain


def test_xfcc_appends_to_what_a_trusted_hop_sent() -> None:
    who = caller(sans=["uri:spiffe://example.org/proxy"])
    before = 'Hash=00;Subject="CN=a,b\\";c"'
    style = Style(xfcc_details=frozenset([Detail.URI]), xfcc_previous=before)
    text = encode("xfcc", who, style)[0][1]
    assert text == f"{before},Hash={who.sha256};URI=spiffe://example.org/proxy"
    assert encode("xfcc", None, style) == [("X-Forwarded-Client-Cert", before)]
    assert encode("xfcc", None) == []


@pytest.mark.parametrize(
    "before",
    [
        'Subject="open',
        'Subject="CN=a\\\\";URI=x',
        'Subject="a"" ',
        "",
        ",",
        "Hash=1,,Hash=2",
        "Hash=1;",
        "MIIB",
        "Hash=1\r\nX: y",
        "Hash=é",
        "=x",
    ],
)
def test_xfcc_appends_to_nothing_that_could_swallow_its_element(before: str) -> None:
    if before == 'Subject="a"" ':
        before = 'Subject="a""'  # an odd number of quotes
    with pytest.raises(ValueError, match="not well formed"):
        encode("xfcc", caller(), Style(xfcc_previous=before))


def test_traefik_writes_bodies_leaf_first_and_its_fields() -> None:
    who = golden_cases.load("twenty-sans")
    headers = dict(encode("traefik", who))
    leaf, above = headers["X-Forwarded-Tls-Client-Cert"].split(",")
    assert base64.b64decode(leaf) == who.der
    assert len(base64.b64decode(above)) > 100
    info = unquote_plus(headers["X-Forwarded-Tls-Client-Cert-Info"])
    fields = dict(re.findall(r'([A-Za-z]+)="([^"]*)"', info))
    assert fields["Subject"] == "O=Example Org,CN=svc-b"
    assert fields["SerialNumber"] == "3"
    assert fields["NA"] == str(int(who.not_after.timestamp()))
    assert len(fields["SAN"].split(",")) == 20
    assert set(dict(encode("traefik", who, Style(info=False)))) == {"X-Forwarded-Tls-Client-Cert"}
    assert set(dict(encode("traefik", who, Style(pem=False)))) == {
        "X-Forwarded-Tls-Client-Cert-Info"
    }


def test_the_compact_header_may_leave_the_certificate_out() -> None:
    who = golden_cases.load("p256")
    content = decode_handclasp(encode("handclasp", who, Style(certificate=False))[0][1])
    assert (content.certificate, content.sha256) == (None, who.sha256)
    assert content.sans == who.sans


def test_haproxy_names_no_common_name_that_needs_guessing() -> None:
    assert dict(encode("haproxy", caller("svc-b")))["X-SSL-Client-CN"] == "svc-b"
    two = name((NameOID.COMMON_NAME, "admin"), (NameOID.COMMON_NAME, "svc-b"))
    for who in (caller(subject=two), caller("Jürgen"), caller('"a"'), caller(" a")):
        assert "X-SSL-Client-CN" not in dict(encode("haproxy", who))


def test_a_blank_at_the_end_of_a_name_survives_the_trimming_of_receivers() -> None:
    who = caller(subject=name((NameOID.COMMON_NAME, "a ")))
    assert dict(encode("x-client-cert", who))["X-Client-Subject"] == "CN=a\\20"
    assert parse(encode("x-client-cert", who), "x-client-cert") is not None


def test_several_dialects_give_each_header_once_and_refuse_two_meanings() -> None:
    who = golden_cases.load("p256")
    plain = Style()
    together = encode_all([(one, plain) for one in EVERY_DIALECT if one != "haproxy"], who)
    names = [header.lower() for header, _ in together]
    assert len(names) == len(set(names))
    with pytest.raises(ValueError, match="X-SSL-Client-Verify"):
        encode_all([("x-ssl-cert", plain), ("haproxy", plain)], who)
    assert conflicts(["rfc9440", "haproxy", "x-ssl-cert"]) == (
        ("x-ssl-cert", "haproxy", "X-SSL-Client-Verify"),
    )
    assert conflicts(["haproxy", "rfc9440"]) == ()


def test_every_conflict_there_is_is_known() -> None:
    """Each pair of dialects either goes together or is in the table."""
    who, plain = golden_cases.load("p256"), Style()
    for first in EVERY_DIALECT:
        for second in EVERY_DIALECT:
            if conflicts([first, second]):
                continue
            encode_all([(first, plain), (second, plain)], who)


@pytest.mark.parametrize("bad", ["a\r\nb", "a\x00", " a", "a ", "é", "a\tb", "\x7f"])
def test_a_value_that_is_none_is_our_bug_and_never_sent(bad: str) -> None:
    with pytest.raises(InternalFault, match="X-Test"):
        checked([("X-Test", bad)])


def test_sizes_count_the_whole_line() -> None:
    who = golden_cases.load("p256")
    sizes = header_size("x-client-cert", who)
    assert sizes["X-Client-Verify"] == len("X-Client-Verify: SUCCESS\r\n")
    assert 2000 < header_size("x-client-cert", golden_cases.load("rsa4096"))["X-Client-Cert"] < 3000
