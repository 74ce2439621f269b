"""The ledger of a CA of ours beside its list: what was revoked counts before the list says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.agent.own_ledger import ledgers, withdrawn
from handclasp.ca.ledger import ISSUING, ROOT, AuthorityRecord, Ledger, NewRecord
from handclasp.ca.revocation import Reason
from handclasp.identity.names import loose_key
from tests import pki

if TYPE_CHECKING:
    from pathlib import Path

ROOT_CA = pki.authority("Ledger root")
CA = pki.authority("Ledger CA", issuer=ROOT_CA)
BOB, EVE = pki.leaf(CA, "bob"), pki.leaf(CA, "eve")


def ledger(folder: Path, issuing: pki.Pair, *issued: pki.Pair, root: pki.Pair = ROOT_CA) -> Ledger:
    """A CA's ledger in a folder, open."""
    path = folder / "ledger.sqlite"
    path.touch()
    authorities = {
        role: AuthorityRecord(certificate=pair.certificate, key="none.key")
        for role, pair in ((ROOT, root), (ISSUING, issuing))
    }
    Ledger.create(path, {}, authorities)
    opened = Ledger(path)
    opened.record([NewRecord(certificate=one.certificate, name="one") for one in issued])
    return opened


def test_what_was_revoked_is_named_by_its_issuer_and_serial(tmp_path: Path) -> None:
    opened = ledger(tmp_path, CA, BOB, EVE)
    lists = [tmp_path / "crl.pem", tmp_path / "issuing.crl"]
    assert withdrawn(lists) == (frozenset(), ())
    opened.revoke(EVE.certificate.serial_number, at=pki.NOW, reason=Reason.KEY_COMPROMISE)
    opened.close()
    name = loose_key("CN=Ledger CA,O=Example Org")
    assert withdrawn(lists) == (frozenset({(name, EVE.certificate.serial_number)}), ())


def test_an_issuing_ca_that_was_revoked_is_named_by_its_root(tmp_path: Path) -> None:
    opened = ledger(tmp_path, CA)
    opened.revoke(CA.certificate.serial_number, at=pki.NOW, reason=Reason.CA_COMPROMISE)
    opened.close()
    name = loose_key("CN=Ledger root,O=Example Org")
    assert withdrawn([tmp_path / "crl.pem"])[0] == {(name, CA.certificate.serial_number)}


def test_a_list_of_another_ca_has_no_ledger_beside_it(tmp_path: Path) -> None:
    assert withdrawn([tmp_path / "ca.crl"]) == (frozenset(), ())
    assert ledgers([tmp_path / "a.crl", tmp_path / "b.crl"]) == (tmp_path / "ledger.sqlite",)


def test_a_ledger_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database at all, but long enough to be one" * 100)
    named, (finding,) = withdrawn([tmp_path / "crl.pem"])
    assert named == frozenset()
    assert finding.slug == "ca-ledger-not-followed"
    assert finding.where.file == str(tmp_path / "ledger.sqlite")
