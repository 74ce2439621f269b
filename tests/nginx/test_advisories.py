"""Builds in the range of a published vulnerability are named, and only those."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from handclasp.findings import Severity
from handclasp.nginx.advisories import (
    ADVISORIES,
    advisories_for,
    advisory_findings,
    unaffected_versions,
)
from tests.nginx.recorded_builds import USABLE, facts_of

if TYPE_CHECKING:
    from handclasp.nginx.facts import Facts

# Read off https://nginx.org/en/security_advisories.html: versions with the fault, and without.
RANGES = [
    ("CVE-2026-42533", ["1.18.0", "1.28.3", "1.30.3", "1.31.2"], ["1.30.4", "1.31.3", "1.31.4"]),
    ("CVE-2026-42055", ["1.18.0", "1.29.8", "1.30.2", "1.31.1"], ["1.30.3", "1.31.2"]),
    ("CVE-2026-9256", ["1.18.0", "1.30.1", "1.31.0"], ["1.30.2", "1.31.1"]),
    ("CVE-2026-42945", ["1.18.0", "1.29.8", "1.30.0"], ["1.30.1", "1.31.0"]),
    ("CVE-2026-42926", ["1.29.4", "1.29.8", "1.30.0"], ["1.29.3", "1.30.1", "1.31.0"]),
    ("CVE-2026-40701", ["1.19.0", "1.30.0"], ["1.18.0", "1.30.1", "1.31.0"]),
    ("CVE-2026-28755", ["1.27.2", "1.28.2", "1.29.6"], ["1.27.1", "1.28.3", "1.29.7", "1.30.0"]),
    ("CVE-2026-1642", ["1.18.0", "1.28.1", "1.29.4"], ["1.28.2", "1.28.3", "1.29.5", "1.30.0"]),
    ("CVE-2025-23419", ["1.18.0", "1.26.2", "1.27.3"], ["1.26.3", "1.27.4", "1.28.0"]),
    ("CVE-2021-23017", ["1.18.0", "1.20.0"], ["1.20.1", "1.20.2", "1.21.0"]),
]
CASES = [
    (cve, version, version in vulnerable)
    for cve, vulnerable, safe in RANGES
    for version in vulnerable + safe
]


def build(version: str, name: str = "wheel-1.31.3") -> Facts:
    major, minor, patch = map(int, version.split("."))
    return dataclasses.replace(facts_of(name), version=(major, minor, patch))


@pytest.mark.parametrize(("cve", "version", "vulnerable"), CASES)
def test_a_version_is_in_range_exactly_where_the_advisory_says(cve, version, vulnerable: bool):
    assert (cve in {one.cve for one in advisories_for(build(version))}) is vulnerable


def test_every_advisory_of_the_table_is_checked_above():
    assert [cve for cve, _, _ in RANGES] == [advisory.cve for advisory in ADVISORIES]


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda advisory: advisory.cve)
def test_each_advisory_is_consistent_with_itself(advisory):
    assert advisory.first <= advisory.last
    assert advisory.covers(advisory.first)
    assert advisory.covers(advisory.last)
    assert not any(advisory.covers(fix) for fix in advisory.fixed)


def test_an_advisory_about_a_module_leaves_builds_without_it_alone():
    with_it = build("1.30.0")
    without = dataclasses.replace(with_it, modules=with_it.modules - {"http_v2"})
    assert "CVE-2026-42926" in {one.cve for one in advisories_for(with_it)}
    assert "CVE-2026-42926" not in {one.cve for one in advisories_for(without)}
    loadable = dataclasses.replace(without, dynamic_modules=frozenset({"http_v2"}))
    assert "CVE-2026-42926" in {one.cve for one in advisories_for(loadable)}


def test_a_current_build_gets_no_finding():
    assert advisory_findings(build("1.31.3")) == ()
    assert advisory_findings(build("1.30.4")) == ()


def test_what_links_use_is_a_warning_and_what_handclasp_never_writes_an_info():
    warning, info = advisory_findings(build("1.28.1"))
    assert (warning.slug, warning.severity) == ("nginx-vulnerable", Severity.WARNING)
    assert "CVE-2026-1642" in warning.seen
    assert "CVE-2026-42533" not in warning.seen
    assert "CVE-2026-40701" not in warning.seen
    assert (info.slug, info.severity) == ("nginx-vulnerable", Severity.INFO)
    assert "CVE-2026-40701" in info.seen
    assert "handclasp writes none of these directives" in info.seen


@pytest.mark.parametrize("name", USABLE)
def test_no_build_is_ever_an_error(name: str):
    assert {finding.severity for finding in advisory_findings(facts_of(name))} <= {
        Severity.WARNING,
        Severity.INFO,
    }


def test_a_distribution_package_is_said_to_be_mended_perhaps():
    warning, *_ = advisory_findings(facts_of("debian-12-1.22.1"))
    assert "This looks like Debian's package" in warning.seen
    assert "without changing the version" in warning.seen
    assert "Debian's security notices" in warning.fix


def test_any_other_build_is_told_to_update_and_to_which_version():
    warning, *_ = advisory_findings(facts_of("self-built-1.20.1"))
    assert "package" not in warning.seen
    assert warning.fix == "Update to nginx 1.30.4 or 1.31.3, or newer."


def test_the_versions_named_have_none_of_the_faults_and_are_the_oldest_of_their_branch():
    for version in unaffected_versions(ADVISORIES):
        assert not any(advisory.covers(version) for advisory in ADVISORIES)
        major, minor, patch = version
        assert any(advisory.covers((major, minor, patch - 1)) for advisory in ADVISORIES)
