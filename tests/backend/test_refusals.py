"""What no proxy sends, or leaves a doubt about: each is refused with its reason."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, unquote

import pytest
from cryptography import x509

from handclasp.backend import DIALECTS, IdentityError, Note, Reason, parse
from handclasp.backend.parsing import LARGEST_VALUES, IdentityReader
from tests import pki
from tests.backend.callers import (
    Headers,
    b64,
    caller,
    escaped,
    facts,
    headers,
    intermediate,
    replaced,
    root,
)

NGINX = ("x-client-cert", "x-ssl-cert", "ingress-nginx")
CERTIFICATE = {
    "x-client-cert": "X-Client-Cert",
    "x-ssl-cert": "X-SSL-CERT",
    "ingress-nginx": "SSL-Client-Cert",
    "rfc9440": "Client-Cert",
    "xfcc": "X-Forwarded-Client-Cert",
    "traefik": "X-Forwarded-Tls-Client-Cert",
    "aws-alb": "X-Amzn-Mtls-Clientcert-Leaf",
    "azure-arr": "X-ARR-ClientCert",
    "haproxy": "X-SSL-Client-DER",
    "handclasp": "X-Handclasp-Identity",
}
VERIFY = {
    "x-client-cert": "X-Client-Verify",
    "x-ssl-cert": "X-SSL-Client-Verify",
    "ingress-nginx": "SSL-Client-Verify",
}
# A percent-encoded PEM holds every sign of base64 that can be mangled.
PLUS = next(case for case in ("rsa4096", "hostile", "p256") if b"+" in caller(case).pem)


def reason(told: Headers, dialect: str, **options: str) -> Reason:
    with pytest.raises(IdentityError) as refused:
        parse(told, dialect, **options)  # type: ignore[arg-type]
    assert str(refused.value).isascii()
    assert len(str(refused.value)) < 500
    return refused.value.code


def value(dialect: str, name: str, case: str = "p256") -> str:
    return next(told for key, told in headers(dialect, case) if key.lower() == name.lower())


# --- how often, how spelt, how large


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_header_sent_twice_is_refused_even_if_both_are_the_same(dialect: str) -> None:
    for name, told in headers(dialect):
        if name != "X-SSL":
            assert reason([*headers(dialect), (name, told)], dialect) is Reason.SEVERAL_INSTANCES


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_empty_second_instance_is_an_instance(dialect: str) -> None:
    name = CERTIFICATE[dialect]
    assert reason([*headers(dialect), (name, "")], dialect) is Reason.SEVERAL_INSTANCES


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("alone", [True, False])
def test_underscores_in_the_name_are_refused(dialect: str, alone: bool) -> None:
    name = CERTIFICATE[dialect]
    for spelling in (name.replace("-", "_"), name.replace("-", "_", 1).lower()):
        misspelt = [(spelling, value(dialect, name))]
        told = misspelt if alone else [*headers(dialect), *misspelt]
        assert reason(told, dialect) is Reason.MISSPELT_HEADER


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "xfcc"])
def test_two_headers_joined_by_a_comma_as_wsgi_does_are_refused(dialect: str) -> None:
    """Of the same caller or of two; the second one is what an attacker would add."""
    name = CERTIFICATE[dialect]
    for case in ("p256", "hostile"):
        for glue in (",", ", "):
            joined = value(dialect, name) + glue + value(dialect, name, case)
            told = replaced(headers(dialect), name, joined)
            # Traefik puts no blank after a comma, JSON goes on after its end.
            odd = dialect == "handclasp" or (dialect == "traefik" and glue == ", ")
            expected = Reason.MALFORMED if odd else Reason.SEVERAL_INSTANCES
            assert reason(told, dialect) is expected


@pytest.mark.parametrize("name", ["X-Client-Subject", "X-Client-Issuer", "X-Client-Not-After"])
def test_joined_fields_beside_the_certificate_contradict_it(name: str) -> None:
    twice = f"{value('x-client-cert', name)},{value('x-client-cert', name)}"
    told = replaced(headers("x-client-cert"), name, twice)
    assert reason(told, "x-client-cert") in (Reason.CONTRADICTION, Reason.MALFORMED)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_more_than_any_chain_takes_is_refused_unread(dialect: str) -> None:
    told = replaced(headers(dialect), CERTIFICATE[dialect], "A" * (LARGEST_VALUES + 1))
    assert reason(told, dialect) is Reason.OVERSIZED


@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\x7f", "\t"])
def test_control_characters_are_refused(character: str) -> None:
    pem = escaped(caller().pem)
    told = replaced(headers("x-client-cert"), "X-Client-Cert", pem[:40] + character + pem[40:])
    with pytest.raises(IdentityError, match=r"^malformed: x-client-cert holds a control character"):
        parse(told, "x-client-cert")


def test_a_folded_header_is_refused_however_the_server_joined_it() -> None:
    """`$ssl_client_cert` with its line breaks: servers make a blank of line break and tab."""
    folded = caller().pem.decode().strip().replace("\n", "\n\t")
    for joined in (folded, folded.replace("\n\t", " "), folded.replace("\n\t", "\t")):
        told = replaced(headers("x-client-cert"), "X-Client-Cert", joined)
        assert reason(told, "x-client-cert") in (Reason.NOT_ENCODED, Reason.MALFORMED)


def test_text_beyond_latin_1_is_refused() -> None:
    assert reason([("X-ARR-ClientCert", "MII東")], "azure-arr") is Reason.NOT_ASCII


# --- the verification result


@pytest.mark.parametrize("dialect", NGINX)
@pytest.mark.parametrize(
    ("verify", "expected"),
    [
        (None, Reason.VERIFY_MISSING),
        ("", Reason.VERIFY_MISSING),
        ("NONE", Reason.CONTRADICTION),
        ("FAILED", Reason.NOT_VERIFIED),
        ("FAILED:certificate has expired", Reason.NOT_VERIFIED),
        ("success", Reason.MALFORMED),
        ("SUCCESS, SUCCESS", Reason.MALFORMED),
        ("FAILEDISH", Reason.MALFORMED),
    ],
)
def test_a_certificate_counts_only_with_success(
    dialect: str, verify: str | None, expected: Reason
) -> None:
    assert reason(replaced(headers(dialect), VERIFY[dialect], verify), dialect) is expected


@pytest.mark.parametrize("dialect", NGINX)
def test_none_without_a_certificate_is_nobody(dialect: str) -> None:
    assert parse([(VERIFY[dialect], "NONE")], dialect) is None


@pytest.mark.parametrize("dialect", NGINX)
@pytest.mark.parametrize("verify", ["SUCCESS", "NONE", None])
def test_a_subject_without_its_certificate_is_refused(dialect: str, verify: str | None) -> None:
    told = replaced(headers(dialect), CERTIFICATE[dialect], None)
    told = replaced(told, VERIFY[dialect], verify)
    assert reason(told, dialect) is Reason.CERTIFICATE_MISSING
    assert reason([(VERIFY[dialect], "SUCCESS")], dialect) is Reason.CERTIFICATE_MISSING


@pytest.mark.parametrize("dialect", ["rfc9440", "traefik", "aws-alb", "haproxy"])
def test_other_dialects_too_need_the_certificate(dialect: str) -> None:
    told = replaced(headers(dialect), CERTIFICATE[dialect], None)
    assert reason(told, dialect) is Reason.CERTIFICATE_MISSING


@pytest.mark.parametrize(
    ("verify", "expected"),
    [("10", Reason.NOT_VERIFIED), ("SUCCESS", Reason.NOT_VERIFIED), (None, Reason.VERIFY_MISSING)],
)
def test_haproxy_says_zero_or_is_not_believed(verify: str | None, expected: Reason) -> None:
    told = replaced(headers("haproxy"), "X-SSL-Client-Verify", verify)
    assert reason(told, "haproxy") is expected


def test_haproxy_says_zero_without_a_certificate_too_and_that_is_nobody() -> None:
    assert parse([("X-SSL", "1"), ("X-SSL-Client-Verify", "0")], "haproxy") is None


def test_the_passthrough_mode_of_aws_is_refused() -> None:
    passed = ("X-Amzn-Mtls-Clientcert", value("aws-alb", "X-Amzn-Mtls-Clientcert-Leaf"))
    assert reason([passed], "aws-alb") is Reason.NOT_VERIFIED
    assert reason([*headers("aws-alb"), passed], "aws-alb") is Reason.NOT_VERIFIED


# --- what is told beside the certificate


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        *(
            ("x-client-cert", f"X-Client-{field}")
            for field in ("Subject", "Issuer", "Serial", "Fingerprint", "Not-After")
        ),
        *(
            ("x-ssl-cert", f"X-SSL-Client-{field}")
            for field in ("S-DN", "I-DN", "Serial", "Fingerprint", "V-End")
        ),
        ("ingress-nginx", "ssl-client-subject-dn"),
        ("ingress-nginx", "ssl-client-issuer-dn"),
        *(
            ("aws-alb", f"X-Amzn-Mtls-Clientcert-{field}")
            for field in ("Serial-Number", "Issuer", "Subject", "Validity")
        ),
        *(
            ("haproxy", name)
            for name in (
                "X-SSL-Client-DN",
                "X-SSL-Issuer",
                "X-SSL-Client-Serial",
                "X-SSL-Client-SHA1",
                "X-SSL-Client-NotBefore",
                "X-SSL-Client-NotAfter",
            )
        ),
    ],
)
def test_what_contradicts_the_certificate_is_refused(dialect: str, name: str) -> None:
    """The fields of somebody else, each alone, in every dialect that has them."""
    others = {
        "subject": "CN=admin,O=Example Org",
        "dn": "CN=admin,O=Example Org",
        "issuer": "CN=Other CA,O=Example Org",
        "after": "Jan  1 00:00:00 2099 GMT",
        "end": "Jan  1 00:00:00 2099 GMT",
        "validity": "NotBefore=2023-09-21T01:50:17Z;NotAfter=2099-09-20T01:50:17Z",
    }
    key = name.rpartition("-")[2].lower()
    if dialect == "haproxy" and key in ("notbefore", "notafter"):
        forged = "990101000000Z"
    else:
        forged = others.get(key, "00ABCDEF")
    assert reason(replaced(headers(dialect), name, forged), dialect) is Reason.CONTRADICTION
    parse(replaced(headers(dialect), name, None), dialect)  # nothing told is no contradiction


def test_a_time_that_is_none_is_refused() -> None:
    for forged in ("2027-01-01", "Foo  1 00:00:00 2027 GMT", "Feb 31 00:00:00 2027 GMT"):
        told = replaced(headers("x-client-cert"), "X-Client-Not-After", forged)
        assert reason(told, "x-client-cert") is Reason.MALFORMED


def test_haproxys_default_names_are_compared_too() -> None:
    for case in ("p256", "non-ascii"):
        oneline = {
            "p256": "/O=Example Org/CN=svc-b",
            "non-ascii": "/C=DE/O=Ünïcode 東京/CN=Jürgen Ångström",
        }
        raw = oneline[case].encode().decode("latin-1")
        told = replaced(headers("haproxy", case), "X-SSL-Client-DN", f'"{raw}"')
        identity = parse(told, "haproxy")
        assert identity is not None
        assert identity.subject == facts(case).subject
    told = replaced(headers("haproxy"), "X-SSL-Client-DN", "/O=Example Org/CN=admin")
    assert reason(told, "haproxy") is Reason.CONTRADICTION
    told = replaced(headers("haproxy"), "X-SSL-Issuer", "/CN=admin")
    assert reason(told, "haproxy") is Reason.CONTRADICTION
    assert reason([*headers("haproxy"), ("X-SSL-Client-CN", "admin")], "haproxy") is (
        Reason.CONTRADICTION
    )
    assert parse([*headers("haproxy"), ("X-SSL-Client-CN", "svc-b")], "haproxy") is not None


def test_traefiks_info_has_to_hold_the_serial_number_of_the_certificate() -> None:
    name = "X-Forwarded-Tls-Client-Cert-Info"
    forged = replaced(headers("traefik"), name, quote('SerialNumber="7"'))
    assert reason(forged, "traefik") is Reason.CONTRADICTION
    own = facts("p256").certificate.serial_number
    both = replaced(headers("traefik"), name, quote(f'SerialNumber="7";SerialNumber="{own}"'))
    assert parse(both, "traefik") is not None


# --- encodings


def test_what_was_encoded_twice_is_named() -> None:
    twice = quote(escaped(caller().pem), safe="")
    told = replaced(headers("x-client-cert"), "X-Client-Cert", twice)
    assert reason(told, "x-client-cert") is Reason.ENCODED_TWICE


def test_what_was_not_encoded_is_named() -> None:
    flat = caller().pem.decode().replace("\n", " ")
    told = replaced(headers("x-client-cert"), "X-Client-Cert", flat)
    assert reason(told, "x-client-cert") is Reason.NOT_ENCODED


@pytest.mark.parametrize("dialect", ["x-client-cert", "aws-alb"])
def test_a_plus_decoded_to_a_blank_is_put_back_and_noticed(dialect: str) -> None:
    """Something on the way decodes forms, and encodes again or not."""
    name = CERTIFICATE[dialect]
    mangled = caller(PLUS).pem.decode().replace("+", " ")
    for blank in ("%20", " "):
        text = quote(mangled, safe="")
        told = replaced(headers(dialect, PLUS), name, text.replace("%20", blank))
        identity = parse(told, dialect)
        assert identity is not None
        assert identity.certificate == caller(PLUS).der
        assert identity.notes == (Note.PLUS_AS_SPACE,)


@pytest.mark.parametrize("dialect", ["azure-arr", "traefik", "haproxy"])
def test_a_blank_for_a_plus_in_base64_is_put_back_and_noticed(dialect: str) -> None:
    name = CERTIFICATE[dialect]
    told = replaced(
        headers(dialect, PLUS), name, value(dialect, name, PLUS).split(",")[0].replace("+", " ")
    )
    identity = parse(told, dialect)
    assert identity is not None
    assert identity.certificate == caller(PLUS).der
    assert identity.notes == (Note.PLUS_AS_SPACE,)


@pytest.mark.parametrize("dialect", ["rfc9440", "handclasp"])
def test_where_no_form_decoder_has_business_a_blank_is_refused(dialect: str) -> None:
    name = CERTIFICATE[dialect]
    told = replaced(headers(dialect, PLUS), name, value(dialect, name, PLUS).replace("+", " "))
    assert reason(told, dialect) is Reason.MALFORMED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%2", Reason.MALFORMED),
        ("%zz", Reason.MALFORMED),
        ("<svg>", Reason.MALFORMED),
        ("%C3%BC", Reason.NOT_ASCII),
        ("hello", Reason.NOT_A_CERTIFICATE),
        (quote("-----BEGIN CERTIFICATE-----\nAAAA\n"), Reason.NOT_A_CERTIFICATE),
        (
            quote("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
            Reason.NOT_A_CERTIFICATE,
        ),
        (
            quote("-----BEGIN CERTIFICATE-----\n%41\n-----END CERTIFICATE-----\n", safe="%"),
            Reason.MALFORMED,
        ),
        (
            quote("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            Reason.NOT_A_CERTIFICATE,
        ),
        (
            quote("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
            Reason.NOT_A_CERTIFICATE,
        ),
        (escaped(caller().pem) + escaped(caller().pem), Reason.NOT_A_CERTIFICATE),
        (escaped(caller().pem) + "admin", Reason.NOT_A_CERTIFICATE),
        ("admin" + escaped(caller().pem), Reason.NOT_A_CERTIFICATE),
        (escaped(caller().pem[:-60]), Reason.NOT_A_CERTIFICATE),
        (
            escaped(caller().pem).replace("CERTIFICATE", "TRUSTED%20CERTIFICATE"),
            Reason.NOT_A_CERTIFICATE,
        ),
        (escaped(caller().key_pem), Reason.NOT_A_CERTIFICATE),
        (escaped(caller().pem.replace(b"BEGIN", b"BEGUN")), Reason.NOT_A_CERTIFICATE),
    ],
)
def test_what_is_no_certificate_is_refused(text: str, expected: Reason) -> None:
    told = replaced(headers("x-client-cert"), "X-Client-Cert", text)
    assert reason(told, "x-client-cert") is expected
    told = replaced(headers("aws-alb"), "X-Amzn-Mtls-Clientcert-Leaf", text)
    assert reason(told, "aws-alb") is expected


@pytest.mark.parametrize(
    "text",
    [
        "MII",
        b64(caller().der)[:-1],
        b64(caller().der) + "=",
        base64.urlsafe_b64encode(caller("rsa4096").der).decode(),
        b64(caller().der + b"\0"),
        b64(caller().der[:-1]),
        b64(b""),
        b64(b"\x30\x80\x00\x00"),
    ],
)
def test_base64_that_is_not_the_certificate_is_refused(text: str) -> None:
    assert reason([("X-ARR-ClientCert", text or "=")], "azure-arr") in (
        Reason.MALFORMED,
        Reason.NOT_A_CERTIFICATE,
    )
    assert reason([("Client-Cert", f":{text}:")], "rfc9440") in (
        Reason.MALFORMED,
        Reason.NOT_A_CERTIFICATE,
    )


def test_one_certificate_has_one_spelling_in_base64() -> None:
    der = caller().der
    pad = next(extra for extra in (der, der + b"1", der + b"22") if len(extra) % 3 == 1)
    text = b64(pad)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = text[:-3] + alphabet[alphabet.index(text[-3]) + 1] + "=="
    assert base64.b64decode(other) == pad
    assert reason([("X-ARR-ClientCert", other)], "azure-arr") is Reason.MALFORMED


@pytest.mark.parametrize(
    "text",
    [
        "MII",
        ":",
        "::",
        "MII:",
        ":MII",
        f"?{b64(caller().der)}?",
        f":{b64(caller().der)}:;a=1",
        '"text"',
        ":!:",
    ],
)
def test_what_is_no_byte_sequence_is_refused(text: str) -> None:
    assert reason([("Client-Cert", text)], "rfc9440") in (
        Reason.MALFORMED,
        Reason.NOT_A_CERTIFICATE,
    )
    chained = [*headers("rfc9440")[:1], ("Client-Cert-Chain", text)]
    assert reason(chained, "rfc9440") in (Reason.MALFORMED, Reason.NOT_A_CERTIFICATE)


@pytest.mark.parametrize("dialect", ["rfc9440", "traefik"])
def test_a_chain_without_end_is_refused(dialect: str) -> None:
    if dialect == "rfc9440":
        members = ",".join([f":{b64(intermediate().der)}:"] * 17)
        told = [*headers(dialect)[:1], ("Client-Cert-Chain", members)]
    else:
        members = ",".join([b64(caller().der), *[b64(intermediate().der)] * 17])
        told = [("X-Forwarded-Tls-Client-Cert", members)]
    assert reason(told, dialect) is Reason.OVERSIZED


def test_a_chain_that_is_none_is_refused() -> None:
    leaf, issuer = b64(caller().der), b64(intermediate().der)
    for members in (
        [leaf, b64(root().der)],
        [leaf, issuer, issuer],
        [leaf, issuer, leaf],
        [leaf, issuer, b64(caller("hostile").der), issuer],
        [issuer, leaf],
        [b64(root().der), b64(root().der)],
    ):
        told = [("X-Forwarded-Tls-Client-Cert", ",".join(members))]
        assert reason(told, "traefik") is Reason.SEVERAL_INSTANCES


def test_traefik_before_2_9_4_is_read_as_well() -> None:
    name = "X-Forwarded-Tls-Client-Cert"
    told = replaced(headers("traefik"), name, quote(value("traefik", name), safe=""))
    assert parse(told, "traefik") == parse(headers("traefik"), "traefik")


# Nobody looks at the signature.
NO_UTF_8 = caller().der.replace(b"\x0c\x05svc-b", b"\x0c\x05svc-\xff")


def with_extension(value: x509.ExtensionType) -> str:
    return b64(pki.with_extension(pki.leaf(root(), "odd"), root(), value).der)


SAN = x509.SubjectAlternativeName.oid


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b64(NO_UTF_8), id="subject no UTF-8"),
        pytest.param(with_extension(x509.UnrecognizedExtension(SAN, b"\x30\x05")), id="names cut"),
        pytest.param(
            with_extension(x509.SubjectAlternativeName([x509.DNSName("a\nb")])), id="line break"
        ),
        pytest.param(
            with_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://a\x7f")])
            ),
            id="control character",
        ),
    ],
)
def test_a_certificate_that_cannot_be_read_whole_is_refused(text: str) -> None:
    assert reason([("X-ARR-ClientCert", text)], "azure-arr") is Reason.NOT_A_CERTIFICATE


# --- the compact header


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"verify": "NONE"}, Reason.NOT_VERIFIED),
        ({"verify": 1}, Reason.MALFORMED),
        ({"subject": None}, Reason.MALFORMED),
        ({"subject": "CN=admin"}, Reason.CONTRADICTION),
        ({"subject": "CN=a\nb"}, Reason.MALFORMED),
        ({"subject": "CN=ü"}, Reason.MALFORMED),
        ({"subject": "CN=\ud800"}, Reason.MALFORMED),
        ({"subject": "admin"}, Reason.MALFORMED),
        ({"issuer": "CN=Other CA"}, Reason.CONTRADICTION),
        ({"sans": "dns:svc-b.internal"}, Reason.MALFORMED),
        ({"sans": [1]}, Reason.MALFORMED),
        ({"sans": ["dns:a\nb"]}, Reason.MALFORMED),
        ({"sans": ["dns:svc-b.internal", "uri:spiffe://example.org/admin"]}, Reason.CONTRADICTION),
        ({"serial": "0a"}, Reason.MALFORMED),
        ({"serial": "0A"}, Reason.CONTRADICTION),
        ({"sha256": "00"}, Reason.MALFORMED),
        ({"sha256": "0" * 64}, Reason.CONTRADICTION),
        ({"not_after": "2027-01-01"}, Reason.MALFORMED),
        ({"not_after": "2027-1-1T0:0:0Z"}, Reason.MALFORMED),
        ({"not_after": "2027-02-31T00:00:00Z"}, Reason.MALFORMED),
        ({"not_after": "2027-02-01T00:00:00Z"}, Reason.CONTRADICTION),
        ({"cert": 7}, Reason.MALFORMED),
        ({"cert": "MII"}, Reason.MALFORMED),
        ({"cert": "AAAA"}, Reason.NOT_A_CERTIFICATE),
    ],
)
def test_each_field_of_the_compact_header_is_checked(
    change: dict[str, object], expected: Reason
) -> None:
    content = json.loads(headers("handclasp")[0][1])
    told = [("X-Handclasp-Identity", json.dumps(content | change))]
    assert reason(told, "handclasp") is expected


@pytest.mark.parametrize("key", ["subject", "sans", "serial", "sha256", "not_after", "verify"])
def test_the_compact_header_lacks_nothing(key: str) -> None:
    content = json.loads(headers("handclasp")[0][1])
    del content[key]
    told = [("X-Handclasp-Identity", json.dumps(content))]
    assert reason(told, "handclasp") is Reason.MALFORMED


@pytest.mark.parametrize(
    "text", ["{}", "[]", "1", "{", "NaN", "[" * 60000, '{"verify":NaN}', "1" * 5000]
)
def test_other_json_is_refused(text: str) -> None:
    assert reason([("X-Handclasp-Identity", text)], "handclasp") is Reason.MALFORMED


def test_a_key_said_twice_in_json_is_refused() -> None:
    told = headers("handclasp")[0][1].replace("{", '{"verify":"NONE",', 1)
    assert reason([("X-Handclasp-Identity", told)], "handclasp") is Reason.DUPLICATE_KEY


def test_the_certificate_may_be_left_out_of_the_compact_header() -> None:
    content = json.loads(headers("handclasp")[0][1])
    del content["cert"]
    content["later"] = "ignored"
    identity = parse([("X-Handclasp-Identity", json.dumps(content))], "handclasp")
    whole = parse(headers("handclasp"), "handclasp")
    assert identity is not None
    assert whole is not None
    assert identity.certificate is None
    assert identity.not_before is None
    for name in ("subject", "issuer", "sans", "serial", "sha256", "not_after", "spiffe_id"):
        assert getattr(identity, name) == getattr(whole, name)


# --- Envoy's elements


def element(**change: str | None) -> str:
    """One element of the usual caller, with some of its keys changed."""
    pairs: dict[str, str | None] = {
        "By": "spiffe://example.org/proxy",
        "Hash": facts("p256").sha256,
        "Cert": f'"{escaped(caller().pem)}"',
        "Subject": '"CN=svc-b,O=Example Org"',
        "URI": "spiffe://example.org/svc-b",
        "DNS": "svc-b.internal",
    }
    pairs |= change
    return ";".join(f"{key}={text}" for key, text in pairs.items() if text is not None)


def xfcc(text: str) -> Headers:
    return [("X-Forwarded-Client-Cert", text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (element(Hash="0" * 64), Reason.CONTRADICTION),
        (element(Subject='"CN=admin,O=Example Org"'), Reason.CONTRADICTION),
        (element(URI="spiffe://example.org/admin"), Reason.CONTRADICTION),
        (element(URI="spiffe://example.org/svc-b;URI=spiffe://admin"), Reason.CONTRADICTION),
        (element(DNS="admin.internal"), Reason.CONTRADICTION),
        (element(Subject='"CN=svc-b,O=Example Org'), Reason.MALFORMED),
        (element(Subject='"CN=svc-b,O=Example Org"admin'), Reason.MALFORMED),
        (element(Subject='CN=a"b'), Reason.MALFORMED),
        (element(Subject='"CN=\\"'), Reason.MALFORMED),
        (element(Subject='"CN=svc-b,O=Example Org"?DNS=svc-b.internal'), Reason.MALFORMED),
        (element(Subject='"CN=svc\\,b,O=Example Org"'), Reason.CONTRADICTION),
        (
            element(
                Chain=f'"{escaped(intermediate().pem)}"',
                Hash=None,
                Subject=None,
                URI=None,
                DNS=None,
            ),
            Reason.CONTRADICTION,
        ),
        (element() + ";Hash=" + "0" * 64, Reason.DUPLICATE_KEY),
        (element() + ';subject="CN=admin"', Reason.DUPLICATE_KEY),
        (element() + ";Cert=", Reason.DUPLICATE_KEY),
        (element() + ";Role=admin", Reason.MALFORMED),
        (element() + ";", Reason.MALFORMED),
        (element() + ",", Reason.MALFORMED),
        (";" + element(), Reason.MALFORMED),
        (element() + "," + element(), Reason.SEVERAL_HOPS),
        (element(Cert=f'"{escaped(caller("hostile").pem)}"'), Reason.CONTRADICTION),
        (element(Chain=f'"{escaped(intermediate().pem)}"'), Reason.CONTRADICTION),
        (element(Cert="", Hash=None, Subject=None, URI="", DNS=""), Reason.CERTIFICATE_MISSING),
        (element(Cert=None, Hash="zz"), Reason.MALFORMED),
        (element(Cert=None, URI="spiffe://ü"), Reason.NOT_ASCII),
        (element(Cert=None, Subject='"admin"'), Reason.MALFORMED),
        (b64(caller().der), Reason.MALFORMED),
        (escaped(caller().pem), Reason.MALFORMED),
        ("admin", Reason.MALFORMED),
        ("=", Reason.MALFORMED),
    ],
)
def test_an_element_that_is_odd_is_refused(text: str, expected: Reason) -> None:
    assert reason(xfcc(text), "xfcc") is expected


def test_cloud_foundrys_form_of_the_same_header_is_named() -> None:
    with pytest.raises(IdentityError, match="Cloud Foundry"):
        parse(xfcc(b64(caller().der)), "xfcc")


def test_the_subject_cannot_break_out_of_its_quotes() -> None:
    for case in ("hostile", "non-ascii"):
        identity = parse(headers("xfcc", case), "xfcc")
        assert identity is not None
        assert identity.spiffe_id == "spiffe://example.org/svc-b"
        subject_only = f'Hash={facts(case).sha256};Subject="{facts(case).subject}"'
        bare = parse(xfcc(subject_only), "xfcc")
        assert bare is not None
        assert bare.subject == facts(case).subject
        assert bare.sans.uri == ()


def test_a_writer_that_escapes_the_subject_once_more_is_understood() -> None:
    subject = facts("hostile").subject.replace("\\", "\\\\").replace('"', '\\"')
    text = f'Cert="{escaped(caller("hostile").pem)}";Subject="{subject}"'
    identity = parse(xfcc(text), "xfcc")
    assert identity is not None
    assert identity.subject == facts("hostile").subject


def test_which_hop_counts_is_chosen() -> None:
    far, near = element(), f'Cert="{escaped(caller("hostile").pem)}"'
    nearest = parse(xfcc(f"{far},{near}"), "xfcc", hop="nearest")
    original = parse(xfcc(f"{far}, {near}"), "xfcc", hop="original")
    assert nearest is not None
    assert original is not None
    assert nearest.certificate == caller("hostile").der
    assert original.certificate == caller().der
    assert reason(xfcc(f"{far},admin"), "xfcc", hop="original") is Reason.MALFORMED


def test_an_element_that_is_odd_denies_nothing_that_another_says() -> None:
    ours = element()
    for odd in ("Role=admin", f"{ours};Role=admin", f"{ours};Hash={'0' * 64}"):
        nearest = parse(xfcc(f"{odd},{ours}"), "xfcc", hop="nearest")
        original = parse(xfcc(f"{ours},{odd}"), "xfcc", hop="original")
        assert nearest == original == parse(xfcc(ours), "xfcc")
        for text, hop in ((f"{odd},{ours}", "original"), (f"{ours},{odd}", "nearest")):
            assert reason(xfcc(text), "xfcc", hop=hop) in (Reason.MALFORMED, Reason.DUPLICATE_KEY)
    for open_ended in ('URI="', f'{ours};Subject="', "Ro le=x", 'URI=a"b'):
        assert reason(xfcc(f"{open_ended},{ours}"), "xfcc", hop="nearest") is Reason.MALFORMED


def test_keys_have_no_case_and_blanks_around_separators_do_not_matter() -> None:
    text = f'cert="{escaped(caller().pem)}" ; uri=spiffe://example.org/svc-b'
    assert parse(xfcc(text), "xfcc") is not None


def test_without_the_certificate_the_element_is_taken_at_its_word() -> None:
    identity = parse(xfcc(element(Cert=None)), "xfcc")
    assert identity is not None
    assert identity.certificate is None
    assert identity.subject == "CN=svc-b,O=Example Org"
    assert identity.sha256 == facts("p256").sha256
    assert identity.spiffe_id == "spiffe://example.org/svc-b"
    assert identity.sans.dns == ("svc-b.internal",)


def test_a_second_uri_without_certificate_makes_it_no_spiffe_id() -> None:
    """Envoy does not quote URI, so one name with a semicolon reads as two."""
    text = element(Cert=None, URI="spiffe://example.org/x;URI=spiffe://example.org/admin")
    identity = parse(xfcc(text), "xfcc")
    assert identity is not None
    assert identity.spiffe_id is None


def test_the_chain_alone_holds_the_leaf_too() -> None:
    text = f'Chain="{escaped(caller().pem + intermediate().pem + root().pem)}"'
    identity = parse(xfcc(text), "xfcc")
    assert identity is not None
    assert identity.certificate == caller().der
    assert identity.chain == (intermediate().der, root().der)


# --- the reader itself


def test_what_cannot_be_meant_is_refused_at_once() -> None:
    for arguments, message in [
        (("x-client",), "no dialect 'x-client'"),
        (("xfcc", "last"), "hop is"),
    ]:
        with pytest.raises(ValueError, match=message):
            IdentityReader(arguments[0], **({"hop": arguments[1]} if arguments[1:] else {}))  # type: ignore[arg-type]
    for dialect, names, message in [
        ("x-client-cert", {"colour": "X-Colour"}, "no field colour"),
        ("rfc9440", {"certificate": "X-Cert"}, "no other names"),
        ("x-client-cert", {"certificate": "X-Client-Verify"}, "under one name"),
    ]:
        with pytest.raises(ValueError, match=message):
            IdentityReader(dialect, headers=names)


def test_fields_may_come_under_other_names() -> None:
    reader = IdentityReader("x-client-cert", headers={"certificate": "X-Our-Cert"})
    told = [
        (name.replace("X-Client-Cert", "X-Our-Cert"), text)
        for name, text in headers("x-client-cert")
    ]
    assert reader.read(told) is not None
    with pytest.raises(IdentityError, match="certificate-missing"):
        reader.read(headers("x-client-cert"))


def test_the_certificate_of_an_earlier_hop_is_read_from_its_own_header() -> None:
    told = [("X-Original-Client-Cert", escaped(caller("hostile").pem))]
    both = [*headers("x-client-cert"), *told]
    identity = parse(both, "original-client-cert")
    hop = parse(both, "x-client-cert")
    assert identity is not None
    assert hop is not None
    assert identity.certificate == caller("hostile").der
    assert hop.certificate == caller().der
    assert parse(headers("x-client-cert"), "original-client-cert") is None
    assert reason(told * 2, "original-client-cert") is Reason.SEVERAL_INSTANCES
    renamed = IdentityReader("original-client-cert", headers={"certificate": "X-First"})
    assert renamed.read([("X-First", told[0][1])]) == identity


def test_what_was_read_is_remembered_by_every_byte_and_errors_are_not() -> None:
    reader = IdentityReader("x-client-cert", remembered=2)
    first = reader.read(headers("x-client-cert"))
    assert reader.read(headers("x-client-cert")) is first
    assert reader.reads == 1
    forged = replaced(headers("x-client-cert"), "X-Client-Verify", "FAILED:expired")
    for _ in range(2):
        with pytest.raises(IdentityError, match="not-verified"):
            reader.read(forged)
    assert reader.reads == 3
    for case in ("rsa4096", "hostile"):
        reader.read(headers("x-client-cert", case))
    assert reader.read(headers("x-client-cert")) == first
    assert reader.reads == 6


def test_decoding_a_plus_as_a_plus_is_what_makes_aws_headers_readable() -> None:
    leaf = value("aws-alb", "X-Amzn-Mtls-Clientcert-Leaf", PLUS)
    assert "+" in leaf
    assert unquote(leaf) == caller(PLUS).pem.decode()


def test_a_ca_is_no_workload() -> None:
    identity = parse([("X-ARR-ClientCert", b64(root().der))], "azure-arr")
    assert identity is not None
    assert identity.is_ca
    assert identity.spiffe_id is None
