"""`handclasp cert check`, the installed command; where OpenSSL has a say, it is asked too."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from handclasp.findings import Severity
from handclasp.keys.load import load_identity
from tests import pki
from tests.certs.identities import identity
from tests.certs.plain_nginx import refusal
from tests.certs.rewritten import for_pss_alone
from tests.certs.test_list_scopes import place
from tests.cli.test_documents import validate
from tests.integration.running import COMMAND, handclasp
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROOT = pki.authority("Root")
MIDDLE = pki.authority("Middle", issuer=ROOT)
LOWER = pki.authority("Lower", issuer=MIDDLE)
LEAF = pki.leaf(MIDDLE, "svc-b", sans=["dns:b.internal"])


def written(folder: Path, **files: bytes) -> None:
    """`leaf_pem=…` becomes leaf.pem, mode 0600."""
    for name, data in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(data)
        path.chmod(0o600)


def checked(folder: Path, *arguments: str, rc: int | None = None) -> dict[str, Any]:
    done = handclasp("cert", "check", *arguments, "--format", "json", cwd=folder)
    document: dict[str, Any] = validate("cert check", done.stdout)
    assert done.returncode == (rc if rc is not None else (0 if document["ok"] else 1)), done.stderr
    return document


def errors(document: dict[str, Any]) -> set[str]:
    return {one["slug"] for one in document["findings"] if one["severity"] == "error"}


def slugs(document: dict[str, Any]) -> set[str]:
    return {one["slug"] for one in document["findings"]}


def openssl_verifies(folder: Path, *arguments: str) -> bool:
    """`openssl verify` with root.pem as trust and chain.pem as what the peer sends along."""
    command = ["openssl", "verify", "-CAfile", "root.pem", "-untrusted", "chain.pem", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=20, check=False)
    return done.returncode == 0


def test_a_good_pair_is_said_to_be_good_with_its_end(tmp_path: Path) -> None:
    written(tmp_path, leaf_pem=LEAF.chain_pem, leaf_key=LEAF.key_pem, root_pem=ROOT.pem)
    arguments = ("leaf.pem", "leaf.key", "--for", "client", "--trust", "root.pem")
    document = checked(tmp_path, *arguments, "--name", "b.internal", rc=0)
    assert (document["ok"], document["usable"]) == (True, ["client"])
    assert document["skipped"] == ["revocation: no --crl was given"]
    said = handclasp("cert", "check", *arguments, cwd=tmp_path).stdout
    end = LEAF.certificate.not_valid_after_utc
    assert said.startswith(f"OK as client: 'CN=svc-b,O=Example Org', until {end:%Y-%m-%d %H:%M}")


def _incomplete() -> pki.Pair:
    """Of a chain of three CAs the lower intermediate is sent, the upper one is not."""
    pair = pki.leaf(LOWER)
    return pki.Pair(pair.certificate, pair.private_key, (LOWER, ROOT))


def _too_long() -> pki.Pair:
    short = pki.authority("Short", issuer=ROOT, path_length=0)
    return pki.leaf(pki.authority("Below", issuer=short))


def _unrecognized(oid: str, value: bytes = b"\x05\x00") -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


NS_TYPE = "2.16.840.1.113730.1.1"
_DAY = timedelta(days=1)
_NO_SIGNATURE = pki.key_usage(cert_sign=False, digital_signature=False, content_commitment=True)
ODD: dict[str, Callable[[], pki.Pair]] = {  # a leaf that is wrong in one way
    "cert-expired": lambda: pki.leaf(
        MIDDLE, not_before=pki.NOW - 3 * _DAY, not_after=pki.NOW - _DAY
    ),
    "cert-not-yet-valid": lambda: pki.leaf(MIDDLE, not_before=pki.NOW + timedelta(hours=1)),
    "wrong-eku-or-purpose": lambda: pki.leaf(MIDDLE, usages=[pki.SERVER]),
    "wrong-key-usage": lambda: pki.leaf(MIDDLE, usage=_NO_SIGNATURE),
    "key-too-small": lambda: pki.leaf(MIDDLE, key_kind="rsa1024"),
    "client-chain-incomplete": _incomplete,
    "path-length-exceeded": _too_long,
    "ca-not-a-ca": lambda: pki.leaf(pki.authority("Fake", issuer=ROOT, is_ca=False)),
    "ca-keyusage-missing-certsign": lambda: pki.leaf(
        pki.authority("Mute", issuer=ROOT, cert_sign=False)
    ),
    "name-constraint-violated": lambda: pki.leaf(_constrained(), sans=["dns:evil.test"]),
    "name-constraint-on-cn": lambda: pki.leaf(_constrained(), "evil.test"),
    "name-not-covered": lambda: LEAF,
    "verify-depth-too-low": lambda: pki.leaf(LOWER),
    "critical-extension-unknown": lambda: pki.with_extension(
        pki.leaf(MIDDLE), MIDDLE, _unrecognized("1.2.3.4.5")
    ),
    "old-type-of-a-server": lambda: pki.with_extension(
        pki.leaf(MIDDLE, usages=None), MIDDLE, _unrecognized(NS_TYPE, b"\x03\x02\x06\x40")
    ),
}
ASKED = {
    "name-not-covered": ("--name", "other.internal"),
    "verify-depth-too-low": ("--depth", "1"),
}


def _constrained() -> pki.Pair:
    """An intermediate that may issue for example.org only."""
    allowed = x509.NameConstraints([x509.DNSName("example.org")], None)
    return pki.with_extension(pki.authority("Narrow", issuer=ROOT), ROOT, allowed)


CASES = {  # case → slug, what makes `openssl verify` look at it
    "cert-expired": ("cert-expired", ()),
    "cert-not-yet-valid": ("cert-not-yet-valid", ()),
    "wrong-eku-or-purpose": ("wrong-eku-or-purpose", ("-purpose", "sslclient")),
    "wrong-key-usage": ("wrong-eku-or-purpose", ("-purpose", "sslclient")),
    "key-too-small": ("key-too-small", ("-auth_level", "2")),
    "client-chain-incomplete": ("client-chain-incomplete", ()),
    "path-length-exceeded": ("path-length-exceeded", ()),
    "ca-not-a-ca": ("ca-not-a-ca", ()),
    "ca-keyusage-missing-certsign": ("ca-keyusage-missing-certsign", ()),
    "name-constraint-violated": ("name-constraint-violated", ()),
    "name-constraint-on-cn": ("name-constraint-violated", ()),
    "name-not-covered": ("name-not-covered", ("-verify_hostname", "other.internal")),
    "verify-depth-too-low": ("verify-depth-too-low", ("-verify_depth", "1")),
    "critical-extension-unknown": ("critical-extension-unknown", ()),
    "old-type-of-a-server": ("wrong-eku-or-purpose", ("-purpose", "sslclient")),
}


@needs_openssl
@pytest.mark.parametrize("case", CASES)
def test_what_is_called_an_error_is_refused_by_openssl_and_the_good_one_is_not(
    tmp_path: Path, case: str
) -> None:
    pair, asked = ODD[case](), ASKED.get(case, ())
    slug, flags = CASES[case]
    written(
        tmp_path,
        leaf_pem=pair.chain_pem,
        leaf_key=pair.key_pem,
        root_pem=ROOT.pem,
        chain_pem=pair.chain_pem,
        good_pem=LEAF.chain_pem,
        good_key=LEAF.key_pem,
    )
    common = ("--for", "client", "--trust", "root.pem")
    assert errors(checked(tmp_path, "leaf.pem", "leaf.key", *common, *asked)) == {slug}
    assert not openssl_verifies(tmp_path, *flags, "leaf.pem")
    written(tmp_path, chain_pem=LEAF.chain_pem)
    assert errors(checked(tmp_path, "good.pem", "good.key", *common)) == set()
    harmless = () if case == "name-not-covered" else flags
    assert openssl_verifies(tmp_path, *harmless, "good.pem")


@needs_openssl
def test_revocation_and_the_lists_themselves_are_looked_at(tmp_path: Path) -> None:
    hour = timedelta(hours=1)
    stale = pki.crl(MIDDLE, last_update=pki.NOW - 3 * hour, next_update=pki.NOW - hour)
    written(
        tmp_path,
        leaf_pem=LEAF.chain_pem,
        leaf_key=LEAF.key_pem,
        root_pem=ROOT.pem + MIDDLE.pem,
        chain_pem=MIDDLE.pem,
        good_crl=pki.crl(ROOT) + pki.crl(MIDDLE),
        revoked_crl=pki.crl(ROOT) + pki.crl(MIDDLE, [LEAF]),
        stale_crl=pki.crl(ROOT) + stale,
        half_crl=pki.crl(MIDDLE),
    )
    common = ("leaf.pem", "leaf.key", "--for", "client", "--trust", "root.pem", "--crl")
    expected: dict[str, set[str]] = {
        "good.crl": set(),
        "revoked.crl": {"cert-revoked"},
        "stale.crl": {"crl-expired"},
        "half.crl": {"crl-missing-for-chain"},
    }
    for name, slugs_ in expected.items():
        document = checked(tmp_path, *common, name)
        assert errors(document) == slugs_
        assert not any(note.startswith("revocation") for note in document["skipped"])
        judged = openssl_verifies(tmp_path, "-crl_check_all", "-CRLfile", name, "leaf.pem")
        assert judged == (not slugs_)


def test_a_revoked_certificate_is_found_without_trust_too(tmp_path: Path) -> None:
    written(
        tmp_path,
        leaf_pem=LEAF.chain_pem,
        leaf_key=LEAF.key_pem,
        revoked_crl=pki.crl(MIDDLE, [LEAF]),
        good_crl=pki.crl(MIDDLE),
    )
    asked = ("leaf.pem", "leaf.key", "--for", "client", "--crl")
    assert errors(checked(tmp_path, *asked, "revoked.crl")) == {"cert-revoked"}
    good = checked(tmp_path, *asked, "good.crl", rc=0)
    assert any("needs --trust" in note for note in good["skipped"])


def test_what_is_given_twice_is_told(tmp_path: Path) -> None:
    written(tmp_path, leaf_pem=LEAF.chain_pem, same_pem=LEAF.pem, leaf_key=LEAF.key_pem)
    document = checked(tmp_path, "leaf.pem", "same.pem", "leaf.key", "--for", "client", rc=0)
    (finding,) = [one for one in document["findings"] if one["slug"] == "certificate-given-twice"]
    assert finding["where"]["file"] == "leaf.pem, same.pem"
    once = checked(tmp_path, "leaf.pem", "leaf.key", "--for", "client", rc=0)
    assert "certificate-given-twice" not in slugs(once)


@needs_openssl
@pytest.mark.parametrize("case", ["root-expired", "middle-expired", "middle-no-ca", "root-purpose"])
def test_authorities_that_only_the_trust_has_are_judged_where_they_are_on_the_way(
    tmp_path: Path, case: str
) -> None:
    past = {"not_before": pki.NOW - 3 * _DAY, "not_after": pki.NOW - _DAY}
    root = pki.authority(
        "R",
        **(past if case == "root-expired" else {}),  # type: ignore[arg-type]
        usages=[pki.SERVER] if case == "root-purpose" else None,
    )
    middle = pki.authority(
        "M",
        issuer=root,
        is_ca=case != "middle-no-ca",
        **(past if case == "middle-expired" else {}),  # type: ignore[arg-type]
    )
    leaf = pki.leaf(middle)
    # A good root beside it must not make up for the bad one.
    written(
        tmp_path,
        leaf_pem=leaf.pem,
        leaf_key=leaf.key_pem,
        root_pem=root.pem + middle.pem + ROOT.pem,
        chain_pem=b"",
    )
    document = checked(tmp_path, "leaf.pem", "leaf.key", "--for", "client", "--trust", "root.pem")
    expected = {"middle-no-ca": "ca-not-a-ca", "root-purpose": "wrong-eku-or-purpose"}
    assert expected.get(case, "cert-expired") in errors(document)
    (tmp_path / "chain.pem").write_bytes(middle.pem)
    assert not openssl_verifies(tmp_path, "-purpose", "sslclient", "leaf.pem")


@needs_openssl
def test_lists_have_to_cover_what_is_sent_along_and_nothing_else(tmp_path: Path) -> None:
    part = x509.IssuingDistributionPoint(None, None, False, True, None, False, False)
    other = pki.authority("Middle", issuer=ROOT, key_label="another key")
    lists = {
        "whole": (pki.crl(ROOT) + pki.crl(MIDDLE), None),
        "root-only": (pki.crl(ROOT), "crl-missing-for-chain"),
        "part": (pki.crl(ROOT) + pki.crl(MIDDLE, extensions=[part]), "crl-not-usable"),
        "odd": (
            pki.crl(ROOT) + pki.crl(MIDDLE, extensions=[_unrecognized("1.2.3.4")]),
            "crl-not-usable",
        ),
        "forged": (pki.crl(ROOT) + pki.crl(MIDDLE, [LEAF], signer=other), "crl-signature-invalid"),
    }
    written(
        tmp_path,
        leaf_pem=LEAF.chain_pem,
        leaf_key=LEAF.key_pem,
        root_pem=ROOT.pem,
        chain_pem=MIDDLE.pem,
    )
    for name, (data, slug) in lists.items():
        (tmp_path / name).write_bytes(data)
        asked = ("leaf.pem", "leaf.key", "--for", "client", "--crl", name)
        with_trust = errors(checked(tmp_path, *asked, "--trust", "root.pem"))
        assert (slug in with_trust) if slug else not with_trust, (name, with_trust)
        assert "cert-revoked" not in with_trust
        judged = openssl_verifies(tmp_path, "-crl_check_all", "-CRLfile", name, "leaf.pem")
        assert judged is (slug is None), name
        alone = errors(checked(tmp_path, *asked))
        assert alone == ({slug} if slug and slug != "crl-missing-for-chain" else set()), name


def test_a_list_out_of_date_is_said_without_trust_too(tmp_path: Path) -> None:
    old = pki.crl(MIDDLE, last_update=pki.NOW - 3 * _DAY, next_update=pki.NOW - _DAY)
    written(tmp_path, leaf_pem=LEAF.chain_pem, leaf_key=LEAF.key_pem, old_crl=old)
    asked = ("leaf.pem", "leaf.key", "--for", "client", "--crl", "old.crl")
    assert errors(checked(tmp_path, *asked)) == {"crl-expired"}


def test_the_leaf_is_found_among_keys_and_certificates_in_any_order(tmp_path: Path) -> None:
    old = pki.leaf(
        MIDDLE, "same", not_before=pki.NOW - 9 * _DAY, not_after=pki.NOW - _DAY, sans=["dns:same"]
    )
    new = pki.leaf(MIDDLE, "same", sans=["dns:same"])
    written(
        tmp_path,
        root_key=ROOT.key_pem,
        root_pem=ROOT.pem,
        old_pem=old.pem,
        new_pem=new.pem,
        new_key=new.key_pem,
        middle_pem=MIDDLE.pem,
    )
    files = ("root.key", "root.pem", "old.pem", "new.pem", "new.key", "middle.pem")
    for order in (files, files[::-1]):
        assert checked(tmp_path, *order, "--for", "client", rc=0)["ok"]


def test_of_an_intermediate_that_was_issued_again_the_newer_one_is_taken(tmp_path: Path) -> None:
    gone = pki.authority(
        "Middle", issuer=ROOT, not_after=pki.NOW - _DAY, not_before=pki.NOW - 9 * _DAY
    )
    written(
        tmp_path,
        leaf_pem=LEAF.pem + gone.pem + MIDDLE.pem,
        leaf_key=LEAF.key_pem,
        root_pem=ROOT.pem,
    )
    document = checked(tmp_path, "leaf.pem", "leaf.key", "--for", "client", "--trust", "root.pem")
    assert errors(document) == set()


def test_depth_counts_the_way_that_is_gone(tmp_path: Path) -> None:
    """As with a cross-signed root: sent along, and not needed by whoever knows it."""
    old = pki.authority("Old root")
    crossed = pki.authority("Root", issuer=old)
    written(
        tmp_path,
        leaf_pem=LEAF.pem + MIDDLE.pem + crossed.pem,
        leaf_key=LEAF.key_pem,
        root_pem=ROOT.pem,
        old_pem=old.pem,
    )
    asked = ("leaf.pem", "leaf.key", "--for", "client", "--trust")
    assert "verify-depth-too-low" not in slugs(checked(tmp_path, *asked, "root.pem", rc=0))
    assert "verify-depth-too-low" in slugs(checked(tmp_path, *asked, "old.pem", rc=0))


def test_who_may_do_what_to_a_key_file_is_told_right(tmp_path: Path) -> None:
    written(tmp_path, leaf_pem=LEAF.chain_pem, leaf_key=LEAF.key_pem)
    for mode, words in (
        (0o644, "everybody may read it"),
        (0o666, "everybody may change or read it"),
    ):
        (tmp_path / "leaf.key").chmod(mode)
        assert words in handclasp("cert", "check", "leaf.pem", "leaf.key", cwd=tmp_path).stdout


def test_nothing_in_a_certificate_steers_the_terminal(tmp_path: Path) -> None:
    name = x509.SubjectAlternativeName([x509.DNSName._init_without_validation("\x1b[2Jevil\x9b1m")])
    odd = pki.with_extension(pki.leaf(MIDDLE, usages=[pki.SERVER]), MIDDLE, name, critical=False)
    written(tmp_path, odd_pem=odd.pem)
    for command in (("show", "odd.pem"), ("check", "odd.pem", "--name", "x")):
        leader, follower = pty.openpty()
        subprocess.run(
            [str(COMMAND), "cert", *command], cwd=tmp_path, stdout=follower, timeout=20, check=False
        )
        os.close(follower)
        said = b""
        with contextlib.suppress(OSError):
            while data := os.read(leader, 65536):
                said += data
        os.close(leader)
        assert b"evil" in said
        assert b"\x1b[2J" not in said
        assert b"\\x1b[2Jevil" in said


def test_a_server_is_asked_for_its_names(tmp_path: Path) -> None:
    server = pki.leaf(MIDDLE, "a", sans=["dns:a.example.com", "dns:10.0.0.1"], usages=[pki.SERVER])
    nameless = pki.leaf(MIDDLE, "a.example.com", usages=[pki.SERVER])
    written(
        tmp_path,
        a_pem=server.chain_pem,
        a_key=server.key_pem,
        n_pem=nameless.chain_pem,
        n_key=nameless.key_pem,
    )
    good = checked(tmp_path, "a.pem", "a.key", "--name", "a.example.com", rc=0)
    assert good["roles"] == ["server"]  # from the extended key usage
    assert "san-ip-as-dns" in slugs(good)
    assert errors(checked(tmp_path, "a.pem", "a.key", "--name", "10.0.0.1")) == {"san-ip-as-dns"}
    assert errors(checked(tmp_path, "a.pem", "a.key", "--name", "b.example.com")) == {
        "name-not-covered"
    }
    assert "san-missing" in errors(checked(tmp_path, "n.pem", "n.key"))


def test_a_ca_certificate_is_no_identity_of_either_side(tmp_path: Path) -> None:
    for is_ca, client, server in ((True, True, True), (False, False, False)):
        pair = pki.leaf(MIDDLE, "x", sans=["dns:x"], usages=None, is_ca=is_ca)
        written(tmp_path, x_pem=pair.chain_pem, x_key=pair.key_pem)
        told = slugs(checked(tmp_path, "x.pem", "x.key", "--for", "client"))
        assert ("ca-used-as-client-identity" in told) is client
        told = slugs(checked(tmp_path, "x.pem", "x.key", "--for", "server"))
        assert ("ca-used-as-server-identity" in told) is server


def test_a_spiffe_id_is_compared_whole(tmp_path: Path) -> None:
    pair = pki.leaf(MIDDLE, "b", sans=["uri:spiffe://example.org/b"])
    written(tmp_path, b_pem=pair.chain_pem, b_key=pair.key_pem)
    checked(tmp_path, "b.pem", "b.key", "--name", "spiffe://example.org/b", rc=0)
    document = checked(tmp_path, "b.pem", "b.key", "--name", "spiffe://example.org/bb")
    assert errors(document) == {"spiffe-san-mismatch"}


def test_without_a_role_both_are_looked_at_and_told_apart(tmp_path: Path) -> None:
    anything = pki.leaf(MIDDLE, "any", usages=None)
    written(tmp_path, x_pem=anything.chain_pem, x_key=anything.key_pem)
    document = checked(tmp_path, "x.pem", "x.key", rc=1)
    assert (document["roles"], document["usable"]) == (["client", "server"], ["client"])
    assert "same-cert-both-roles" in slugs(document)
    said = handclasp("cert", "check", "x.pem", "x.key", cwd=tmp_path).stdout
    assert "OK as client" in said
    assert "NOT usable as server: 1 error" in said
    assert said.index("As server:") < said.index("[san-missing]", said.index("As server:"))


def test_the_version_of_the_peer_decides_what_is_too_weak(tmp_path: Path) -> None:
    weak = pki.leaf(MIDDLE, "weak", key_kind="rsa1024")
    written(tmp_path, w_pem=weak.chain_pem, w_key=weak.key_pem)
    asked = ("w.pem", "w.key", "--for", "client", "--peer-openssl")
    for version, severity in (("1.0.2", "warning"), ("3.0.2", "warning"), ("3.2", "error")):
        document = checked(tmp_path, *asked, version)
        (found,) = [one for one in document["findings"] if one["slug"] == "key-too-small"]
        assert found["severity"] == severity
    done = handclasp("cert", "check", *asked, "newest", cwd=tmp_path)
    assert (done.returncode, "is not a version" in done.stderr) == (2, True)


@needs_openssl
def test_sha1_is_refused_from_openssl_3_on_at_level_1(tmp_path: Path) -> None:
    key, request = tmp_path / "s.key", tmp_path / "s.csr"
    written(tmp_path, ca_pem=ROOT.pem, ca_key=ROOT.key_pem)
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-subj", "/CN=s"),
        *("-out", request),
    )
    openssl(
        *("x509", "-req", "-in", request, "-CA", tmp_path / "ca.pem", "-sha1"),
        *("-CAkey", tmp_path / "ca.key", "-out", tmp_path / "s.pem"),
    )
    key.chmod(0o600)
    expected = {"1.1.1": "warning", "3.0": "error", "3.2": "error"}
    for version, severity in expected.items():
        document = checked(tmp_path, "s.pem", "s.key", "--peer-openssl", version, "--for", "client")
        (found,) = [one for one in document["findings"] if one["slug"] == "digest-too-weak"]
        assert found["severity"] == severity, version


def test_a_version_1_certificate_is_warned_of(tmp_path: Path) -> None:
    old = pki.version_1(LEAF, MIDDLE)
    written(tmp_path, v1_pem=old.chain_pem, v3_pem=LEAF.chain_pem, key=LEAF.key_pem)
    document = checked(tmp_path, "v1.pem", "key", "--for", "client", rc=0)
    (found,) = [one for one in document["findings"] if one["slug"] == "x509-strict-violation"]
    assert (found["severity"], "is of version 1" in found["seen"]) == ("warning", True)
    document = checked(tmp_path, "v3.pem", "key", "--for", "client", rc=0)
    assert "x509-strict-violation" not in slugs(document)


def test_what_is_missing_or_swapped_is_named(tmp_path: Path) -> None:
    other = pki.leaf(MIDDLE, "other", key_label="another")
    written(
        tmp_path,
        leaf_pem=LEAF.chain_pem,
        leaf_key=LEAF.key_pem,
        other_key=other.key_pem,
        request_csr=pki.request(LEAF),
        locked_key=LEAF.encrypted_key_pem(b"pw"),
        pw=b"pw\n",
    )
    common = ("--for", "client")
    alone = checked(tmp_path, "leaf.pem", *common, rc=0)
    assert "the private key: none was given" in alone["skipped"]
    assert errors(checked(tmp_path, "leaf.pem", "other.key", *common)) == {"key-cert-mismatch"}
    # With both keys the one that fits is taken.
    checked(tmp_path, "other.key", "leaf.key", "leaf.pem", *common, rc=0)
    request = checked(tmp_path, "request.csr", "leaf.key", *common, rc=2)
    assert errors(request) == {"csr-given-as-cert"}
    locked = checked(tmp_path, "leaf.pem", "locked.key", *common)
    assert errors(locked) == {"key-encrypted-no-passphrase"}
    checked(tmp_path, "leaf.pem", "locked.key", "--password-file", "pw", *common, rc=0)


def test_an_rsa_key_with_a_factor_that_is_no_prime_is_found_out(tmp_path: Path) -> None:
    """Its numbers fit together, so that reading it, which skips the tests for primes, takes it."""
    p, q = 3 * 5 * (2**1021 - 17 + 2), pki.key("leaf r", kind="rsa2048").private_numbers().q  # type: ignore[union-attr]
    e, phi = 65537, (p - 1) * (q - 1)
    d = pow(e, -1, phi)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    )
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    written(tmp_path, leaf_pem=LEAF.chain_pem, x_key=pem)
    assert "key-unreadable" in errors(checked(tmp_path, "leaf.pem", "x.key"))
    with pytest.raises(AssertionError, match=r"not prime|invalid"):
        openssl("pkey", "-in", tmp_path / "x.key", "-check", "-noout")
    good = pki.leaf(MIDDLE, "r", key_kind="rsa2048")
    written(tmp_path, r_pem=good.chain_pem, r_key=good.key_pem)
    checked(tmp_path, "r.pem", "r.key", "--for", "client", rc=0)


def test_modes_of_key_and_password_files_are_looked_at(tmp_path: Path) -> None:
    written(tmp_path, leaf_pem=LEAF.chain_pem, leaf_key=LEAF.encrypted_key_pem(b"pw"), pw=b"pw\n")
    asked = ("leaf.pem", "leaf.key", "--for", "client", "--password-file", "pw")
    assert errors(checked(tmp_path, *asked)) == set()
    (tmp_path / "leaf.key").chmod(0o644)
    (tmp_path / "pw").chmod(0o644)
    document = checked(tmp_path, *asked)
    assert errors(document) == {"key-file-mode-too-wide"}
    assert "secret-file-mode-too-wide" in slugs(document)


def test_the_order_of_the_file_and_strangers_in_it_are_told(tmp_path: Path) -> None:
    stranger = pki.leaf(ROOT, "stranger")
    written(
        tmp_path,
        leaf_pem=MIDDLE.pem + LEAF.pem + ROOT.pem + stranger.pem,
        leaf_key=LEAF.key_pem,
    )
    document = checked(tmp_path, "leaf.pem", "leaf.key", "--for", "client", rc=1)
    assert {"chain-order-wrong", "chain-contains-root", "unrelated-certificate"} <= slugs(document)
    assert errors(document) == {"chain-order-wrong"}


def test_a_file_that_nginx_does_not_start_with_is_an_error_and_in_a_spec_it_is_served(
    tmp_path: Path, nginx_build: Path
) -> None:
    written(tmp_path, a_pem=MIDDLE.pem + LEAF.pem, a_key=LEAF.key_pem)
    directives = f"ssl_certificate {tmp_path}/a.pem; ssl_certificate_key {tmp_path}/a.key;"
    assert "key values mismatch" in refusal(nginx_build, tmp_path, directives)
    document = checked(tmp_path, "a.pem", "a.key", "--for", "client", rc=1)
    (finding,) = [one for one in document["findings"] if one["slug"] == "chain-order-wrong"]
    assert "handclasp cert bundle" in finding["fix"]
    handclasp("cert", "bundle", "a.pem", "-o", "chain.pem", cwd=tmp_path)
    checked(tmp_path, "chain.pem", "a.key", "--for", "client", rc=0)
    directives = directives.replace("a.pem", "chain.pem")
    assert refusal(nginx_build, tmp_path, directives) == ""
    loaded = load_identity("a", certificate=tmp_path / "a.pem", key=tmp_path / "a.key")
    (told,) = [one for one in loaded.findings if one.slug == "chain-order-wrong"]
    assert told.severity is Severity.WARNING
    # In a file that starts with its leaf the rest may be in any order: peers sort it out.
    written(tmp_path, b_pem=LEAF.pem + ROOT.pem + MIDDLE.pem)
    assert "chain-order-wrong" not in errors(checked(tmp_path, "b.pem", "a.key", rc=0))


def test_a_key_of_another_rsa_kind_than_its_certificate_is_no_pair(tmp_path: Path) -> None:
    plain = pki.leaf(MIDDLE, "rsa", key_kind="rsa2048")
    pss = for_pss_alone(plain, MIDDLE)
    key = identity(pss).key_pem().reveal()
    written(tmp_path, plain_pem=plain.chain_pem, plain_key=plain.key_pem)
    written(tmp_path, pss_pem=pss.chain_pem, pss_key=key)
    pkcs1 = plain.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
    )
    written(tmp_path, pkcs1_key=pkcs1)
    for certificate, keys in (("plain", ("plain", "pkcs1")), ("pss", ("pss",))):
        for one in ("plain", "pkcs1", "pss"):
            document = checked(tmp_path, f"{certificate}.pem", f"{one}.key", "--for", "client")
            assert ("key-cert-mismatch" in errors(document)) is (one not in keys)
            assert document["ok"] is (one in keys)


def test_the_systems_cas_are_called_so(tmp_path: Path) -> None:
    written(tmp_path, leaf_pem=LEAF.chain_pem, other_pem=pki.authority("Other").pem)
    said = handclasp("cert", "check", "leaf.pem", "--trust", "system", cwd=tmp_path).stdout
    assert "nor in the CAs of this system" in said
    said = handclasp("cert", "check", "leaf.pem", "--trust", "other.pem", cwd=tmp_path).stdout
    assert "nor in the trust given" in said
    assert "'the trust given'" not in said


def test_a_list_for_a_part_is_judged_by_the_leaf_that_is_asked_about(tmp_path: Path) -> None:
    part = [place("http://crl/part")]
    point = x509.IssuingDistributionPoint(part[0], None, False, False, None, False, False)
    points = x509.CRLDistributionPoints([x509.DistributionPoint(part[0], None, None, None)])
    inside = pki.with_extension(pki.leaf(ROOT), ROOT, points, critical=False)
    written(tmp_path, root_pem=ROOT.pem, list_pem=pki.crl(ROOT, extensions=[point]))
    written(tmp_path, in_pem=inside.pem, out_pem=pki.leaf(ROOT).pem)
    written(tmp_path, whole_pem=pki.crl(ROOT, number=2))
    asked = ("--for", "client", "--crl", "list.pem")
    assert "crl-not-usable" in errors(checked(tmp_path, "out.pem", *asked, "--trust", "root.pem"))
    assert "crl-not-usable" in errors(checked(tmp_path, "out.pem", "root.pem", *asked))
    assert "crl-not-usable" not in slugs(checked(tmp_path, "in.pem", *asked))
    healed = (*asked, "--crl", "whole.pem", "--trust", "root.pem")
    assert "crl-not-usable" not in slugs(checked(tmp_path, "in.pem", *healed, rc=0))


def test_depth_is_measured_against_the_default_of_nginx(tmp_path: Path) -> None:
    deep = pki.leaf(LOWER, "deep")
    written(tmp_path, d_pem=deep.chain_pem, d_key=deep.key_pem, root_pem=ROOT.pem)
    asked = ("d.pem", "d.key", "--for", "client", "--trust", "root.pem")
    assert "verify-depth-too-low" in slugs(checked(tmp_path, *asked, rc=0))
    assert "verify-depth-too-low" not in slugs(checked(tmp_path, *asked, "--depth", "2", rc=0))
    shallow = checked(tmp_path, "d.pem", "d.key", "--for", "client", "--depth", "4", rc=0)
    assert "verify-depth-too-low" not in slugs(shallow)


def test_a_fresh_certificate_comes_with_a_word_about_clocks(tmp_path: Path) -> None:
    fresh = pki.leaf(MIDDLE, "fresh", not_before=pki.NOW)
    written(tmp_path, f_pem=fresh.chain_pem, f_key=fresh.key_pem)
    when = (pki.NOW + timedelta(seconds=30)).isoformat()
    document = checked(tmp_path, "f.pem", "f.key", "--for", "client", "--at", when, rc=0)
    assert "clock-skew" in slugs(document)
    later = (pki.NOW + timedelta(hours=2)).isoformat()
    document = checked(tmp_path, "f.pem", "f.key", "--for", "client", "--at", later, rc=0)
    assert "clock-skew" not in slugs(document)


def test_the_date_is_the_one_given(tmp_path: Path) -> None:
    written(tmp_path, leaf_pem=LEAF.chain_pem, leaf_key=LEAF.key_pem)
    asked = ("leaf.pem", "leaf.key", "--for", "client", "--at")
    assert errors(checked(tmp_path, *asked, "2099-01-01")) >= {"cert-expired"}
    assert (
        LEAF.certificate.public_bytes(Encoding.PEM)
        == (tmp_path / "leaf.pem").read_bytes()[: len(LEAF.pem)]
    )


def test_files_without_a_certificate_are_not_understood(tmp_path: Path) -> None:
    written(tmp_path, noise=b"\x00\x01\x02")
    document = checked(tmp_path, "noise", rc=2)
    assert document["ok"] is False
    assert "Not understood" in handclasp("cert", "check", "noise", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("b.internal:8443", "b.internal"),
        ("b.internal/status", "b.internal"),
        ("b.internal:8443/status", "b.internal"),
        ("[b.internal]", "b.internal"),
        ("[::1]:443", "::1"),
        ("10.0.0.1:443", "10.0.0.1"),
    ],
)
def test_a_name_with_what_no_certificate_has_is_refused_with_the_name_that_is_meant(
    tmp_path: Path, given: str, meant: str
) -> None:
    written(tmp_path, leaf_pem=LEAF.pem)
    done = handclasp("cert", "check", "leaf.pem", "--name", given, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"give {meant}\n" in done.stderr
    for whole in ("", ":8443", "/"):
        done = handclasp("cert", "check", "leaf.pem", "--name", whole, cwd=tmp_path)
        assert (done.returncode, "is no name" in done.stderr) == (2, True)


def test_addresses_and_uris_of_any_scheme_are_names(tmp_path: Path) -> None:
    sans = ["ip:10.0.0.1", "ip:fd00::1", "dns:b.org", "uri:urn:uuid:1", "uri:https://b.internal/me"]
    written(tmp_path, leaf_pem=pki.leaf(ROOT, sans=sans).pem)
    for name in (
        "10.0.0.1",
        "fd00::1",
        "[fd00::1]",
        "urn:uuid:1",
        "https://b.internal/me",
        "b.org",
    ):
        for role in ("client", "server"):
            document = checked(tmp_path, "leaf.pem", "--for", role, "--name", name)
            assert not slugs(document) & {"name-not-covered", "ip-san-missing"}
    for url in ("https://b.org/", "https://b.org:8443", "HTTPS://me@b.org?x"):
        document = checked(tmp_path, "leaf.pem", "--for", "client", "--name", url, rc=1)
        (finding,) = [one for one in document["findings"] if one["slug"] == "name-not-covered"]
        assert "--name b.org:" in finding["fix"]
    for uri in ("spiffe://b.org/x", "urn:uuid:2", "https://[", "https:///"):
        document = checked(tmp_path, "leaf.pem", "--for", "client", "--name", uri, rc=1)
        assert "--name" not in document["findings"][0]["fix"]
