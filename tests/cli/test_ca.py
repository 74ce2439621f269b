"""`handclasp ca` as it is typed: what it writes, what it says, what it refuses and how it ends."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from handclasp.backend.certificate import serial_text
from handclasp.cli.documents import document_schema
from handclasp.cli.main import _run
from tests import pki
from tests.integration.running import handclasp
from tests.openssl import needs_openssl, openssl

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

CA = ("--directory", "ca", "--password-file", "pw")
THE_CA = ("--directory", "ca", "--issuing-ca", "--reason")
Said = tuple[int, str, str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("pw", "secret\n"), ("root-pw", "other secret\n")):
        Path(name).write_text(text)
        Path(name).chmod(0o600)
    return tmp_path


@pytest.fixture
def run(folder: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`handclasp ca …` in this process: exit code, stdout, stderr."""

    def call(*arguments: str | Path) -> Said:
        code = _run(["ca", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def ca(run: Callable[..., Said]) -> Callable[..., Said]:
    """The same, with a CA made."""
    code, out, _ = run("init", "--name", "Example Org", *CA, "--permit-dns", "example.internal")
    assert (code, out) == (0, "ca/root.pem\n")
    return run


def _leaf(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(Path(path).read_bytes())[0]


def _serial(path: str) -> str:
    return serial_text(_leaf(path).serial_number)


def _request(
    path: str,
    *,
    key: CertificateIssuerPrivateKeyTypes | None = None,
    names: tuple[str, ...] = (),
    common_name: str = "csr.example.internal",
) -> CertificateIssuerPrivateKeyTypes:
    signer = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.dn(common_name))
    if names:
        alternatives = x509.SubjectAlternativeName([pki.general_name(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    Path(path).write_bytes(builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM))
    return signer


def _listed(run: Callable[..., Said], *arguments: str) -> list[dict[str, Any]]:
    code, out, err = run("list", "--directory", "ca", "--format", "json", *arguments)
    assert code == 0, err
    document = json.loads(out)
    jsonschema.Draft202012Validator(document_schema("ca list")).validate(document)
    certificates: list[dict[str, Any]] = document["certificates"]
    return certificates


def _age_ca(*, days: int) -> None:
    """Takes time away: the CA's certificates get replaced by ones that ended."""
    from handclasp.ca.creation import Wishes, make_certificates
    from handclasp.ca.newkeys import new_key

    keys = {role: new_key("p256") for role in ("root", "issuing")}
    wishes = Wishes(organisation="Old", root_lifetime=timedelta(days=1), lifetime=timedelta(days=1))
    made = make_certificates(
        wishes,
        datetime.now(UTC).replace(microsecond=0) - timedelta(days=days),
        root_key=keys["root"],
        issuing_key=keys["issuing"].public_key(),
    )
    database = sqlite3.connect("ca/ledger.sqlite")
    for role, certificate in made.items():
        data = certificate.public_bytes(Encoding.DER)
        database.execute("UPDATE authorities SET certificate = ? WHERE role = ?", (data, role))
    database.commit()
    database.close()


def test_a_ca_is_its_owners_alone_and_its_keys_are_encrypted(ca: Callable[..., Said]) -> None:
    assert Path("ca").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in Path("ca").iterdir()} == {
        *("root.pem", "root.key", "issuing.pem", "issuing.key", "ledger.sqlite")
    }
    for name in ("root.key", "issuing.key", "ledger.sqlite"):
        assert Path("ca", name).stat().st_mode & 0o777 == 0o600
    for role in ("root", "issuing"):
        data = Path("ca", f"{role}.key").read_bytes()
        assert b"BEGIN ENCRYPTED PRIVATE KEY" in data
        assert (
            load_pem_private_key(data, b"secret").public_key()
            == _leaf(f"ca/{role}.pem").public_key()
        )


def test_the_root_may_have_a_password_of_its_own(run: Callable[..., Said]) -> None:
    assert run("init", "--name", "X", *CA, "--root-password-file", "root-pw")[0] == 0
    load_pem_private_key(Path("ca/root.key").read_bytes(), b"other secret")
    load_pem_private_key(Path("ca/issuing.key").read_bytes(), b"secret")
    assert run("crl", *CA)[0] == 2
    assert run("crl", *CA, "--root-password-file", "root-pw")[0] == 0


def test_unencrypted_keys_must_be_spelled(run: Callable[..., Said]) -> None:
    code, _, err = run("init", "--name", "X", "--directory", "ca")
    assert code == 2
    assert "--no-password" in err
    assert not Path("ca").exists()
    assert run("init", "--name", "X", *CA, "--no-password")[0] == 2
    assert run("init", "--name", "X", "--no-password")[0] == 0
    load_pem_private_key(Path("ca/root.key").read_bytes(), None)


@pytest.mark.parametrize("there", ["file", "directory"])
def test_a_ca_is_never_written_over(run: Callable[..., Said], there: str) -> None:
    if there == "file":
        Path("ca").write_text("mine")
    else:
        Path("ca").mkdir()
        Path("ca/mine").write_text("mine")
    code, _, err = run("init", "--name", "X", *CA)
    assert (code, "exists already" in err) == (2, True)
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []
    assert (Path("ca") if there == "file" else Path("ca/mine")).read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lifetime", "20y"), "outlive the root"),
        (("--lifetime", "ten"), "not a duration"),
        (("--lifetime", "10s"), "shorter than a minute"),
        (("--root-lifetime", "60y"), "50y"),
        (("--permit-dns", "a b"), "not a host name"),
        (("--permit-ip", "10.0.0.1/8"), "not a network"),
        (("--exclude", "example.com"), "no kind of name"),
        (("--constrain-root",), "something to constrain"),
        (("--crl-url", "nowhere"), "not a URI"),
        (("--key", "rsa1024"), "rsa1024"),
        (("--name", "x" * 45), "1 to 44"),
        (("--name", " "), "1 to 44"),
        (("--name", "X "), "1 to 44"),
    ],
)
def test_what_makes_no_ca_is_refused_in_a_sentence(
    run: Callable[..., Said], arguments: tuple[str, ...], said: str
) -> None:
    code, _, err = run("init", "--name", "X", *CA, *arguments)
    assert code == 2
    assert said in err
    assert not Path("ca").exists()


def test_constraints_go_into_the_root_where_that_is_wanted(run: Callable[..., Said]) -> None:
    wanted = ("--permit-dns", "example.internal", "--exclude", "ip:0.0.0.0/0", "--constrain-root")
    assert run("init", "--name", "X", *CA, *wanted)[0] == 0
    for role in ("root", "issuing"):
        limits = _leaf(f"ca/{role}.pem").extensions.get_extension_for_class(x509.NameConstraints)
        assert limits.critical
        assert limits.value.permitted_subtrees == [x509.DNSName("example.internal")]
        excluded = limits.value.excluded_subtrees or []
        assert [str(one.value) for one in excluded] == ["0.0.0.0/0"]


def test_a_certificate_comes_with_its_chain_and_its_key(ca: Callable[..., Said]) -> None:
    code, out, err = ca("issue", "a.example.internal", *CA, "--use", "both", "-o", "out")
    assert (code, out) == (0, "out/a.example.internal.pem\nout/a.example.internal.key\n"), err
    leaf, issuing = x509.load_pem_x509_certificates(Path("out/a.example.internal.pem").read_bytes())
    assert issuing == _leaf("ca/issuing.pem")
    leaf.verify_directly_issued_by(issuing)
    key = Path("out/a.example.internal.key")
    assert key.stat().st_mode & 0o777 == 0o600
    assert load_pem_private_key(key.read_bytes(), None).public_key() == leaf.public_key()
    assert _serial("out/a.example.internal.pem") in err


def test_every_kind_of_name_gets_into_the_certificate(ca: Callable[..., Said]) -> None:
    names = ("--dns", "*.example.internal", "--ip", "2001:db8::1", "--email", "a@example.org")
    spiffe = ("--uri", "spiffe://example.internal/svc-b")
    assert ca("issue", "svc-b", *CA, *names, *spiffe)[0] == 0
    row = _listed(ca)[-1]
    assert row["sans"] == [
        *("dns:*.example.internal", "ip:2001:db8::1"),
        *("uri:spiffe://example.internal/svc-b", "email:a@example.org"),
    ]
    assert (row["name"], row["use"], row["state"]) == ("svc-b", "client", "valid")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Service B",), "no DNS name"),
        ((" a.example.internal",), "begins or ends blank"),
        (("a_b.example.internal",), "no DNS name"),
        (("a.example.internal", "--ip", "300.1.1.1"), "not an IP address"),
        (("a.example.internal", "--dns", "*.internal"), "two labels"),
        (("a.example.internal", "--uri", "spiffe://Example/a"), "lower-case"),
        (("a.example.internal", "--uri", "spiffe://e/a/"), "no slash"),
        (("a.example.internal", "--uri", "spiffe://e/a", "--uri", "https://e/"), "no other URI"),
        (("a.example.internal", "--email", "nobody"), "not an e-mail"),
        (("a.example.internal", "--lifetime", "0d"), "longer than 0"),
        ((), "give the NAME"),
        (("a.example.internal", "--csr-names"), "needs --csr"),
    ],
)
def test_what_makes_no_certificate_is_refused_in_a_sentence(
    ca: Callable[..., Said], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = ca("issue", *CA, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(_listed(ca)) == 2


@pytest.mark.parametrize("name", ["a.example.com", "example.internal.evil.test"])
def test_a_name_the_constraints_forbid_is_refused_before_signing(
    ca: Callable[..., Said], name: str
) -> None:
    code, _, err = ca("issue", name, *CA)
    assert code == 1
    assert "[name-constraint-violated]" in err
    assert name in err
    assert len(_listed(ca)) == 2
    assert not Path(f"{name}.key").exists()


@needs_openssl
def test_a_common_name_that_looks_like_a_dns_name_is_held_to_the_constraints(
    ca: Callable[..., Said],
) -> None:
    """By OpenSSL where it has dots, by Java always: what would be refused for it has none."""
    spiffe = ("--uri", "spiffe://example.internal/a")
    for name in ("v1.0", "svc-b", "Service v1.0"):
        assert ca("issue", name, *CA, *spiffe)[0] == 0, name
    for path in ("v1.0.pem", "svc-b.pem", "Service-v1.0.pem"):
        chain = ("-CAfile", "ca/root.pem", "-untrusted", "ca/issuing.pem")
        assert b": OK" in openssl("verify", *chain, path)


def test_a_leaf_is_not_taken_for_its_ca(ca: Callable[..., Said]) -> None:
    common = _leaf("ca/issuing.pem").subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    code, _, err = ca("issue", str(common[0].value), *CA, "--dns", "a.example.internal")
    assert (code, "[leaf-and-ca-same-subject]" in err) == (1, True)
    key = load_pem_private_key(Path("ca/issuing.key").read_bytes(), b"secret")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    _request("r.csr", key=key)
    code, _, err = ca("issue", "a.example.internal", *CA, "--csr", "r.csr")
    assert (code, "[csr-key-unsuitable]" in err) == (1, True)
    assert len(_listed(ca)) == 2


def test_what_cannot_be_printed_is_no_name_and_reaches_no_terminal(ca: Callable[..., Said]) -> None:
    code, _, err = ca("issue", "a\x1b[2J", *CA, "--dns", "a.example.internal")
    assert (code, "cannot be printed" in err, "\x1b" in err) == (2, True, False)
    _request("r.csr", names=("uri:x\x1b[2J",))
    code, _, err = ca("issue", "a.example.internal", *CA, "--csr", "r.csr")
    assert (code, "\x1b" in err) == (0, False)


def test_a_password_file_that_others_may_read_is_told(ca: Callable[..., Said]) -> None:
    Path("pw").chmod(0o644)
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[secret-file-mode-too-wide]" in err) == (0, True)


def test_an_empty_password_is_none(run: Callable[..., Said]) -> None:
    Path("pw").write_text("\n")
    code, _, err = run("init", "--name", "X", *CA)
    assert (code, "is empty" in err, Path("ca").exists()) == (2, True, False)


def test_a_lifetime_is_cut_at_the_issuers_end_or_refused_when_it_was_asked_for(
    run: Callable[..., Said],
) -> None:
    assert run("init", "--name", "X", *CA, "--lifetime", "30d")[0] == 0
    code, _, err = run("issue", "a.example.internal", *CA, "--lifetime", "40d")
    assert (code, "[lifetime-beyond-issuer]" in err) == (1, True)
    code, _, err = run("issue", "a.example.internal", *CA)
    assert (code, "ends with the issuing CA" in err) == (0, True)
    end = _leaf("ca/issuing.pem").not_valid_after_utc
    assert _leaf("a.example.internal.pem").not_valid_after_utc == end
    assert run("issue", "b.example.internal", *CA, "--lifetime", "2h")[0] == 0
    left = _leaf("b.example.internal.pem").not_valid_after_utc - datetime.now(UTC)
    assert timedelta(hours=1, minutes=58) < left <= timedelta(hours=2)


@pytest.mark.parametrize("taken", ["pem", "key"])
def test_nothing_that_exists_is_written_over(ca: Callable[..., Said], taken: str) -> None:
    path = Path(f"a.example.internal.{taken}")
    path.write_text("mine")
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "exists already" in err) == (2, True)
    assert path.read_text() == "mine"
    assert len(_listed(ca)) == 2
    assert len(list(Path().glob("a.example.internal.*"))) == 1


def test_of_a_request_the_key_is_taken_and_the_rest_dropped_aloud(ca: Callable[..., Said]) -> None:
    key = _request("r.csr", names=("dns:other.example.internal",))
    code, out, err = ca("issue", "a.example.internal", *CA, "--csr", "r.csr")
    assert (code, out) == (0, "a.example.internal.pem\n")
    for dropped in ("dns:other.example.internal", "basicConstraints", "O=Example Org"):
        assert dropped in err.partition("dropped")[2]
    leaf = _leaf("a.example.internal.pem")
    assert leaf.public_key() == key.public_key()
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert _listed(ca)[-1]["sans"] == ["dns:a.example.internal"]


def test_names_of_requests_are_taken_where_that_is_asked_for(ca: Callable[..., Said]) -> None:
    _request("a.csr", names=("dns:a2.example.internal",), common_name="a.example.internal")
    _request("b.csr", names=("ip:192.0.2.1",), common_name="b.example.internal")
    code, out, err = ca("issue", *CA, "--csr", "a.csr", "--csr", "b.csr", "--csr-names")
    assert (code, out) == (0, "a.example.internal.pem\nb.example.internal.pem\n"), err
    assert [row["sans"] for row in _listed(ca)[2:]] == [
        ["dns:a.example.internal", "dns:a2.example.internal"],
        ["dns:b.example.internal", "ip:192.0.2.1"],
    ]


def test_names_of_a_request_are_held_to_the_constraints_too(ca: Callable[..., Said]) -> None:
    _request("a.csr", names=("dns:a.example.com",), common_name="a.example.internal")
    code, _, err = ca("issue", *CA, "--csr", "a.csr", "--csr-names")
    assert (code, "[name-constraint-violated]" in err) == (1, True)


def _tampered() -> None:
    _request("r.csr", common_name="csr.example.internal")
    der = x509.load_pem_x509_csr(Path("r.csr").read_bytes()).public_bytes(Encoding.DER)
    Path("r.csr").write_bytes(der.replace(b"csr.example", b"cSr.example"))


def _broken_extension() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bad = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, b"\x30\x03\x82\x01")
    builder = x509.CertificateSigningRequestBuilder().subject_name(pki.dn("a"))
    builder = builder.add_extension(bad, critical=False)
    Path("r.csr").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    ("make", "code", "slug"),
    [
        (_tampered, 1, "csr-signature-invalid"),
        (
            lambda: _request("r.csr", key=rsa.generate_private_key(65537, 1024)),
            1,
            "csr-key-unsuitable",
        ),
        (
            lambda: _request("r.csr", key=ec.generate_private_key(ec.SECP256K1())),
            1,
            "csr-key-unsuitable",
        ),
        (_broken_extension, 2, "certificate-unreadable"),
        (lambda: Path("r.csr").write_bytes(b"\x00" * 50), 2, "not-pem"),
        (lambda: Path("r.csr").write_bytes(Path("ca/root.pem").read_bytes()), 2, "csr-unusable"),
        (lambda: None, 2, "file-not-found"),
    ],
)
def test_a_request_that_cannot_be_used_is_told_why(
    ca: Callable[..., Said], make: Callable[[], object], code: int, slug: str
) -> None:
    make()
    done, _, err = ca("issue", "a.example.internal", *CA, "--csr", "r.csr")
    assert (done, f"[{slug}]" in err) == (code, True), err
    assert len(_listed(ca)) == 2


def test_renewal_keeps_key_names_use_and_span(ca: Callable[..., Said]) -> None:
    names = ("--ip", "192.0.2.1", "--use", "both", "--lifetime", "10d")
    assert ca("issue", "a.example.internal", *CA, *names)[0] == 0
    old = _leaf("a.example.internal.pem")
    assert ca("renew", "a.example.internal", *CA)[0] == 2, "it is written over"
    assert ca("renew", "a.example.internal.pem", *CA, "--force")[0] == 0
    new = _leaf("a.example.internal.pem")
    assert new.serial_number != old.serial_number
    assert new.public_key() == old.public_key()
    rows = _listed(ca)
    for same in ("sans", "use", "name", "subject"):
        assert rows[-1][same] == rows[-2][same]
    assert rows[-1]["renews"] == serial_text(old.serial_number)
    spans = [one.not_valid_after_utc - one.not_valid_before_utc for one in (old, new)]
    assert spans[0] == spans[1]


def test_renewal_is_shortened_to_the_issuers_end_and_says_so(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("init", "--name", "X", *CA, "--lifetime", "30d")[0] == 0
    assert run("issue", "a.example.internal", *CA, "--lifetime", "20d")[0] == 0
    code, _, err = run("renew", "a.example.internal.pem", *CA, "--force")
    assert (code, "note: " in err) == (0, False)
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(days=15)
    monkeypatch.setattr("handclasp.agent.clock.SystemClock.now", lambda _: later)
    code, _, err = run("renew", "a.example.internal.pem", *CA, "--force")
    assert (code, "ends with the issuing CA" in err) == (0, True)
    end = _leaf("ca/issuing.pem").not_valid_after_utc
    assert _leaf("a.example.internal.pem").not_valid_after_utc == end
    code, _, err = run("renew", "a.example.internal.pem", *CA, "--force", "--lifetime", "20d")
    assert (code, "[lifetime-beyond-issuer]" in err) == (1, True)


def test_a_password_is_asked_for_where_somebody_can_answer(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from handclasp.certs.secret import Secret

    asked = []

    def answer(prompt: str, **_: object) -> Secret[bytes]:
        asked.append(prompt)
        return Secret(b"secret")

    monkeypatch.setattr("handclasp.cli.ca.options.asked_secret", answer)
    assert ca("issue", "a.example.internal", "--directory", "ca")[0] == 0
    assert ca("crl", "--directory", "ca")[0] == 0
    assert asked == 2 * ["Password of the issuing key"], "the root has the same one"
    monkeypatch.setattr("handclasp.cli.ca.init.asked_secret", answer)
    assert ca("init", "--name", "X", "--directory", "other")[0] == 0
    load_pem_private_key(Path("other/root.key").read_bytes(), b"secret")


def test_a_root_password_of_its_own_is_asked_for_too(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from handclasp.certs.secret import Secret

    asked = []
    answers = {"issuing": "secret", "root": "wrong"}

    def answer(prompt: str, **_: object) -> Secret[bytes]:
        role = prompt.split()[-2]
        asked.append(role)
        return Secret(answers[role].encode())

    assert run("init", "--name", "X", *CA, "--root-password-file", "root-pw")[0] == 0
    monkeypatch.setattr("handclasp.cli.ca.options.asked_secret", answer)
    code, _, err = run("crl", "--directory", "ca")
    assert (code, "right password of the root key with --root-password-file" in err) == (2, True)
    answers["root"] = "other secret"
    assert run("crl", "--directory", "ca")[0] == 0
    assert asked == 2 * ["issuing", "root"]


@pytest.mark.parametrize("kind", ["p384", "rsa2048", "ed25519"])
def test_renewal_with_a_new_key_makes_one_of_the_same_kind(
    ca: Callable[..., Said], kind: str
) -> None:
    from handclasp.ca.newkeys import kind_of_key

    assert ca("issue", "a.example.internal", *CA, "--key-type", kind)[0] == 0
    assert ca("renew", _serial("a.example.internal.pem"), *CA, "--new-key", "-o", "new")[0] == 0
    old, new = _leaf("a.example.internal.pem"), _leaf("new/a.example.internal.pem")
    assert kind_of_key(old.public_key()) == kind_of_key(new.public_key()) == kind
    assert old.public_key() != new.public_key()
    assert ca("renew", "a.example.internal", *CA, "--new-key", "--force")[0] == 2


def test_a_revoked_key_is_not_certified_again(ca: Callable[..., Said]) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    serial = _serial("a.example.internal.pem")
    assert ca("revoke", serial, "--directory", "ca", "--reason", "superseded")[0] == 0
    code, _, err = ca("renew", serial, *CA, "-o", "new")
    assert (code, "--new-key" in err) == (2, True)
    assert ca("renew", serial, *CA, "-o", "new", "--new-key")[0] == 0


def test_what_is_revoked_is_listed_and_refused(ca: Callable[..., Said]) -> None:
    for name in ("a", "b"):
        assert ca("issue", f"{name}.example.internal", *CA)[0] == 0
    serial = _serial("a.example.internal.pem")
    code, out, err = ca(
        "revoke", "a.example.internal.pem", "--directory", "ca", "--reason", "keyCompromise"
    )
    assert (code, out) == (0, f"{serial}\n")
    assert "ca crl" in err
    assert ca("crl", *CA)[:2] == (0, "ca/crl.pem\n")
    assert [row["serial"] for row in _listed(ca, "--revoked")] == [serial]
    assert _listed(ca, "--expired") == []
    row = _listed(ca)[2]
    assert (row["state"], row["reason"]) == ("revoked", "keyCompromise")
    assert [serial, "a.example.internal"] in [
        line.split()[:2] for line in ca("list", "--directory", "ca")[1].splitlines()
    ]


@needs_openssl
def test_openssl_refuses_the_revoked_one_and_takes_the_other(ca: Callable[..., Said]) -> None:
    for name in ("a", "b"):
        assert ca("issue", f"{name}.example.internal", *CA)[0] == 0
    assert ca("revoke", "a.example.internal", "--directory", "ca", "--reason", "superseded")[0] == 0
    assert ca("crl", *CA)[0] == 0
    verify = ("verify", "-x509_strict", "-crl_check_all", "-CRLfile", "ca/crl.pem")
    chain = ("-CAfile", "ca/root.pem", "-untrusted", "ca/issuing.pem")
    assert b": OK" in openssl(*verify, *chain, "b.example.internal.pem")
    assert b": OK" not in openssl(*verify, *chain, "a.example.internal.pem", ok=False)


def test_other_certificates_of_a_stolen_key_are_named(ca: Callable[..., Said]) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    first = _serial("a.example.internal.pem")
    assert ca("renew", "a.example.internal.pem", *CA, "--force")[0] == 0
    second = _serial("a.example.internal.pem")
    code, _, err = ca("revoke", "a.example.internal", "--directory", "ca", "--reason", "superseded")
    assert code == 2, "the name was issued twice"
    assert first in err
    assert second in err
    _, _, err = ca("revoke", second, "--directory", "ca", "--reason", "keyCompromise")
    assert f"{first} has the same key" in err


def test_revoking_twice_is_no_error_and_changes_nothing(ca: Callable[..., Said]) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    command = ("revoke", _serial("a.example.internal.pem"), "--directory", "ca", "--reason")
    assert ca(*command, "superseded")[0] == 0
    before = _listed(ca)
    assert ca(*command, "superseded")[0] == 0
    assert ca(*command, "keyCompromise")[0] == 2
    assert _listed(ca) == before


def test_what_was_not_issued_here_cannot_be_revoked(ca: Callable[..., Said]) -> None:
    pki.leaf(pki.authority()).write(Path(), "stranger")
    for which in ("1234", "nobody", "stranger.pem", "pw", "ca/root.pem"):
        code, _, err = ca("revoke", which, "--directory", "ca", "--reason", "superseded")
        assert code == 2, which
        assert err.startswith("error: ")
    assert ca("revoke", "1234", "--directory", "ca", "--reason", "certificateHold")[0] == 2
    assert _listed(ca, "--revoked") == []


def test_a_revoked_issuing_ca_issues_nothing_and_is_on_the_roots_list(
    ca: Callable[..., Said],
) -> None:
    assert ca("revoke", "ca/issuing.pem", *THE_CA, "cACompromise")[0] == 0
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[cert-revoked]" in err) == (1, True)
    assert ca("crl", *CA)[0] == 0
    crl = x509.load_der_x509_crl(Path("ca/root.crl").read_bytes())
    assert [one.serial_number for one in crl] == [_leaf("ca/issuing.pem").serial_number]


def test_list_numbers_rise_and_the_next_update_is_as_asked(ca: Callable[..., Said]) -> None:
    spans = ("--next-update", "2d", "--root-next-update", "180d")
    for number in (1, 2):
        assert ca("crl", *CA, *spans, "-o", "lists.pem")[:2] == (0, "lists.pem\n")
        for role, days in (("issuing", 2), ("root", 180)):
            crl = x509.load_der_x509_crl(Path(f"ca/{role}.crl").read_bytes())
            found = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
            assert found == number
            assert crl.next_update_utc is not None
            assert (crl.next_update_utc - crl.last_update_utc).days == days
    assert Path("lists.pem").read_text().count("BEGIN X509 CRL") == 2


def test_the_root_may_be_away_while_its_list_is_good(ca: Callable[..., Said]) -> None:
    root_key = Path("ca/root.key")
    root_key.rename("safe")
    code, _, err = ca("crl", *CA)
    assert (code, "[ca-key-not-here]" in err) == (1, True)
    Path("safe").rename(root_key)
    assert ca("crl", *CA)[0] == 0
    root_key.rename("safe")
    code, _, err = ca("crl", *CA)
    assert (code, "serves until" in err) == (0, True)
    assert ca("revoke", "ca/issuing.pem", *THE_CA, "superseded")[0] == 0
    code, _, err = ca("crl", *CA)
    assert (code, "lacks a CA that was revoked" in err) == (1, True)


@pytest.mark.parametrize("command", ["issue", "renew", "crl"])
def test_a_wrong_or_missing_password_is_told(ca: Callable[..., Said], command: str) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    name = () if command == "crl" else ("a.example.internal", "-o", "new")
    code, _, err = ca(command, *name, "--directory", "ca", "--password-file", "root-pw")
    assert (code, "[key-wrong-passphrase]" in err) == (2, True)
    code, _, err = ca(command, *name, "--directory", "ca")
    assert (code, "[key-encrypted-no-passphrase]" in err) == (2, True)
    code, _, err = ca(command, *name, *CA, "--password-env", "X")
    assert (code, "not both" in err) == (2, True)
    assert "secret" not in err
    assert len(_listed(ca)) == 3


def test_a_password_may_come_from_the_environment(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CA_PASSWORD", "secret")
    command = ("issue", "a.example.internal", "--directory", "ca", "--password-env", "CA_PASSWORD")
    assert ca(*command)[0] == 0


def test_a_missing_or_foreign_key_is_told(ca: Callable[..., Said]) -> None:
    key = Path("ca/issuing.key")
    mine = key.read_bytes()
    key.unlink()
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[file-not-found]" in err) == (3, True)
    key.write_bytes(Path("ca/root.key").read_bytes())
    key.chmod(0o600)
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[key-cert-mismatch]" in err) == (2, True)
    key.write_bytes(mine)
    key.chmod(0o644)
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[key-file-mode-too-wide]" in err) == (2, True)


@pytest.mark.parametrize(
    "command", ["issue x.example", "renew x", "crl", "list", "revoke x --reason superseded"]
)
def test_a_directory_that_is_no_ca_is_told(run: Callable[..., Said], command: str) -> None:
    code, _, err = run(*command.split())
    assert (code, "there is no such directory" in err) == (2, True)
    Path("ca").mkdir()
    code, _, err = run(*command.split())
    assert (code, "not a CA" in err) == (2, True)


def test_a_ca_whose_time_has_not_come_or_is_over_issues_nothing(ca: Callable[..., Said]) -> None:
    _age_ca(days=-1)
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[clock-skew]" in err) == (1, True)
    _age_ca(days=3)
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "[cert-expired]" in err) == (1, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_may_not_be_written_is_read_and_not_written_to(
    ca: Callable[..., Said],
) -> None:
    Path("ca").chmod(0o500)
    Path("ca/ledger.sqlite").chmod(0o400)
    try:
        assert len(_listed(ca)) == 2
        assert ca("issue", "a.example.internal", *CA)[0] == 3
        assert not list(Path().glob("a.example.internal.*"))
    finally:
        Path("ca").chmod(0o700)


def test_a_ledger_that_may_not_be_written_leaves_no_key_behind(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from handclasp.ca.ledger import Ledger
    from handclasp.errors import EnvironmentFault

    def refuse(*_: object) -> None:
        raise EnvironmentFault("attempt to write a readonly database")

    monkeypatch.setattr(Ledger, "record", refuse)
    code, out, err = ca("issue", "a.example.internal", *CA)
    assert (code, out) == (3, "")
    assert "readonly" in err
    assert not list(Path().glob("*a.example.internal*"))


def test_the_installed_command_does_it_all(folder: Path) -> None:
    for command in (
        ("init", "--name", "Example Org", *CA),
        ("issue", "a.example", *CA),
        ("renew", "a.example", *CA, "-o", "new"),
        ("revoke", "new/a.example.pem", "--directory", "ca", "--reason", "superseded"),
        ("crl", *CA),
        ("list", "--directory", "ca"),
    ):
        done = handclasp("ca", *command, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert "secret" not in done.stdout + done.stderr
    assert done.stdout.count("\n") == 5
    assert "revoked: superseded" in done.stdout


def _files(*names: str) -> dict[str, bytes]:
    return {name: Path(name).read_bytes() for name in names}


def test_renewal_replaces_no_certificate_of_another_key(ca: Callable[..., Said]) -> None:
    assert ca("issue", "s.example.internal", *CA, "-o", "s")[0] == 0
    assert ca("renew", "s.example.internal", *CA, "--new-key", "-o", "new")[0] == 0
    before = _files("s/s.example.internal.pem", "s/s.example.internal.key")
    code, _, err = ca("renew", "s.example.internal", *CA, "--force", "-o", "s")
    assert (code, "has another key" in err) == (2, True), err
    assert _files(*before) == before
    assert len(_listed(ca)) == 4
    assert ca("renew", "s.example.internal", *CA, "--force", "-o", "new")[0] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("precious", "no certificate"),
        ("", "no certificate"),
        ("stranger", "not issued by this CA"),
        ("with key", "holds a private key"),
        ("directory", "directory"),
    ],
)
def test_renewal_replaces_nothing_else(ca: Callable[..., Said], content: str, said: str) -> None:
    assert ca("issue", "s.example.internal", *CA)[0] == 0
    path = Path("out/s.example.internal.pem")
    path.parent.mkdir()
    if content == "directory":
        path.mkdir()
    elif content == "stranger":
        pki.leaf(pki.authority()).write(Path(), "stranger")
        path.write_bytes(Path("stranger.pem").read_bytes())
    elif content == "with key":
        pair = _files("s.example.internal.pem", "s.example.internal.key")
        path.write_bytes(b"".join(pair.values()))
    else:
        path.write_text(content)
    before = path.read_bytes() if path.is_file() else None
    code, _, err = ca("renew", "s.example.internal", *CA, "--force", "-o", "out")
    assert (code, said in err) == (2, True), err
    assert (path.read_bytes() if path.is_file() else None) == before
    assert len(_listed(ca)) == 3


def test_a_leaf_called_issuing_does_not_replace_the_issuing_ca(ca: Callable[..., Said]) -> None:
    assert ca("issue", "issuing", *CA, "--dns", "i.example.internal", "-o", "out")[0] == 0
    before = _files("ca/issuing.pem")
    code, _, err = ca("renew", "issuing", *CA, "--force", "-o", "ca")
    assert (code, "is not replaced" in err) == (2, True)
    assert _files("ca/issuing.pem") == before


def test_a_file_is_renewed_where_it_is_and_a_name_where_it_is_told(ca: Callable[..., Said]) -> None:
    assert ca("issue", "api.example.internal", *CA, "-o", "api")[0] == 0
    Path("api/api.example.internal.pem").rename("api/web.pem")
    for which in ("api.example.internal", _serial("api/web.pem")):
        code, _, err = ca("renew", which, *CA, "--force")
        assert (code, "-o" in err) == (2, True)
    assert not list(Path().glob("*.pem"))
    code, _, err = ca("renew", "api/web.pem", *CA)
    assert (code, "--force" in err) == (2, True)
    old = _serial("api/web.pem")
    assert ca("renew", "api/web.pem", *CA, "--force")[:2] == (0, "api/web.pem\n")
    assert _serial("api/web.pem") != old
    assert {path.name for path in Path("api").iterdir()} == {"web.pem", "api.example.internal.key"}


def test_a_kind_of_key_that_is_not_made_here_is_asked_for(ca: Callable[..., Said]) -> None:
    _request("r.csr", key=ec.generate_private_key(ec.SECP521R1()))
    assert ca("issue", "a.example.internal", *CA, "--csr", "r.csr")[0] == 0
    renewal = ("renew", "a.example.internal", *CA, "-o", "new", "--new-key")
    code, _, err = ca(*renewal)
    assert (code, "--key-type" in err) == (2, True), err
    assert ca(*renewal, "--key-type", "p384")[0] == 0
    assert _leaf("new/a.example.internal.pem").public_key().key_size == 384  # type: ignore[union-attr]
    assert ca(*renewal[:-1], "--key-type", "p384")[0] == 2


def test_a_stolen_key_is_certified_no_more(ca: Callable[..., Said]) -> None:
    key = _request("r.csr")
    for folder in ("one", "two"):
        assert ca("issue", "a.example.internal", *CA, "--csr", "r.csr", "-o", folder)[0] == 0
    stolen = ("--directory", "ca", "--reason", "keyCompromise")
    assert ca("revoke", "one/a.example.internal.pem", *stolen)[0] == 0
    _request("again.csr", key=key)
    code, _, err = ca("issue", "b.example.internal", *CA, "--csr", "again.csr")
    assert (code, "[csr-key-unsuitable]" in err, "others have the key" in err) == (1, True, True)
    code, _, err = ca("renew", "two/a.example.internal.pem", *CA, "-o", "three")
    assert (code, "[csr-key-unsuitable]" in err) == (1, True)
    assert ca("issue", "b.example.internal", *CA)[0] == 0


def test_a_key_without_its_certificate_is_told_as_such(ca: Callable[..., Said]) -> None:
    Path("a.example.internal.key").write_text("")
    code, _, err = ca("issue", "a.example.internal", *CA)
    assert (code, "no certificate beside it" in err, "--csr" in err) == (2, True, True)


def test_drafts_of_killed_runs_are_removed_and_nothing_else(ca: Callable[..., Said]) -> None:
    stay = {".a.example.internal.key.mine", ".b.example.internal.key.0123456789abcdef"}
    for name in (*stay, ".a.example.internal.key.0123456789abcdef"):
        Path(name).write_text("")
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    assert {path.name for path in Path().glob(".*")} == stay


def test_revoking_a_name_twice_says_since_when(ca: Callable[..., Said]) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    command = ("revoke", "a.example.internal", "--directory", "ca", "--reason", "superseded")
    assert ca(*command)[0] == 0
    code, _, err = ca(*command)
    assert (code, "is revoked since" in err) == (0, True)


def test_revoking_a_ca_by_its_role_says_what_can_be_done(ca: Callable[..., Said]) -> None:
    reason = ("--directory", "ca", "--reason", "cACompromise")
    code, _, err = ca("revoke", "root", *reason)
    assert (code, "a root cannot be revoked" in err) == (2, True)
    code, _, err = ca("revoke", "issuing", *reason)
    assert (code, "add --issuing-ca" in err) == (2, True)
    assert _listed(ca, "--revoked") == []
    assert ca("revoke", "root", *reason, "--issuing-ca")[0] == 2
    assert ca("revoke", "issuing", *reason, "--issuing-ca")[0] == 0
    assert ca("revoke", "issuing", *reason)[0] == 0, (
        "it is revoked already, which is all that is said"
    )


def test_what_holds_no_certificate_is_told_as_what_it_is(ca: Callable[..., Said]) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    Path("folder").mkdir()
    for which, said in (("folder", "directory"), ("a.example.internal.key", "a private key")):
        code, _, err = ca("revoke", which, "--directory", "ca", "--reason", "superseded")
        assert (code, said in err) == (2, True), err


def test_a_serial_of_another_ca_is_not_taken_for_ours(ca: Callable[..., Said]) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    ours = _leaf("a.example.internal.pem")
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateBuilder(
        issuer_name=ours.issuer,
        subject_name=ours.subject,
        public_key=key.public_key(),
        serial_number=ours.serial_number,
        not_valid_before=ours.not_valid_before_utc,
        not_valid_after=ours.not_valid_after_utc,
    )
    Path("twin.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    code, _, err = ca("revoke", "twin.pem", "--directory", "ca", "--reason", "superseded")
    assert (code, "was not issued by" in err) == (2, True)
    twin = Path("twin.pem").rename("a.example.internal.pem").read_bytes()
    code, _, err = ca("renew", "a.example.internal", *CA, "--force", "-o", ".")
    assert (code, "was not issued by this CA" in err) == (2, True)
    assert Path("a.example.internal.pem").read_bytes() == twin


@pytest.mark.parametrize("place", ["ca/root.key", "pw", "ca/root.pem", "ca/issuing.crl", "folder"])
def test_lists_replace_nothing_but_lists(ca: Callable[..., Said], place: str) -> None:
    Path("folder").mkdir()
    assert ca("crl", *CA)[0] == 0
    before = Path(place).read_bytes() if Path(place).is_file() else None
    code, out, err = ca("crl", *CA, "-o", place)
    assert (code, out) == (2, ""), err
    assert (Path(place).read_bytes() if Path(place).is_file() else None) == before
    assert _number("issuing") == 1
    assert ca("crl", *CA)[0] == 0
    assert _number("issuing") == 2, "a number was taken"


def test_lists_go_to_standard_output_where_that_is_asked_for(ca: Callable[..., Said]) -> None:
    code, out, _ = ca("crl", *CA, "-o", "-")
    assert (code, out.count("BEGIN X509 CRL")) == (0, 2)
    assert out.startswith("-----BEGIN")
    assert out.endswith("-----END X509 CRL-----\n")
    assert not Path("-").exists()


def _crl(role: str) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(Path(f"ca/{role}.crl").read_bytes())


def _number(role: str) -> int:
    return _crl(role).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def _at(monkeypatch: pytest.MonkeyPatch, **later: int) -> datetime:
    moment = datetime.now(UTC).replace(microsecond=0) + timedelta(**later)
    monkeypatch.setattr("handclasp.agent.clock.SystemClock.now", lambda _: moment)
    return moment


def test_a_clock_that_was_put_back_makes_no_list(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ca("crl", *CA)[0] == 0
    good = _files("ca/crl.pem", "ca/issuing.crl", "ca/root.crl")
    _at(monkeypatch, days=-730)
    code, _, err = ca("crl", *CA)
    assert (code, "[clock-skew]" in err) == (1, True)
    assert _files(*good) == good
    _at(monkeypatch, days=20)
    assert ca("crl", *CA)[0] == 0
    ahead = _crl("issuing").last_update_utc
    _at(monkeypatch, days=1)
    code, _, err = ca("crl", *CA)
    assert (code, "[clock-skew]" in err, "--clock-is-right" in err) == (1, True, True)
    assert _number("issuing") == 2
    assert ca("crl", *CA, "--clock-is-right")[0] == 0
    assert _crl("issuing").last_update_utc < ahead


def test_a_list_ends_with_its_ca_and_an_ended_ca_makes_none(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = ca("crl", *CA, "--next-update", "20y")
    assert (code, err.count("ends with the CA")) == (0, 2)
    for role in ("root", "issuing"):
        assert _crl(role).next_update_utc == _leaf(f"ca/{role}.pem").not_valid_after_utc
    _at(monkeypatch, days=20 * 365)
    code, _, err = ca("crl", *CA)
    assert (code, "[cert-expired]" in err) == (1, True)
    assert _number("issuing") == 1


def test_a_revoked_issuing_ca_still_makes_lists_and_its_leaves_are_not_called_valid(
    ca: Callable[..., Said],
) -> None:
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    assert ca("revoke", "ca/issuing.pem", *THE_CA, "cACompromise")[0] == 0
    assert ca("crl", *CA)[0] == 0
    assert [row["state"] for row in _listed(ca)] == ["valid", "revoked", "issuer revoked"]
    assert "issuer revoked" in ca("list", "--directory", "ca")[1]


def test_an_older_ledger_takes_no_revocation_back(ca: Callable[..., Said]) -> None:
    reason = ("--directory", "ca", "--reason", "superseded")
    assert ca("issue", "a.example.internal", *CA)[0] == 0
    assert ca("crl", *CA)[0] == 0
    old = Path("ca/ledger.sqlite").read_bytes()
    assert ca("issue", "b.example.internal", *CA)[0] == 0
    serials = {_leaf(f"{name}.example.internal.pem").serial_number for name in ("a", "b")}
    for name in ("a", "b"):
        assert ca("revoke", f"{name}.example.internal", *reason)[0] == 0
        assert ca("crl", *CA)[0] == 0
    Path("ca/ledger.sqlite").write_bytes(old)
    good = _files("ca/crl.pem", "ca/issuing.crl", "ca/root.crl")
    code, _, err = ca("crl", *CA)
    assert (code, "older copy of the ledger" in err, "--adopt" in err) == (2, True, True)
    assert "; 1 certificate on it is not in the ledger" in err
    assert _files(*good) == good
    for number, flags in ((4, ("--adopt",)), (5, ())):
        code, _, err = ca("crl", *CA, *flags)
        assert code == 0, err
        assert _number("issuing") == _number("root") == number
        assert {one.serial_number for one in _crl("issuing")} == serials
    assert [row["name"] for row in _listed(ca, "--revoked")] == ["a.example.internal"]


def test_an_older_ledger_overwrites_no_list_of_a_root_that_is_away(
    ca: Callable[..., Said],
) -> None:
    assert ca("crl", *CA)[0] == 0
    old = Path("ca/ledger.sqlite").read_bytes()
    assert ca("crl", *CA)[0] == 0
    Path("ca/ledger.sqlite").write_bytes(old)
    Path("ca/root.key").rename("safe")
    Path("ca/issuing.crl").unlink()
    assert ca("crl", *CA)[0] == 2
    assert _number("root") == 2
    assert ca("crl", *CA, "--adopt")[0] == 0
    assert _number("root") == 2


def test_a_wrong_root_password_takes_no_number(run: Callable[..., Said]) -> None:
    both = ("--root-password-file", "root-pw")
    assert run("init", "--name", "X", *CA, *both)[0] == 0
    assert run("crl", *CA, *both)[0] == 0
    code, _, err = run("crl", *CA)
    assert (code, "--root-password-file" in err, "nginx" in err) == (2, True, False)
    assert run("crl", *CA, *both)[0] == 0
    assert _number("issuing") == 2


def test_what_the_root_shall_do_while_it_is_away_is_refused(ca: Callable[..., Said]) -> None:
    assert ca("crl", *CA)[0] == 0
    Path("ca/root.key").rename("safe")
    code, _, err = ca("crl", *CA, "--root-next-update", "30d")
    assert (code, "--root-next-update" in err) == (2, True)
    assert _number("issuing") == 1


def test_a_list_of_the_root_that_has_ended_serves_no_more(
    ca: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ca("crl", *CA)[0] == 0
    Path("ca/root.key").rename("safe")
    _at(monkeypatch, days=8)
    code, _, err = ca("crl", *CA)
    assert (code, "its last list has ended" in err) == (1, True)


def test_a_wrong_password_is_told_in_the_words_of_this_command(ca: Callable[..., Said]) -> None:
    _, _, err = ca("issue", "a.example.internal", "--directory", "ca", "--password-file", "root-pw")
    assert "--password-file" in err.partition("[key-wrong-passphrase]")[2]
    assert "nginx" not in err
    _, _, err = ca("issue", "a.example.internal", *CA, "--lifetime", "4000d")
    assert "3660d" in err


@pytest.mark.parametrize("command", ["init", "issue", "renew", "revoke", "crl", "list"])
def test_help_has_an_example(run: Callable[..., Said], command: str) -> None:
    code, out, _ = run(command, "--help")
    assert (code, f"Example: handclasp ca {command}" in " ".join(out.split())) == (0, True)
