"""Every format to every other by the installed command, and what goes wrong on the way."""

from __future__ import annotations

import itertools
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from handclasp.certs.private_keys import spki
from handclasp.cli.cert import cert as command
from tests import pki
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

pytestmark = needs_openssl

PASSWORD = "pass word"
LOCK = ("--new-password-file", "pw")
UNLOCK = ("--password-file", "pw")

ROOT_A, ROOT_B = pki.authority("Root A"), pki.authority("Root B")
MIDDLE_A = pki.authority("Middle", issuer=ROOT_A, key_label="middle")
MIDDLE_B = pki.authority("Middle", issuer=ROOT_B, key_label="middle")
LEAF = pki.leaf(MIDDLE_A, "svc-b")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pw").write_text(PASSWORD + "\n")
    (tmp_path / "wrong").write_text("something else\n")
    for name in ("pw", "wrong"):
        (tmp_path / name).chmod(0o600)
    return tmp_path


def cert(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments)])


def fine(*arguments: str | Path) -> Result:
    done = cert(*arguments)
    assert done.exit_code == 0, (done.output, done.exception)
    return done


def refused(*arguments: str | Path) -> str:
    """What is raised for the main program to print."""
    done = cert(*arguments)
    assert done.exception is not None, done.output
    assert not isinstance(done.exception, SystemExit), done.output
    return str(done.exception)


def made(folder: Path, kind: str) -> tuple[bytes, bytes]:
    """leaf.pem and leaf.key by the openssl command; DER of the certificate and SPKI of the key."""
    options = {
        "rsa": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        "ed25519": ("-algorithm", "ED25519"),
        "pss": ("-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"),
    }
    key, own = folder / "leaf.key", folder / "leaf.pem"
    openssl("genpkey", *options[kind], "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-subj", f"/CN={kind}", "-days", "9", "-out", own)
    key.chmod(0o600)
    public = spki(load_pem_private_key(key.read_bytes(), None).public_key())
    return x509.load_pem_x509_certificate(own.read_bytes()).public_bytes(Encoding.DER), public


def judged(kind: str, path: Path) -> tuple[bytes | None, bytes | None]:
    """What the openssl command finds in a file: certificate (DER) and key (SPKI)."""
    opening = ("-passin", f"pass:{PASSWORD}")
    certificate = key = None
    if kind == "p12":
        pem = openssl("pkcs12", "-in", path, "-nodes", *opening)
        certificate, key = openssl("x509", "-outform", "DER", stdin=pem), openssl("pkey", stdin=pem)
    elif kind == "p7b":
        pem = openssl("pkcs7", "-in", path, "-print_certs")
        certificate = openssl("x509", "-outform", "DER", stdin=pem)
    elif kind == "cert der":
        certificate = openssl("x509", "-inform", "DER", "-in", path, "-outform", "DER")
    elif kind in ("key der", "pkcs8"):
        form = "PEM" if kind == "pkcs8" else "DER"
        key = openssl("pkey", "-inform", form, "-in", path, *opening)
    else:
        certificate = openssl("x509", "-in", path, "-outform", "DER")
        key = openssl("pkey", "-in", path, *opening)
    return certificate, spki(load_pem_private_key(key, None).public_key()) if key else None


PAIRS = ("pem", "p12")
CERTIFICATES = ("p7b", "cert der")
ALONE = ("pkcs8", "key der")


def to(kind: str) -> tuple[str, ...]:
    """The options for a format, everything with a key encrypted."""
    only = {"p7b": "--certificates-only", "cert der": "--certificates-only"}
    only |= {"pkcs8": "--key-only", "key der": "--key-only"}
    lock = () if kind in CERTIFICATES else LOCK
    return (
        "--to",
        kind.removeprefix("cert ").removeprefix("key "),
        *((only[kind],) if kind in only else ()),
        *lock,
    )


def ways() -> list[tuple[str, str]]:
    kinds = {*PAIRS, *CERTIFICATES, *ALONE}
    lost = {(a, b) for a in CERTIFICATES for b in (*PAIRS, *ALONE)}
    lost |= {(a, b) for a in ALONE for b in (*PAIRS, *CERTIFICATES)}
    return sorted(set(itertools.product(kinds, kinds)) - lost)


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_every_format_leads_to_every_other_that_can_hold_it(folder: Path, kind: str) -> None:
    certificate, key = made(folder, kind)
    for number, (first, second) in enumerate(ways()):
        one, two = folder / f"{number}.one", folder / f"{number}.two"
        fine("convert", "leaf.pem", "leaf.key", *to(first), "-o", one)
        fine("convert", one, *UNLOCK, *to(second), "-o", two)
        expected = (
            None if second in ALONE else certificate,
            None if second in CERTIFICATES else key,
        )
        assert judged(second, two) == expected, (first, second)
        private = second not in CERTIFICATES
        assert stat.S_IMODE(two.stat().st_mode) == (0o600 if private else 0o644)


@pytest.mark.parametrize("kind", ["p12", "pem", "pkcs8", "key der"])
def test_a_wrong_password_is_told_from_a_damaged_file_and_nothing_is_written(
    folder: Path, kind: str
) -> None:
    made(folder, "ec")
    fine("convert", "leaf.pem", "leaf.key", *to(kind), "-o", "locked")
    told = refused("convert", "locked", "--password-file", "wrong", *to(kind), "-o", "out")
    assert "does not open it" in told
    assert "something else" not in told
    whole = (folder / "locked").read_bytes()
    (folder / "locked").write_bytes(whole[: len(whole) // 2])
    told = refused("convert", "locked", *UNLOCK, *to(kind), "-o", "out")
    assert "does not open it" not in told
    assert not (folder / "out").exists()


def test_an_rsa_pss_key_is_refused_since_it_would_be_written_as_a_plain_one(folder: Path) -> None:
    made(folder, "pss")
    pair = ("leaf.pem", "leaf.key")
    for way in (("convert", *to("p12")), ("convert", *to("pem")), ("split",), ("bundle", "--key")):
        assert "RSA-PSS" in refused(way[0], *pair, *way[1:], "-o", "out")
        assert not (folder / "out").is_file()
    fine("convert", *pair, "--to", "pem", "--certificates-only", "-o", "out")


def test_an_rsa_pss_key_is_refused_without_its_certificate_as_well(folder: Path) -> None:
    made(folder, "pss")
    openssl("pkey", "-in", "leaf.key", "-outform", "DER", "-out", "der.key")
    for key in ("leaf.key", "der.key"):
        for target in ("pkcs8", "pem", "der", "p12"):
            assert "RSA-PSS" in refused("convert", key, *to(target), "-o", "out")
        assert "RSA-PSS" in refused("split", key, "-o", "out")
        assert not (folder / "out").exists()
    made(folder, "rsa")
    fine("convert", "leaf.key", "--to", "pkcs8", *LOCK, "-o", "out")


def test_a_password_file_that_everybody_may_read_is_warned_of(folder: Path) -> None:
    made(folder, "ec")
    pair = ("leaf.pem", "leaf.key")
    assert "secret-file-mode-too-wide" not in fine("convert", *pair, *to("p12"), "-o", "1").stderr
    (folder / "pw").chmod(0o644)
    for said in (
        fine("convert", *pair, *to("p12"), "-o", "2"),
        fine("convert", "2", *UNLOCK, "--to", "pem", "--no-password", "-o", "3"),
        fine("split", "2", *UNLOCK, "--no-password", "-o", "parts"),
        fine("bundle", "2", *UNLOCK),
    ):
        assert "secret-file-mode-too-wide" in said.stderr
        assert PASSWORD not in said.output


def test_der_of_several_names_them(folder: Path) -> None:
    (folder / "two.pem").write_bytes(LEAF.pem + ROOT_A.pem)
    told = refused("convert", "two.pem", "--to", "der", "-o", "out")
    assert "'CN=svc-b,O=Example Org', 'CN=Root A,O=Example Org'" in told
    assert "handclasp cert split" in told


def test_a_directory_that_may_not_be_written_is_said_to_be_so(folder: Path) -> None:
    (folder / "leaf.pem").write_bytes(LEAF.pem)
    # /proc takes no new files, not even root's.
    assert "/proc/out cannot be written" in refused(
        "convert", "leaf.pem", "--to", "pem", "-o", "/proc/out"
    )


def test_an_input_is_written_over_by_force_only(folder: Path) -> None:
    (folder / "leaf.pem").write_bytes(LEAF.pem)
    turned = ("convert", "leaf.pem", "--to", "der", "-o", "leaf.pem")
    assert "exists already" in refused(*turned)
    assert (folder / "leaf.pem").read_bytes() == LEAF.pem
    fine(*turned, "--force")
    assert (folder / "leaf.pem").read_bytes() == LEAF.der


# -- split --force


def test_split_replaces_by_force_and_keys_stay_private(folder: Path) -> None:
    (folder / "all.pem").write_bytes(LEAF.pem + LEAF.key_pem)
    (folder / "parts").mkdir()
    (folder / "parts" / "svc-b.key").write_text("old")
    assert "--force" in refused("split", "all.pem", "-o", "parts")
    assert (folder / "parts" / "svc-b.key").read_text() == "old"
    fine("split", "all.pem", "-o", "parts", "--force")
    assert (folder / "parts" / "svc-b.key").read_bytes() == LEAF.key_pem
    assert stat.S_IMODE((folder / "parts" / "svc-b.key").stat().st_mode) == 0o600
    assert sorted(path.name for path in (folder / "parts").iterdir()) == ["svc-b.key", "svc-b.pem"]


# -- bundle --key, --trust --with-root


def test_bundle_writes_the_key_of_the_leaf_when_asked(folder: Path) -> None:
    (folder / "all.pem").write_bytes(
        ROOT_A.key_pem + MIDDLE_A.pem + LEAF.encrypted_key_pem(PASSWORD.encode()) + LEAF.pem
    )
    (folder / "root.pem").write_bytes(ROOT_A.pem)
    files = ("all.pem", "root.pem", *UNLOCK)
    assert fine("bundle", *files).stdout_bytes == LEAF.pem + MIDDLE_A.pem
    assert "which is not printed" in refused("bundle", *files, "--key", "--no-password")
    assert "--no-password" in refused("bundle", *files, "--key", "-o", "out")
    assert not (folder / "out").exists()
    fine("bundle", *files, "--key", "--no-password", "-o", "out")
    assert (folder / "out").read_bytes() == LEAF.pem + MIDDLE_A.pem + LEAF.key_pem
    assert stat.S_IMODE((folder / "out").stat().st_mode) == 0o600


def test_bundle_with_key_but_without_a_key_that_fits_is_refused(folder: Path) -> None:
    (folder / "all.pem").write_bytes(LEAF.pem + MIDDLE_A.pem + ROOT_B.key_pem)
    assert "no private key of the leaf" in refused("bundle", "all.pem", "--key", "-o", "out")
    assert "left out: a private key" in fine("bundle", "all.pem").stderr


@pytest.mark.parametrize(
    ("trust", "middle", "root"), [("a", MIDDLE_A, ROOT_A), ("b", MIDDLE_B, ROOT_B)]
)
def test_the_root_that_is_put_at_the_end_is_the_trusted_one(
    folder: Path, trust: str, middle: pki.Pair, root: pki.Pair
) -> None:
    (folder / "all.pem").write_bytes(
        b"".join(one.pem for one in (LEAF, MIDDLE_A, MIDDLE_B, ROOT_A, ROOT_B))
    )
    (folder / "a").write_bytes(ROOT_A.pem)
    (folder / "b").write_bytes(ROOT_B.pem)
    said = fine("bundle", "all.pem", "--trust", trust, "--with-root").stdout_bytes
    assert said == LEAF.pem + middle.pem + root.pem
