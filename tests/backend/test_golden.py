"""Recorded headers of every dialect and what they say. golden/ holds both, read with openssl."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.backend import DIALECTS, parse
from tests.backend.callers import CASES

FOLDER = Path(__file__).with_name("golden")
CHAINS = {"rfc9440": 2, "xfcc": 1, "traefik": 1}
VERIFY = {
    "x-client-cert": "SUCCESS",
    "x-ssl-cert": "SUCCESS",
    "ingress-nginx": "SUCCESS",
    "haproxy": "0",
    "handclasp": "SUCCESS",
}


def golden(case: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{case}.json").read_text("utf-8"))
    return content


def der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_says_what_openssl_says_of_the_certificate(dialect: str, case: str) -> None:
    expected = golden(case)
    identity = parse(expected["headers"][dialect], dialect)
    assert identity is not None
    assert identity.subject == expected["subject"]
    assert identity.issuer == expected["issuer"]
    assert identity.serial == expected["serial"]
    assert identity.sha256 == expected["sha256"]
    assert identity.not_before == datetime.fromisoformat(expected["not_before"])
    assert identity.not_after == datetime.fromisoformat(expected["not_after"])
    assert identity.sans.dns == tuple(expected["sans"]["dns"])
    assert identity.sans.ip == tuple(expected["sans"]["ip"])
    assert identity.sans.uri == tuple(expected["sans"]["uri"])
    assert identity.sans.email == tuple(expected["sans"]["email"])
    assert identity.spiffe_id == expected["sans"]["uri"][0]
    assert identity.certificate == der(expected["certificate"])
    assert identity.chain == tuple(map(der, expected["chain"][: CHAINS.get(dialect, 0)]))
    assert identity.verify == VERIFY.get(dialect)
    assert identity.dialect == dialect
    assert identity.notes == ()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_header_names_have_no_case(dialect: str) -> None:
    told = golden("p256")["headers"][dialect]
    assert parse([(name.upper(), value) for name, value in told], dialect) is not None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_bytes_are_read_as_text_is(dialect: str) -> None:
    told = golden("non-ascii")["headers"][dialect]
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in told]
    assert parse(raw, dialect) == parse(told, dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_header_is_nobody(dialect: str) -> None:
    assert parse([("Host", "example.org")], dialect) is None
    assert parse({}, dialect) is None


@pytest.mark.parametrize("read", DIALECTS)
@pytest.mark.parametrize("sent", DIALECTS)
def test_headers_of_another_dialect_tell_of_nobody(read: str, sent: str) -> None:
    told = golden("p256")["headers"][sent]
    if {read, sent} == {"x-ssl-cert", "haproxy"}:
        # They share X-SSL-Client-Verify and -Serial, so a doubt is what remains.
        with pytest.raises(ValueError, match=r"^(not-verified|malformed|certificate-missing):"):
            parse(told, read)
        return
    assert (parse(told, read) is not None) == (read == sent)
