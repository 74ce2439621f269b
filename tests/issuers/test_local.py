"""`type: local`: the private CA of this project, as `handclasp ca init` makes it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from handclasp.ca.directory import Directory
from handclasp.ca.ledger import ISSUING
from handclasp.ca.names import constraint, constraints_of
from handclasp.ca.profile import Use, use_of
from handclasp.certs.secret import Secret
from handclasp.errors import UsageError
from handclasp.issuers.local import LocalIssuer, unusable
from handclasp.issuers.protocol import IssuerError
from tests import pki
from tests.ca.authority import make_authority
from tests.integration.running import handclasp
from tests.issuers.asking import sans, wanted
from tests.pki import NOW

if TYPE_CHECKING:
    from pathlib import Path

    from handclasp.issuers.protocol import Issued, Wanted

NAMES = ("dns:svc-b.internal", "uri:spiffe://example.org/svc-b")
DAY = timedelta(days=1)


def issuer(path: Path, *, password: bytes | None = None, now: datetime = NOW) -> LocalIssuer:
    return LocalIssuer(
        path, password=lambda: Secret(password) if password else None, now=lambda: now
    )


def ask(source: LocalIssuer, question: Wanted) -> Issued:
    return asyncio.run(source.issue(question))


def refusal(source: LocalIssuer, question: Wanted) -> IssuerError:
    with pytest.raises(IssuerError) as caught:
        ask(source, question)
    return caught.value


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("local"))


def test_what_is_asked_for_is_issued_and_recorded(path: Path) -> None:
    issued = ask(issuer(path), wanted(*NAMES, use=Use.BOTH, lifetime=DAY))
    leaf, above = issued.chain
    assert sans(leaf) == ["spiffe://example.org/svc-b", "svc-b.internal"]
    assert use_of(leaf) is Use.BOTH
    assert leaf.not_valid_after_utc == NOW + DAY
    assert leaf.public_key() == pki.key("asked").public_key()
    assert issued.key is None
    with Directory(path) as directory:
        assert above == directory.issuing.certificate
        leaf.verify_directly_issued_by(above)
        record = directory.ledger.by_serial(leaf.serial_number)
    assert record is not None
    assert record.certificate == leaf


def test_a_renewal_is_recorded_as_one(path: Path) -> None:
    first = ask(issuer(path), wanted(*NAMES)).chain[0]
    second = ask(issuer(path), wanted(*NAMES, current=first)).chain[0]
    stranger = pki.leaf(pki.authority(), sans=NAMES).certificate
    third = ask(issuer(path), wanted(*NAMES, current=stranger)).chain[0]
    with Directory(path) as directory:
        renews = [
            record.renews
            for leaf in (first, second, third)
            if (record := directory.ledger.by_serial(leaf.serial_number))
        ]
    assert renews == [None, first.serial_number, None]


def test_a_lifetime_beyond_the_cas_end_is_shortened(tmp_path: Path) -> None:
    short = make_authority(tmp_path, lifetime=2 * DAY)
    leaf, above = ask(issuer(short), wanted(*NAMES, lifetime=30 * DAY)).chain
    assert leaf.not_valid_after_utc == above.not_valid_after_utc


def test_names_that_the_ca_may_not_issue_for_are_refused_for_good(tmp_path: Path) -> None:
    constraints = constraints_of([constraint("dns", "example.org")], [])
    narrow = make_authority(tmp_path, constraints=constraints)
    error = refusal(issuer(narrow), wanted("dns:svc-b.internal"))
    assert "may not issue for" in error.message
    assert error.permanent
    assert len(ask(issuer(narrow), wanted("dns:svc-b.example.org")).chain) == 2


def test_a_ca_that_has_ended_is_refused(path: Path) -> None:
    error = refusal(issuer(path, now=NOW + 10_000 * DAY), wanted(*NAMES))
    assert "ended on" in error.message
    assert str(path) in error.message


@pytest.mark.parametrize("made", [True, False])
def test_a_directory_without_ca_is_refused(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "nothing"
    if made:
        folder.mkdir()
    error = refusal(issuer(folder), wanted(*NAMES))
    assert f"{folder} is not a CA" in error.message
    assert error.permanent
    assert isinstance(unusable(folder, NOW), UsageError)


def test_a_ca_with_a_password_issues_with_it_and_says_so_without(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    (tmp_path / "password").chmod(0o600)
    made = handclasp("ca", "init", "--name", "Example", "--password-file", "password", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    now = datetime.now(UTC) + timedelta(minutes=1)  # the CA was made just now
    ca = tmp_path / "ca"
    assert len(ask(issuer(ca, password=b"correct horse", now=now), wanted(*NAMES)).chain) == 2
    for password in (None, b"wrong"):
        error = refusal(issuer(ca, password=password, now=now), wanted(*NAMES))
        assert error.permanent
        assert error.hint is not None
        assert "`password: {file: PATH}`" in error.hint
        assert "correct horse" not in str(error)


def test_a_secret_that_cannot_be_read_is_told(path: Path) -> None:
    def unreadable() -> None:
        raise UsageError("environment variable X (a secret) is not set")

    source = LocalIssuer(path, password=unreadable, now=lambda: NOW)
    assert "environment variable X" in refusal(source, wanted(*NAMES)).message


def test_many_at_once_each_get_their_own(path: Path) -> None:
    async def many() -> list[Issued]:
        source = issuer(path)
        names = [f"dns:svc-{number}.internal" for number in range(40)]
        return await asyncio.gather(*(source.issue(wanted(name)) for name in names))

    serials = {one.chain[0].serial_number for one in asyncio.run(many())}
    assert len(serials) == 40
    with Directory(path) as directory:
        assert all(directory.ledger.by_serial(serial) for serial in serials)


def test_a_usable_ca_is_told_apart_without_its_key(path: Path) -> None:
    assert unusable(path, NOW) is None
    assert unusable(path, NOW + 10_000 * DAY) is not None


def test_a_ca_whose_key_is_gone_is_refused(tmp_path: Path) -> None:
    path = make_authority(tmp_path)
    (path / f"{ISSUING}.key").unlink()
    assert "issuing.key" in str(refusal(issuer(path), wanted(*NAMES)).__cause__)
