"""From files, remote chains and the material of a spec to entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from handclasp.certs.material import Material
from handclasp.certs.read import read_objects
from handclasp.keys.load import load_identity, load_trust
from handclasp.monitor.callers import Caller
from handclasp.monitor.entries import (
    entries_of_callers,
    entries_of_file,
    entries_of_issuers,
    entries_of_spec,
    entry_of_remote,
)
from handclasp.monitor.expiry import Kind
from handclasp.monitor.uses import Uses
from tests import pki

if TYPE_CHECKING:
    from handclasp.monitor.expiry import Entry

DAY = timedelta(days=1)
ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LEAF = pki.leaf(MIDDLE)
OTHER = pki.leaf(ROOT, "other")
NO_USES = Uses(identities={}, trust={}, lists={})


def read(data: bytes, *, password: bytes | None = None) -> list[Entry]:
    return entries_of_file(read_objects(data, source="file", password=password))


def subjects(entry: Entry) -> list[str]:
    return [one.subject.split(",")[0] for one in entry.members]


def test_the_chain_of_a_file_is_one_entry_leaf_first_in_whatever_order_it_stands() -> None:
    (entry,) = read(ROOT.pem + LEAF.pem + MIDDLE.pem)
    assert subjects(entry) == ["CN=svc-b", "CN=Middle", "CN=Root"]
    assert [one.kind for one in entry.members] == [Kind.CERTIFICATE, Kind.CA, Kind.CA]


def test_each_leaf_and_each_list_of_a_file_is_an_entry() -> None:
    entries = read(LEAF.pem + OTHER.pem + pki.crl(ROOT) + pki.crl(MIDDLE))
    assert [(one.kind, subjects(one)) for one in entries] == [
        (Kind.CERTIFICATE, ["CN=svc-b"]),
        (Kind.CERTIFICATE, ["CN=other"]),
        (Kind.CRL, ["CN=Root"]),
        (Kind.CRL, ["CN=Middle"]),
    ]
    crl = read_objects(pki.crl(ROOT), source="file").crls[0]
    assert entries[2].members[0].not_after == crl.next_update_utc


def test_a_key_without_password_hides_no_date_and_a_locked_store_does() -> None:
    locked = BestAvailableEncryption(b"open sesame")
    store = pkcs12.serialize_key_and_certificates(
        *(b"x", LEAF.private_key, LEAF.certificate, [MIDDLE.certificate], locked)  # type: ignore[arg-type]
    )
    assert [one.problem for one in read(LEAF.pem + LEAF.encrypted_key_pem(b"x"))] == [None]
    (shut,) = read(store)
    assert shut.problem is not None
    assert shut.kind is Kind.UNKNOWN
    (opened,) = read(store, password=b"open sesame")
    assert subjects(opened) == ["CN=svc-b", "CN=Middle"]


def test_a_damaged_part_is_told_beside_the_readable_ones() -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    whole, damaged = read(LEAF.pem + broken)
    assert subjects(whole) == ["CN=svc-b"]
    assert "damaged" in (damaged.problem or "")


def test_other_objects_are_no_entry() -> None:
    assert read(LEAF.key_pem + pki.request(LEAF)) == []


def test_of_what_a_server_sends_its_own_chain_counts() -> None:
    stray = pki.leaf(ROOT, "stray", not_after=pki.NOW)
    sent = [one.certificate for one in (LEAF, stray, MIDDLE)]
    assert subjects(entry_of_remote("https://x", sent, verification="ok")) == [
        *("CN=svc-b", "CN=Middle")
    ]


def test_the_first_certificate_a_server_sends_is_its_own_even_above_another() -> None:
    sent = [MIDDLE.certificate, LEAF.certificate]
    assert subjects(entry_of_remote("https://x", sent, verification=None)) == ["CN=Middle"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    LEAF.write(tmp_path, "svc-b")
    (tmp_path / "ca.pem").write_bytes(ROOT.pem + MIDDLE.pem)
    (tmp_path / "ca.crl").write_bytes(pki.crl(ROOT))
    return tmp_path


def test_a_spec_is_its_identities_anchors_and_lists_with_what_they_break(folder: Path) -> None:
    material = Material(
        identities={
            "b": load_identity("b", certificate=folder / "svc-b.pem", key=folder / "svc-b.key")
        },
        trust={"t": load_trust("t", certificates=[folder / "ca.pem"], crls=[folder / "ca.crl"])},
        intermediates={"api": load_trust("i", certificates=[folder / "ca.pem"])},
    )
    uses = Uses(identities={"b": ("one",)}, trust={"t": ("two",)}, lists={"t": ("three",)})
    told = [
        (one.name, Path(one.source).name, one.kind, one.breaks)
        for one in entries_of_spec(material, uses)
    ]
    between = ("ingress api cannot tell who issued its callers' certificates",)
    assert told == [
        ("identity b", "svc-b.pem", Kind.CERTIFICATE, ("one",)),
        ("trust t", "ca.pem", Kind.CA, ("two",)),
        ("trust t", "ca.pem", Kind.CA, ("two",)),
        ("trust t", "ca.crl", Kind.CRL, ("three",)),
        ("intermediates of api", "ca.pem", Kind.CA, between),
        ("intermediates of api", "ca.pem", Kind.CA, between),
    ]


def test_what_a_spec_names_and_nobody_can_read_is_an_entry(folder: Path) -> None:
    material = Material(
        identities={"b": load_identity("b", certificate=folder / "lost.pem")},
        trust={"t": load_trust("t", certificates=[folder / "ca.pem", folder / "gone.pem"])},
    )
    unread = [one for one in entries_of_spec(material, NO_USES) if not one.members]
    assert [(one.name, Path(one.source).name) for one in unread] == [
        ("identity b", "lost.pem"),
        ("trust t", "gone.pem"),
    ]
    assert all("no such file" in (one.problem or "") for one in unread)


def test_an_issuers_end_is_the_end_of_renewals(folder: Path) -> None:
    authority = load_trust("dev", certificates=[folder / "ca.pem"])
    first, _ = entries_of_issuers({"dev": authority}, {"dev": ["b"]})
    assert (first.name, first.breaks) == ("issuer dev", ("identity b is no longer renewed",))


def test_a_caller_is_an_entry_unless_its_end_is_not_known() -> None:
    first, last = pki.NOW - 9 * DAY, pki.NOW - DAY
    known = Caller("api", "CN=CA", "01", "", None, pki.NOW + 6 * DAY, first, last)
    (entry,) = entries_of_callers([known, replace(known, serial="02", not_after=None)])
    assert (entry.kind, entry.subject) == (Kind.CALLER, "serial 01")
    assert (entry.members[0].not_before, entry.seen) == (first, last)
    assert entry.place.startswith("ingress api, last seen ")
    assert entry.breaks == ("ingress api refuses it",)
