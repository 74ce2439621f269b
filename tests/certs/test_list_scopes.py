"""Lists that are for a part of the certificates, judged as OpenSSL and nginx judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handclasp.certs.checks import Role, check_identity, check_trust
from handclasp.certs.list_scopes import other_scope
from handclasp.findings import Severity
from tests import pki
from tests.certs.identities import identity, only, slugs, trust
from tests.certs.plain_nginx import serving, status
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = pki.authority("Root")
SERVER = pki.leaf(ROOT, "server", sans=["localhost"], usages=(pki.SERVER,))


def place(url: str) -> list[x509.GeneralName]:
    return [x509.UniformResourceIdentifier(url)]


def confined(url: str | None, *, leaves: bool = False) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        full_name=place(url) if url else None,
        relative_name=None,
        only_contains_user_certs=leaves,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )


def at(*urls: str) -> pki.Pair:
    """A client whose revocation is told at these places."""
    pair = pki.leaf(ROOT)
    if not urls:
        return pair
    points = [
        x509.DistributionPoint(place(url), relative_name=None, reasons=None, crl_issuer=None)
        for url in urls
    ]
    return pki.with_extension(pair, ROOT, x509.CRLDistributionPoints(points), critical=False)


def by(issuer: pki.Pair, url: str | None = None) -> pki.Pair:
    """A client that says who signs the list it is on."""
    name = [x509.DirectoryName(issuer.certificate.subject)]
    point = x509.DistributionPoint(place(url) if url else None, None, None, name)
    points = x509.CRLDistributionPoints([point])
    return pki.with_extension(pki.leaf(ROOT), ROOT, points, critical=False)


PART = pki.crl(ROOT, extensions=[confined("http://crl/part")])
CASES = pytest.mark.parametrize(
    ("crl", "pair", "fits"),
    [
        (PART, at(), False),
        (PART, at("http://crl/other"), False),
        (PART, at("http://crl/part"), True),
        (PART, at("http://crl/other", "http://crl/part"), True),
        (PART, by(ROOT), True),
        (PART, by(pki.authority("Other")), False),
        (PART, by(pki.authority("Other"), "http://crl/part"), False),
        (pki.crl(ROOT), at("http://crl/other"), True),
        (pki.crl(ROOT, extensions=[confined(None, leaves=True)]), at(), True),
    ],
    ids=[
        "none",
        "other",
        "same",
        "one-of-two",
        "issuer-alone",
        "other-issuer",
        "place-of-other",
        "plain",
        "leaves",
    ],
)


@needs_openssl
@CASES
def test_a_list_for_other_certificates_is_told_where_openssl_refuses(
    tmp_path: Path, crl: bytes, pair: pki.Pair, fits: bool
) -> None:
    (value,) = [x509.load_pem_x509_crl(crl)]
    assert (other_scope(value, pair.certificate) is None) is fits
    for name, data in (("root.pem", ROOT.pem), ("list", crl), ("leaf.pem", pair.pem)):
        (tmp_path / name).write_bytes(data)
    said = openssl(
        *("verify", "-crl_check", "-CAfile", tmp_path / "root.pem"),
        *("-CRLfile", tmp_path / "list", tmp_path / "leaf.pem"),
        ok=False,
    )
    assert (b": OK" in said) is fits


def test_the_finding_names_both_places_and_a_whole_list_beside_heals_it() -> None:
    pair = at("http://crl/other")
    bundle = trust(ROOT, crls=[PART])
    ask = {"role": Role.CLIENT, "now": pki.NOW}
    finding = only(
        [
            one
            for one in check_identity(identity(pair), trust=bundle, **ask)  # type: ignore[arg-type]
            if one.slug == "crl-not-usable" and "svc-b" in one.seen
        ]
    )
    assert finding.severity is Severity.ERROR
    assert "http://crl/part" in finding.seen
    assert "http://crl/other" in finding.seen
    assert finding.where.file == "0.crl"
    both = trust(ROOT, crls=[PART, pki.crl(ROOT, number=2)])
    assert slugs(check_identity(identity(pair), trust=both, **ask)) == []  # type: ignore[arg-type]


def test_a_list_for_leaves_alone_leaves_the_ca_without_one() -> None:
    crl = x509.load_pem_x509_crl(pki.crl(ROOT, extensions=[confined(None, leaves=True)]))
    assert other_scope(crl, at().certificate) is None
    assert "is a CA" in (other_scope(crl, ROOT.certificate) or "")


def test_where_the_callers_are_not_known_a_part_is_a_warning() -> None:
    ask = {"now": pki.NOW, "for_clients": True, "depth": 1}
    finding = only(check_trust(trust(ROOT, crls=[PART]), **ask))  # type: ignore[arg-type]
    assert (finding.slug, finding.severity) == ("crl-not-usable", Severity.WARNING)
    assert "http://crl/part" in finding.seen
    assert check_trust(trust(ROOT, crls=[pki.crl(ROOT)]), **ask) == []  # type: ignore[arg-type]
    assert check_trust(trust(ROOT, crls=[PART]), leaf_known=True, **ask) == []  # type: ignore[arg-type]


def test_nginx_answers_as_the_finding_says(
    tmp_path: Path, nginx_build: Path, free_port: Callable[[], int]
) -> None:
    root, crl = tmp_path / "root.pem", tmp_path / "list.pem"
    root.write_bytes(ROOT.pem)
    certificate, key = SERVER.write(tmp_path, "server")
    middle = pki.authority("Middle", issuer=ROOT)  # itself under a whole list
    crl.write_bytes(pki.crl(ROOT) + pki.crl(middle, extensions=[confined("http://crl/part")]))
    directives = (
        f"ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_verify_client on;"
        f"ssl_client_certificate {root}; ssl_crl {crl}; ssl_verify_depth 2;"
    )
    port = free_port()
    with serving(nginx_build, tmp_path, port, directives):
        for urls, answer in ((("http://crl/part",), 200), (("http://crl/other",), 400), ((), 400)):
            pair = pki.leaf(middle)
            if urls:
                points = x509.CRLDistributionPoints(
                    [x509.DistributionPoint(place(url), None, None, None) for url in urls]
                )
                pair = pki.with_extension(pair, middle, points, critical=False)
            ours = pair.write(tmp_path, "client")
            assert status(port, root=root, identity=ours) == answer
