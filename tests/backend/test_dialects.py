"""The one list of identity headers: what it holds, and that others agree with it."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from handclasp.backend.believed import FORWARDING_HEADERS, OTHER_IDENTITY_HEADERS
from handclasp.backend.dialects import DIALECTS, Field, stripped_headers
from handclasp.spec.links import HEADER_PATTERN, Dialect

EVERY_NAME = [
    *(name for dialect in DIALECTS.values() for name in dialect.headers),
    *OTHER_IDENTITY_HEADERS,
    *FORWARDING_HEADERS,
]


def test_the_spec_and_the_list_know_the_same_dialects() -> None:
    assert set(DIALECTS) == set(get_args(Dialect))
    assert all(name == dialect.name for name, dialect in DIALECTS.items())


def test_every_name_is_stripped_in_both_spellings() -> None:
    stripped = stripped_headers()
    assert list(stripped) == sorted(set(stripped))
    for name in EVERY_NAME:
        assert name.lower() in stripped
        assert name.lower().replace("-", "_") in stripped


def test_names_of_the_spec_are_stripped_as_well() -> None:
    assert {"x-own", "x_own"} <= set(stripped_headers(("X-Own",)))
    assert "x-own" not in stripped_headers()


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_name_can_stand_in_a_configuration(name: str) -> None:
    assert re.fullmatch(HEADER_PATTERN, name)
    assert len(name) <= 46, "nginx's gRPC module has no room for it"


def test_no_name_frames_a_request() -> None:
    framing = {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade"}
    assert not framing & set(stripped_headers())


def test_native_dialects_write_every_field_under_a_name_of_its_own() -> None:
    native = [dialect for dialect in DIALECTS.values() if dialect.native]
    assert {dialect.name for dialect in native} == {"x-client-cert", "x-ssl-cert"}
    written = [name.lower() for dialect in native for name in dialect.fields.values()]
    assert len(written) == len(set(written))
    assert all(set(dialect.fields) == set(Field) for dialect in native)


KNOWN_TO_BE_BELIEVED = [
    "X-SSL-CERT",
    "X-Client-Cert",
    "X-SSL-Client-Cert",
    "SSL-Client-Cert",
    "SSL-Client-Verify",
    "SSL-Client-Subject-DN",
    "SSL-Client-Issuer-DN",
    "X-Client-Verify",
    "X-Client-DN",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Amzn-Mtls-Clientcert",
    "X-Amzn-Mtls-Clientcert-Leaf",
    "X-Amzn-Mtls-Clientcert-Subject",
    "X-Amzn-Mtls-Clientcert-Issuer",
    "X-Amzn-Mtls-Clientcert-Serial-Number",
    "X-Amzn-Mtls-Clientcert-Validity",
    "CloudFront-Viewer-Cert-Present",
    "CloudFront-Viewer-Cert-Pem",
    "CloudFront-Viewer-Cert-Subject",
    "X-ARR-ClientCert",
    "Cf-Client-Cert-Der-Base64",
    "X-SSL",
    "X-SSL-Client-DN",
    "X-SSL-Client-CN",
    "X-SSL-Issuer",
    "X-SSL-Client-NotBefore",
    "X-SSL-Client-NotAfter",
    "X-SSL-Client-SHA1",
    "X-SSL-Client-Serial",
    "X-SSL-Client-Version",
    "X-SSL-Client-DER",
    "X-SSL-Client-Verify",
    "X-Forwarded-mTLS-Client-Cert",
    "l5d-client-id",
    "X-Original-Client-Cert",
    "WL-Proxy-Client-Cert",
    "SSL-Client-S-DN",
    "X-Handclasp-Identity",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "Proxy",
    "X-Original-URI",
    "X-Original-Method",
    "X-Script-Name",
    "X-Scheme",
    "X-Url-Scheme",
    "Front-End-Https",
    "X-Envoy-Original-Path",
    "X-Middleware-Subrequest",
    "X-WEBAUTH-USER",
    "X-Authenticated-User",
    "X-Remote-User",
    "X-Remote-Group",
    "X-Consumer-Username",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Accesstoken",
    "X-Amzn-Oidc-Data",
    "X-User",
    "X-Goog-Authenticated-User-Email",
    "X-MS-CLIENT-PRINCIPAL-NAME",
    "X-authentik-username",
    "X-Vouch-User",
    "X-Pomerium-Jwt-Assertion",
    "X-Pomerium-Claim-Email",
    "X-Auth-Username",
    "X-Auth-Roles",
    "X-Forwarded-Roles",
    "X-Token-Subject",
    "X-Userinfo",
    "X-Forwarded-Client-DN",
    "X-Client-Cert-Pem",
    "X-Client-Cert-DER",
    "SSL-Client-DN",
    "Client-IP",
    "Fastly-Client-IP",
    "X-Azure-ClientIP",
    "X-Replaced-Path",
    "X-Forwarded-Context",
    "X-Handclasp-Rule",
    "X-Handclasp-Policy",
    "X-Handclasp-Verify",
    "X-Handclasp-Certificate",
    "HC-Reason",
    "HC-Hop",
]


@pytest.mark.parametrize("name", KNOWN_TO_BE_BELIEVED)
def test_names_that_some_application_believes_are_stripped(name: str) -> None:
    """Written out once more, from the documents of those who read them: a slip in the list shows here."""
    assert name.lower() in stripped_headers()
