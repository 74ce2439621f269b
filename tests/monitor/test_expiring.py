"""What is in use and ends some day is found, each end once."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePath

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from handclasp.certs.material import IdentityMaterial, Material, TrustMaterial
from handclasp.monitor.expiring import expiring
from tests import pki

DAY = timedelta(days=1)


def identity(pair: pki.Pair, *chain: pki.Pair) -> IdentityMaterial:
    return IdentityMaterial(
        name="svc-b",
        certificate_file=PurePath("svc-b.pem"),
        key_file=PurePath("svc-b.key"),
        leaf=pair.certificate,
        chain=tuple(one.certificate for one in chain),
    )


def crl(
    issuer: pki.Pair, left: timedelta, *more: x509.ExtensionType
) -> x509.CertificateRevocationList:
    end = pki.NOW + left
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(pki.NOW - DAY)
        .next_update(end)
    )
    for extension in more:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(issuer.private_key, hashes.SHA256())


def ends(material: Material) -> list[tuple[str, str, str, timedelta]]:
    return [
        (one.kind, one.name, one.subject, one.not_after - pki.NOW)
        for one in expiring(material, material.identities, material.trust)
    ]


def trust(*anchors: pki.Pair, crls: tuple[x509.CertificateRevocationList, ...] = ()) -> Material:
    believed = TrustMaterial(
        name="company", anchors=tuple(one.certificate for one in anchors), crls=crls
    )
    return Material(trust={"company": believed})


def test_a_leaf_its_intermediates_anchors_and_lists_are_found() -> None:
    root = pki.authority("Root", not_after=pki.NOW + 900 * DAY)
    between = pki.authority("Issuing", issuer=root, not_after=pki.NOW + 90 * DAY)
    leaf = pki.leaf(between, "svc-b", not_after=pki.NOW + 30 * DAY)
    believed = TrustMaterial(
        name="company", anchors=(root.certificate,), crls=(crl(root, 7 * DAY),)
    )
    material = Material(identities={"svc-b": identity(leaf, between)}, trust={"company": believed})
    assert ends(material) == [
        ("identity", "svc-b", "CN=svc-b,O=Example Org", 30 * DAY),
        ("chain", "svc-b", "CN=Issuing,O=Example Org", 90 * DAY),
        ("trust", "company", "CN=Root,O=Example Org", 900 * DAY),
        ("crl", "company", "CN=Root,O=Example Org", 7 * DAY),
    ]


def test_what_is_not_in_use_is_left_out() -> None:
    leaf = pki.leaf(pki.authority(), "svc-b")
    material = Material(identities={"svc-b": identity(leaf)}, trust=trust(pki.authority()).trust)
    assert expiring(material, [], []) == ()
    assert [one.kind for one in expiring(material, ["svc-b", "unknown"], [])] == ["identity"]


def test_a_ca_renewed_with_its_key_is_as_good_as_its_newest_certificate() -> None:
    old = pki.authority("Root", not_after=pki.NOW + 5 * DAY)
    new = pki.authority("Root", not_after=pki.NOW + 900 * DAY)
    for pair in ((old, new), (new, old)):
        assert [end for *_, end in ends(trust(*pair))] == [900 * DAY]


def test_a_ca_of_the_same_name_with_another_key_is_another_one_and_the_earlier_end_is_told() -> (
    None
):
    old = pki.authority("Root", not_after=pki.NOW + 5 * DAY)
    new = pki.authority("Root", not_after=pki.NOW + 900 * DAY, key_label="another")
    for pair in ((old, new), (new, old)):
        assert [end for *_, end in ends(trust(*pair))] == [5 * DAY]


def test_the_newest_list_of_a_ca_counts_and_of_several_scopes_the_one_that_ends_first() -> None:
    ca = pki.authority("Root", not_after=pki.NOW + 900 * DAY)
    lists = trust(ca, crls=(crl(ca, -DAY + timedelta(hours=1)), crl(ca, 7 * DAY)))
    assert ends(lists)[1:] == [("crl", "company", "CN=Root,O=Example Org", 7 * DAY)]
    point = x509.IssuingDistributionPoint(
        full_name=[x509.UniformResourceIdentifier("http://crl.example.com/1")],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    scoped = trust(ca, crls=(crl(ca, 7 * DAY), crl(ca, 2 * DAY, point)))
    assert ends(scoped)[1:] == [("crl", "company", "CN=Root,O=Example Org", 2 * DAY)]
