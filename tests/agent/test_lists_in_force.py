"""The copy of the lists in force: a spec read anew goes back to none older, and what is not needed goes."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from handclasp.agent.listed_trust import kept_list, load_listed_trust
from handclasp.agent.lists_in_force import copy_of, remember, tidy, with_those_in_force
from handclasp.certs.material import Material, TrustMaterial
from handclasp.errors import EnvironmentFault
from handclasp.findings import Severity, errors_in
from handclasp.identity.denied import denied_by
from handclasp.keys.load import load_trust
from handclasp.spec.load import parse_spec
from tests import pki

if TYPE_CHECKING:
    from handclasp.spec.model import Spec

CA = pki.authority("Kept CA")
INT = pki.authority("Kept issuing", issuer=CA)
BOB, EVE = pki.leaf(CA, "bob"), pki.leaf(CA, "eve")
URL = "http://127.0.0.1:9/ca.crl"


class Place:
    """A spec with a list in a file, and a state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir()
        self.crl, self.clients = "[ca.crl]", ""
        (folder / "ca.pem").write_bytes(CA.pem)
        (folder / "int.pem").write_bytes(INT.pem)

    @property
    def spec(self) -> Spec:
        text = f"""
identities: {{server: {{certificate: server.pem, key: server.key}}}}
trust:
  company: {{certificates: [ca.pem], crl: {self.crl}}}
ingress:
  - name: api
    listen: 127.0.0.1:8443
    server_names: [a.example.com]
    identity: server
    clients: {{trust: company, allow: any{self.clients}}}
    backend: http://127.0.0.1:8080
"""
        base = PurePosixPath(self.folder)
        return parse_spec(text.encode(), source="spec.yaml", base=base).spec

    def write(self, *lists: bytes) -> None:
        (self.folder / "ca.crl").write_bytes(b"".join(lists))

    def remember(self, *lists: bytes) -> None:
        crls = tuple(x509.load_pem_x509_crl(one) for one in lists)
        remember(self.state, TrustMaterial(name="company", crls=crls))

    def load(self) -> TrustMaterial:
        spec = self.spec
        between = {
            link.name: load_trust("between", certificates=[Path(one) for one in files])
            for link in spec.ingress
            if (files := link.clients.intermediates)
        }
        material = Material(
            trust={"company": load_listed_trust("company", spec.trust["company"], self.state)},
            intermediates=between,
        )
        return with_those_in_force(material, spec, self.state, now=pki.NOW).trust["company"]

    @property
    def copy(self) -> Path:
        return copy_of(self.state, "company")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def names(trust: TrustMaterial) -> set[int]:
    return {serial for _, serial in denied_by(trust.crls).serials}


def serial(pair: pki.Pair) -> int:
    return pair.certificate.serial_number


def test_an_older_file_lets_nobody_in_whom_the_list_in_force_names(place: Place) -> None:
    place.remember(pki.crl(CA, [BOB], number=9))
    place.write(pki.crl(CA, [EVE], number=8))
    trust = place.load()
    assert names(trust) == {serial(BOB)}
    (finding,) = trust.findings
    assert (finding.slug, finding.severity) == ("crl-not-taken", Severity.WARNING)
    assert "ca.crl is older (number 8 after 9)" in finding.seen
    place.write(pki.crl(CA, [EVE], number=10))
    newer = place.load()
    assert (names(newer), newer.findings) == ({serial(EVE)}, ())


def test_without_a_copy_the_files_are_taken_as_they_are(place: Place) -> None:
    place.write(pki.crl(CA, [EVE], number=8))
    trust = place.load()
    assert (names(trust), trust.findings) == ({serial(EVE)}, ())


def test_a_copy_that_no_ca_of_the_trust_signed_says_nothing(place: Place) -> None:
    forged = pki.crl(CA, [BOB], number=9, signer=pki.authority("Kept CA", key_label="another"))
    place.remember(forged)
    place.write(pki.crl(CA, [EVE], number=8))
    assert names(place.load()) == {serial(EVE)}


@pytest.mark.parametrize("content", [b"", b"garbage", pki.crl(CA)[:200]])
def test_a_copy_that_cannot_be_read_forbids_the_start(place: Place, content: bytes) -> None:
    """Whether the file is an older one cannot be told."""
    place.remember(pki.crl(CA, [BOB], number=9))
    place.copy.write_bytes(content)
    place.write(pki.crl(CA, [EVE], number=8))
    (error,) = errors_in(place.load().findings)
    assert error.where.file == str(place.copy)
    assert f"remove {place.copy}" in (error.fix or "")


def test_the_list_of_a_ca_that_a_link_names_in_between_is_kept_too(place: Place) -> None:
    place.clients = ", intermediates: [int.pem]"
    below = pki.leaf(INT, "below")
    place.remember(pki.crl(CA, number=1), pki.crl(INT, [below], number=9))
    place.write(pki.crl(CA, number=1), pki.crl(INT, number=8))
    assert names(place.load()) == {serial(below)}


def test_without_lists_in_the_spec_none_comes_from_the_copy(place: Place) -> None:
    place.remember(pki.crl(CA, [BOB], number=9))
    place.crl = "[]"
    trust = place.load()
    assert (trust.crls, trust.findings) == ((), ())


def test_the_copy_is_ours_alone_and_is_written_when_something_changed(place: Place) -> None:
    place.remember(ninth := pki.crl(CA, [BOB], number=9))
    assert place.copy.stat().st_mode & 0o777 == 0o600
    assert place.copy.parent.stat().st_mode & 0o777 == 0o700
    before = place.copy.stat().st_ino
    place.remember(ninth)
    assert place.copy.stat().st_ino == before
    place.remember(tenth := pki.crl(CA, [BOB], number=10))
    assert place.copy.read_bytes() == tenth
    place.remember()
    assert not place.copy.exists(), "lists are asked for no longer"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_copy_that_cannot_be_written_is_said(place: Place) -> None:
    place.state.chmod(0o500)
    with pytest.raises(EnvironmentFault, match="cannot keep the revocation lists in force"):
        place.remember(pki.crl(CA, number=9))


def test_a_state_directory_that_is_gone_is_said(place: Place) -> None:
    place.state.rmdir()
    with pytest.raises(EnvironmentFault, match="cannot keep the revocation lists in force"):
        place.remember(pki.crl(CA, number=9))


def test_lists_of_urls_that_the_spec_no_longer_names_are_removed(place: Place) -> None:
    place.remember(pki.crl(CA, number=9))
    kept = kept_list(place.state, "company", URL)
    gone = kept_list(place.state, "company", f"{URL}.old")
    other = kept_list(place.state, "partner", URL)
    other.parent.mkdir()
    for file in (kept, gone, other):
        file.write_bytes(pki.crl(CA))
        file.with_suffix(".json").write_bytes(b"{}")
    strange = kept.with_name("note.txt")
    strange.touch()
    place.crl = f"[ca.crl, '{URL}']"
    tidy(place.state, place.spec)
    there = {file for file in (place.state / "lists").rglob("*") if file.is_file()}
    assert there == {place.copy, kept, kept.with_suffix(".json"), strange}
    tidy(place.folder / "nowhere", place.spec)


def test_a_list_of_many_megabytes_is_read(place: Place) -> None:
    """Larger than what is read of a certificate."""
    from datetime import timedelta

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    large = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), bytes(9 << 20))
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(CA.certificate.subject)
        .last_update(pki.NOW - timedelta(hours=1))
        .next_update(pki.NOW + timedelta(days=1))
        .add_extension(large, critical=False)
    )
    place.write(builder.sign(CA.private_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert (place.folder / "ca.crl").stat().st_size > 10 << 20
    trust = place.load()
    assert (len(trust.crls), trust.findings) == (1, ())
    remember(place.state, trust)
    assert len(place.load().crls) == 1
    (place.folder / "ca.pem").write_bytes(bytes(11 << 20))
    assert "larger than 10 MiB" in "".join(one.seen for one in place.load().findings)
