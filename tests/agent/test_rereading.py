"""Only what changed is read and judged, as of now; each unit for itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handclasp.agent.material_stamps import mark
from handclasp.agent.rereading import in_words, older_identities, reread, units, why_not_whole
from handclasp.certs.checks import check_pair
from handclasp.findings import found
from handclasp.findings.model import Where
from tests import pki
from tests.agent.rotating_stage import planned, servers, write_pair
from tests.integration.running import Material

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from handclasp.agent.prepare import Prepared
    from handclasp.agent.rereading import Reread
    from handclasp.certs.material import Material as Everything
    from handclasp.findings import Finding
    from handclasp.spec.model import Spec

pytestmark = pytest.mark.integration
DAY = timedelta(days=1)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return Material(tmp_path)


@pytest.fixture
def prepared(material: Material, nginx_builds: dict[str, Path]) -> Prepared:
    """Servers one and two."""
    return planned(material, servers(material, "one", "two"), nginx_builds["wheel"])


def read(prepared: Prepared, *changed: str, now: datetime = pki.NOW) -> Reread:
    return reread(prepared, prepared.material, set(changed), now)


def leaf(prepared: Prepared | None, name: str) -> bytes:
    """DER of the leaf that a plan would serve."""
    assert prepared is not None
    certificate = prepared.material.identities[name].leaf
    assert certificate is not None
    return pki.Pair(certificate, pki.key("any")).der


def slugs(seen: Reread, unit: str) -> list[str]:
    return [one.slug for one in seen.refused.get(unit, ())]


def test_what_changed_is_taken_and_nothing_else(prepared: Prepared, material: Material) -> None:
    before = leaf(prepared, "two")
    new = write_pair(material, "one", "new")
    write_pair(material, "two", "new too")
    seen = read(prepared, "identity one")
    assert seen.refused == {}
    assert leaf(seen.prepared, "one") == new.der
    assert leaf(seen.prepared, "two") == before


def test_a_plan_of_what_changed_differs_in_its_version_alone(
    prepared: Prepared, material: Material
) -> None:
    write_pair(material, "one", "new")
    seen = read(prepared, "identity one")
    assert seen.prepared is not None
    assert seen.prepared.plan is not None
    assert prepared.plan is not None
    before, after = dict(prepared.plan.identities), dict(seen.prepared.plan.identities)
    assert before["one"] != after["one"]
    assert before["two"] == after["two"]
    assert prepared.plan.ingress == seen.prepared.plan.ingress


def test_what_is_wrong_with_one_keeps_no_other_from_being_taken(
    prepared: Prepared, material: Material
) -> None:
    write_pair(material, "one", "bad", sans=["elsewhere.example.com"])
    new = write_pair(material, "two", "new")
    seen = read(prepared, "identity one", "identity two")
    assert slugs(seen, "identity one") == ["name-not-covered"]
    assert leaf(seen.prepared, "two") == new.der
    assert leaf(seen.prepared, "one") == leaf(prepared, "one")


def test_nothing_is_left_when_nothing_can_be_used(prepared: Prepared, material: Material) -> None:
    material.pair("one")[0].write_bytes(b"")
    seen = read(prepared, "identity one")
    assert seen.prepared is None
    assert seen.refused.keys() == {"identity one"}


def test_a_certificate_from_the_future_is_taken_once_its_time_has_come(
    prepared: Prepared, material: Material
) -> None:
    future = write_pair(material, "one", "new", not_before=pki.NOW + DAY)
    early = read(prepared, "identity one")
    assert slugs(early, "identity one") == ["cert-not-yet-valid"]
    assert early.prepared is None
    in_time = read(prepared, "identity one", now=pki.NOW + 2 * DAY)
    assert leaf(in_time.prepared, "one") == future.der


def test_a_clock_set_back_undoes_nothing_and_refuses_nothing_else(
    prepared: Prepared, material: Material
) -> None:
    write_pair(material, "one", "new", not_before=pki.NOW + DAY)
    ahead = read(prepared, "identity one", now=pki.NOW + 2 * DAY)
    assert ahead.prepared is not None
    # By this clock what is in effect for `one` has not begun.
    write_pair(material, "two", "new")
    back = read(ahead.prepared, "identity two", now=pki.NOW)
    assert back.refused == {}
    assert leaf(back.prepared, "one") == leaf(ahead.prepared, "one")


def test_what_has_expired_meanwhile_keeps_nothing_else_from_being_taken(
    prepared: Prepared, material: Material
) -> None:
    later = pki.NOW + 100 * DAY  # all that is in effect has expired
    new = write_pair(material, "one", "new", not_after=later + 90 * DAY)
    seen = read(prepared, "identity one", now=later)
    assert seen.refused == {}
    assert leaf(seen.prepared, "one") == new.der
    write_pair(material, "two", "expired")
    assert slugs(read(prepared, "identity two", now=later), "identity two") == ["cert-expired"]


def test_what_is_objected_to_is_refused_alone(prepared: Prepared, material: Material) -> None:
    write_pair(material, "one", "old", not_before=pki.NOW - 20 * DAY, not_after=pki.NOW + 5 * DAY)
    new = write_pair(material, "two", "new")

    def against(_: Spec, seen: Everything) -> Iterable[Finding]:
        return older_identities(prepared.material, seen)

    changed = {"identity one", "identity two"}
    seen = reread(prepared, prepared.material, changed, pki.NOW, against)
    assert slugs(seen, "identity one") == ["certificate-older-than-current"]
    assert leaf(seen.prepared, "one") == leaf(prepared, "one")
    assert leaf(seen.prepared, "two") == new.der
    forced = reread(prepared, prepared.material, changed, pki.NOW)
    assert forced.refused == {}


def test_a_broken_spec_on_disk_is_not_read(prepared: Prepared, material: Material) -> None:
    new = write_pair(material, "one", "new")
    (material.folder / "unit.yaml").write_text("ingress: [")
    assert leaf(read(prepared, "identity one").prepared, "one") == new.der


def test_the_marks_are_of_the_files_as_they_were_read(
    prepared: Prepared, material: Material
) -> None:
    write_pair(material, "one", "new")
    seen = read(prepared, "identity one")
    assert seen.prepared is not None
    files = material.pair("one")
    assert {file: seen.prepared.marks[file] for file in files} == mark(files)
    untouched = material.pair("two")[0]
    assert seen.prepared.marks[untouched] == prepared.marks[untouched]


def test_a_trust_keeps_its_newer_list(material: Material, nginx_builds: dict[str, Path]) -> None:
    spec = servers(material, "one")
    spec["trust"]["company"]["crl"] = ["ca.crl"]
    lists = material.folder / "ca.crl"
    lists.write_bytes(pki.crl(material.ca, [material.client], number=5))
    prepared = planned(material, spec, nginx_builds["wheel"])
    lists.write_bytes(pki.crl(material.ca, number=4, last_update=pki.NOW - DAY))
    seen = read(prepared, "trust company")
    assert seen.prepared is not None
    assert seen.prepared.material.trust["company"].crls == prepared.material.trust["company"].crls
    lists.write_bytes(pki.crl(material.ca, number=6, last_update=pki.NOW))
    newer = read(prepared, "trust company")
    assert newer.prepared is not None
    (crl,) = newer.prepared.material.trust["company"].crls
    assert len(crl) == 0


@pytest.fixture
def two_cas(material: Material, nginx_builds: dict[str, Path]) -> Prepared:
    """A trust of two CAs, each with its list."""
    spec = servers(material, "one")
    spec["trust"]["company"] |= {"certificates": ["both.pem"], "crl": ["both.crl"]}
    write_trust(material, material.ca, material.other_ca)
    return planned(material, spec, nginx_builds["wheel"])


def write_trust(
    material: Material, *authorities: pki.Pair, listed: pki.Pair | None = None, number: int = 1
) -> None:
    """These CAs with a list of each, or of `listed` alone."""
    (material.folder / "both.pem").write_bytes(b"".join(one.pem for one in authorities))
    lists = [pki.crl(one, number=number) for one in ((listed,) if listed else authorities)]
    (material.folder / "both.crl").write_bytes(b"".join(lists))


@pytest.mark.parametrize("its_list", ["as before", "newer"])
def test_a_ca_goes_together_with_its_list(
    two_cas: Prepared, material: Material, its_list: str
) -> None:
    lists = material.folder / "both.crl"
    before = lists.read_bytes().partition(b"-----END X509 CRL-----\n")
    write_trust(material, material.ca, number=2)
    if its_list == "as before":
        lists.write_bytes(before[0] + before[1])
    seen = read(two_cas, "trust company")
    assert seen.prepared is not None, seen.refused
    (crl,) = seen.prepared.material.trust["company"].crls
    assert crl.issuer == material.ca.certificate.subject


def test_a_ca_whose_list_is_missing_is_not_believed_without_one(
    two_cas: Prepared, material: Material
) -> None:
    write_trust(material, pki.authority("New CA"), listed=material.other_ca)
    seen = read(two_cas, "trust company")
    assert seen.prepared is None
    assert "crl-for-other-ca" in slugs(seen, "trust company")


def test_units_are_the_files_that_belong_together(prepared: Prepared, material: Material) -> None:
    assert {unit.name: unit.files for unit in units(prepared)} == {
        "identity one": material.pair("one"),
        "identity two": material.pair("two"),
        "trust company": (material.folder / "ca.pem",),
    }


def test_a_whole_pair_is_whole(prepared: Prepared, material: Material) -> None:
    assert why_not_whole(prepared, "identity one") is None
    write_pair(material, "one", "new")
    assert why_not_whole(prepared, "identity one") is None


def test_a_certificate_without_its_key_is_not_whole(prepared: Prepared, material: Material) -> None:
    new = pki.leaf(material.ca, "one", sans=["one.example.com"], key_label="somebody else's")
    material.pair("one")[0].write_bytes(new.pem)
    why = why_not_whole(prepared, "identity one")
    assert why is not None
    assert "is not the key of any certificate" in why
    assert why_not_whole(prepared, "identity two") is None


def test_half_a_certificate_is_not_whole(prepared: Prepared, material: Material) -> None:
    certificate = material.pair("one")[0]
    certificate.write_bytes(certificate.read_bytes()[:200])
    why = why_not_whole(prepared, "identity one")
    assert why is not None
    assert why.startswith(f"{certificate}: ")


class Spoilt(NamedTuple):
    """What happens to a file: it ends at `size`, and a byte at `place` becomes `byte`."""

    name: str
    size: int
    place: int
    byte: int

    def befall(self, folder: Path) -> None:
        data = bytearray((folder / self.name).read_bytes()[: self.size])
        if self.place < len(data):
            data[self.place] = self.byte
        (folder / self.name).write_bytes(data)


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    spoilt=st.lists(
        st.builds(
            Spoilt,
            st.sampled_from(["one.pem", "one.key", "ca.pem"]),
            st.integers(0, 800),
            st.integers(0, 800),
            st.integers(0, 255),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_whatever_lies_there_is_judged_and_nothing_else_is_touched(
    spoilt: list[Spoilt], prepared: Prepared, material: Material
) -> None:
    """Reading never raises: what is used is whole, what is not has its reason."""
    material.ca.write(material.folder, "ca")
    write_pair(material, "one", "new")
    for one in spoilt:
        one.befall(material.folder)
    changed = ("identity one", "trust company")
    seen = read(prepared, *changed)
    assert seen.refused.keys() <= set(changed)
    assert all(errors for errors in seen.refused.values())
    assert (seen.prepared is None) == (len(seen.refused) == len(changed))
    if seen.prepared is not None:
        assert seen.prepared.plan is not None
        assert check_pair(seen.prepared.material.identities["one"]) == []
    for unit in changed:
        why_not_whole(prepared, unit)


@pytest.mark.parametrize(
    ("where", "seen", "told"),
    [
        (Where("/a/b.pem"), "it is cut off", "/a/b.pem: it is cut off"),
        (Where("/a/b.pem"), "/a/b.pem is cut off", "/a/b.pem is cut off"),
        (Where(), "it is cut off", "it is cut off"),
    ],
)
def test_a_sentence_names_its_file_once(where: Where, seen: str, told: str) -> None:
    assert in_words([found("cert-expired", seen, where=where)]) == told
    assert in_words([]) == ""
