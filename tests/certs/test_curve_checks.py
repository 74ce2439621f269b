"""Curves that peers do not take are named; what they do take is asked of OpenSSL itself."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from handclasp.certs.checks import Role, check_identity
from handclasp.certs.curve_checks import check_curve, check_parameters
from handclasp.certs.describe import describe
from handclasp.certs.read import read_objects
from handclasp.certs.rows import rows
from handclasp.certs.security_level import Peer
from handclasp.certs.trust_checks import check_trust
from handclasp.findings import Severity, Where
from tests import pki
from tests.certs.identities import identity, only, slugs, trust
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

ROOT = pki.authority("Root")
HERE = Where(file="x.pem")
LATER = pki.NOW + timedelta(hours=1)  # what the openssl command makes begins when it makes it


def on(curve: ec.EllipticCurve) -> pki.Pair:
    key = ec.generate_private_key(curve)
    pem = pki.certificate_for(key.public_key(), "localhost", issuer=ROOT)
    return pki.Pair(x509.load_pem_x509_certificate(pem), key, (ROOT,))


def shakes_hands(folder: Path, pair: pki.Pair, role: Role, version: ssl.TLSVersion) -> bool:
    """Both ends are OpenSSL with its own groups; `pair` is the identity of one."""
    good = pki.leaf(ROOT, "localhost", sans=["localhost"], usages=None)
    (folder / "root.pem").write_bytes(ROOT.pem)
    server, client = (pair, good) if role is Role.SERVER else (good, pair)
    contexts = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    for context, one in zip(contexts, (server, client), strict=True):
        context.load_verify_locations(folder / "root.pem")
        context.load_cert_chain(*one.write(folder, "end"))
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = version
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        contexts[0].wrap_bio(up, down, server_side=True),
        contexts[1].wrap_bio(down, up, server_hostname="localhost"),
    )
    done = [False, False]
    for _ in range(10):
        for place in (1, 0):
            try:
                ends[place].do_handshake()
                done[place] = True
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
    return all(done)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    ("curve", "severities"),
    [
        (ec.SECP256R1(), []),
        (ec.SECP384R1(), []),
        (ec.SECP521R1(), [Severity.INFO]),
        (ec.SECP224R1(), [Severity.ERROR]),
        (ec.SECP256K1(), [Severity.ERROR]),
        (ec.BrainpoolP256R1(), [Severity.WARNING]),
        (ec.BrainpoolP384R1(), [Severity.WARNING]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_curve_is_an_error_where_no_handshake_comes_off(
    tmp_path: Path, curve: ec.EllipticCurve, severities: list[Severity], role: Role
) -> None:
    pair = on(curve)
    findings = [
        one
        for one in check_identity(identity(pair), role=role, now=pki.NOW)
        if one.slug == "curve-not-offered"
    ]
    assert [one.severity for one in findings] == severities
    brainpool = curve.name.startswith("brainpool")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        new = version is ssl.TLSVersion.TLSv1_3 and ssl.OPENSSL_VERSION_INFO >= (3, 2)
        works = new if brainpool else Severity.ERROR not in severities
        # A client without a certificate it may use sends none, which ends the handshake as well.
        assert shakes_hands(tmp_path, pair, role, version) is works


def test_brainpool_is_an_error_where_the_peer_is_known_to_be_older() -> None:
    brainpool = on(ec.BrainpoolP256R1()).certificate
    for release, severity in (((3, 0), Severity.ERROR), ((3, 2), Severity.WARNING)):
        (finding,) = check_curve(brainpool, where=HERE, peer=Peer(release))
        assert finding.severity is severity


def test_a_curve_that_the_peer_is_known_to_offer_is_no_finding() -> None:
    brainpool = on(ec.BrainpoolP256R1()).certificate
    assert check_curve(brainpool, where=HERE, groups=["brainpoolP256r1", "X25519"]) == []
    assert slugs(check_curve(brainpool, where=HERE, groups=["X25519"])) == ["curve-not-offered"]
    large = on(ec.SECP521R1()).certificate
    assert check_curve(large, where=HERE, groups=["P-521"]) == []


def test_keys_without_a_curve_have_none_to_offer() -> None:
    rsa = pki.leaf(ROOT, key_kind="rsa2048").certificate
    assert (
        check_curve(rsa, where=HERE) == check_parameters(rsa, where=HERE, what="certificate") == []
    )


EXPLICIT = ("-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit")


def written_out(folder: Path, name: str, *extensions: str, issuer: str | None = None) -> None:
    """NAME.pem and NAME.key whose curve is in numbers; its own issuer unless one is given."""
    key = openssl("genpkey", "-algorithm", "EC", *EXPLICIT)
    (folder / f"{name}.key").write_bytes(key)
    signed(folder, name, *extensions, issuer=issuer)


def signed(folder: Path, name: str, *extensions: str, issuer: str | None = None) -> None:
    (folder / "extensions").write_text("\n".join(extensions) + "\n")
    csr = openssl("req", "-new", "-key", folder / f"{name}.key", "-subj", f"/CN={name}")
    by = issuer or name
    ca = (
        ("-CA", folder / f"{by}.pem", "-CAkey", folder / f"{by}.key", "-set_serial", "7")
        if issuer
        else ("-signkey", folder / f"{name}.key")
    )
    made = openssl(
        *("x509", "-req", *ca, "-days", "30", "-extfile", folder / "extensions"), stdin=csr
    )
    (folder / f"{name}.pem").write_bytes(made)


AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """root (named curve), middle (written out), leaf below middle, direct (written out) below root."""
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    (tmp_path / "root.key").write_bytes(ROOT.key_pem)
    written_out(tmp_path, "middle", *AUTHORITY, issuer="root")
    (tmp_path / "leaf.key").write_bytes(pki.leaf(ROOT).key_pem)
    signed(tmp_path, "leaf", "basicConstraints=CA:FALSE", issuer="middle")
    written_out(tmp_path, "direct", "basicConstraints=CA:FALSE", issuer="root")
    written_out(tmp_path, "alone", "basicConstraints=CA:FALSE")
    written_out(tmp_path, "oddroot", *AUTHORITY)
    (tmp_path / "below.key").write_bytes(pki.leaf(ROOT).key_pem)
    signed(tmp_path, "below", "basicConstraints=CA:FALSE", issuer="oddroot")
    return tmp_path


def loaded(folder: Path, *names: str) -> pki.Pair:
    """The first with the others as its issuers."""
    pairs = [
        pki.Pair(
            x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes()),
            read_objects((folder / f"{name}.key").read_bytes(), source="k").keys[0].key.reveal(),  # type: ignore[union-attr,arg-type]
        )
        for name in names
    ]
    return pki.Pair(pairs[0].certificate, pairs[0].private_key, tuple(pairs[1:]))


@needs_openssl
@pytest.mark.parametrize(
    ("names", "anchor"),
    [
        (("direct", "root"), "root"),
        (("leaf", "middle", "root"), "root"),
        (("below", "oddroot"), "oddroot"),
    ],
    ids=["leaf", "intermediate", "root"],
)
@pytest.mark.parametrize("role", list(Role))
def test_a_curve_in_numbers_anywhere_in_the_path_is_refused_as_openssl_does(
    folder: Path, names: tuple[str, ...], anchor: str, role: Role
) -> None:
    pair = loaded(folder, *names)
    bundle = trust(pki.Pair(loaded(folder, anchor).certificate, pair.private_key))
    findings = check_identity(identity(pair), role=role, now=LATER, trust=bundle)
    finding = only([one for one in findings if one.slug == "explicit-ec-parameters"])
    assert finding.severity is Severity.ERROR
    (folder / "chain.pem").write_bytes(
        b"".join((folder / f"{name}.pem").read_bytes() for name in names[1:])
    )
    said = openssl(
        *("verify", "-show_chain", "-CAfile", folder / f"{anchor}.pem"),
        *("-untrusted", folder / "chain.pem", folder / f"{names[0]}.pem"),
        ok=False,
    )
    assert b": OK" not in said
    known = Peer((1, 1))  # OpenSSL 1.1.1 took them
    old = check_identity(identity(pair), role=role, now=LATER, trust=bundle, peer=known)
    assert "explicit-ec-parameters" in slugs(old, Severity.WARNING)
    assert "explicit-ec-parameters" not in slugs(old, Severity.ERROR)


@needs_openssl
def test_a_self_signed_one_by_itself_is_a_warning_as_openssl_takes_it(folder: Path) -> None:
    pair = loaded(folder, "alone")
    finding = only(check_parameters(pair.certificate, where=HERE, what="certificate"))
    assert finding.severity is Severity.WARNING
    assert b": OK" in openssl("verify", "-CAfile", folder / "alone.pem", folder / "alone.pem")


@needs_openssl
def test_a_ca_in_numbers_is_an_error_alone_and_a_warning_among_others(folder: Path) -> None:
    odd = loaded(folder, "oddroot")
    alone = only(check_trust(trust(odd), now=LATER, for_clients=True, depth=1))
    assert (alone.slug, alone.severity) == ("explicit-ec-parameters", Severity.ERROR)
    beside = only(check_trust(trust(odd, ROOT), now=LATER, for_clients=True, depth=1))
    assert beside.severity is Severity.WARNING


@needs_openssl
def test_the_facts_say_that_a_curve_is_in_numbers(folder: Path) -> None:
    sec1 = openssl("ec", "-in", folder / "direct.key")
    public = openssl("pkey", "-in", folder / "direct.key", "-pubout")
    csr = openssl("req", "-new", "-key", folder / "direct.key", "-subj", "/CN=a")
    named = pki.leaf(ROOT)
    shown = {
        "certificate": ((folder / "direct.pem").read_bytes(), named.pem),
        "key": ((folder / "direct.key").read_bytes(), named.key_pem),
        "sec1": (sec1, openssl("ec", stdin=named.key_pem)),
        "public": (public, openssl("pkey", "-pubout", stdin=named.key_pem)),
        "request": (csr, pki.request(named)),
    }
    for name, (odd, plain) in shown.items():
        assert "EC secp256r1, explicit parameters" in told(odd), name
        assert "EC secp256r1" in told(plain), name


def told(data: bytes) -> list[str]:
    """The texts of the rows of the one object."""
    (found,) = read_objects(data, source="x").objects
    description = describe(found, file="x", form="pem")
    return [text for _, text in rows(description, now=pki.NOW)]
