"""What `handclasp ca init` and `ca issue` are asked for, and what a stranger's request may do."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from handclasp.certs.secret import Secret
from handclasp.cli.main import _run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Said = tuple[int, str, str]
INIT = ("init", "--name", "Example Org", "--no-password")
TOKENS = ("--root-key", "pkcs11:object=root", "--issuer-key", "pkcs11:object=issuing")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Said:
        code = _run(["ca", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def _request(*names: x509.GeneralName, common_name: str = "a.internal") -> str:
    attribute = x509.NameAttribute(NameOID.COMMON_NAME, common_name)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([attribute]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    Path("r.csr").write_bytes(made.public_bytes(Encoding.PEM))
    return "r.csr"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--directory", "."), "give the name of a new one"),
        (("--directory", "/"), "give the name of a new one"),
        (("--directory", ""), "give the name of a new one"),
        (("--directory", "a/.."), "give the name of a new one"),
        (("--crl-url", "ftp://h/a"), "by http or https"),
        (("--crl-url", "http://h/a?b"), "before a ? or #"),
        (("--permit-uri", "a_b.internal"), "underscore"),
        (("--exclude", "uri:a_b.internal"), "underscore"),
        ((*TOKENS, "--key", "p256"), "leave --key out"),
    ],
)
def test_what_makes_no_ca_is_refused_in_a_sentence(
    run: Callable[..., Said], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run(*INIT, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert not Path("ca").exists()


@pytest.mark.parametrize("option", ["--password-file", "--root-password-file"])
def test_a_password_is_no_longer_than_encryption_takes(
    run: Callable[..., Said], option: str
) -> None:
    for name, length in (("pw", 1024), ("fine", 1023)):
        Path(name).write_text("x" * length)
        Path(name).chmod(0o600)
    other = () if option == "--password-file" else ("--password-file", "fine")
    code, _, err = run("init", "--name", "Example Org", option, "pw", *other)
    assert code == 2
    assert "at most 1023 bytes" in err
    assert run("init", "--name", "Example Org", "--password-file", "fine")[0] == 0


def _tokens(monkeypatch: pytest.MonkeyPatch, root: Any, issuing: Any) -> None:
    """Keys that a token would hold."""
    keys = {"pkcs11:object=root": root, "pkcs11:object=issuing": issuing}

    @contextlib.contextmanager
    def open_key(uri: str) -> Iterator[Any]:
        yield keys[uri]

    monkeypatch.setattr("handclasp.cli.ca.token.token_key", lambda *_: open_key)


def test_keys_in_tokens_are_judged_and_differ(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    short = rsa.generate_private_key(65537, 1024)
    odd = ec.generate_private_key(ec.SECP256K1())
    for root, issuing, said in (
        (short, good, "the key of the root is RSA with 1024 bits"),
        (good, short, "the key of the issuing CA is RSA with 1024 bits"),
        (good, odd, "secp256k1"),
        (good, good, "each CA needs its own"),
    ):
        _tokens(monkeypatch, root, issuing)
        code, _, err = run(*INIT, *TOKENS)
        assert code == 2
        assert said in err
    _tokens(monkeypatch, good, other)
    assert run(*INIT, *TOKENS)[0] == 0


def test_a_request_does_not_steer_the_terminal(run: Callable[..., Said]) -> None:
    assert run(*INIT)[0] == 0
    hostile = x509.DNSName("\x1b]0;pwn\x07a.internal")
    _request(hostile, x509.DNSName("b.internal"))
    for arguments in (("svc.internal",), ("--csr-names",)):
        code, _, err = run("issue", *arguments, "--csr", "r.csr")
        assert code == 0
        assert not {"\x1b", "\x07"} & set(err)
        assert "\\x1b]0;pwn\\x07a.internal" in err


def test_a_request_makes_no_lines_of_its_own(run: Callable[..., Said]) -> None:
    assert run(*INIT)[0] == 0
    _request(x509.DNSName("a\nissued 1 for dns:b"))
    code, _, err = run("issue", "svc.internal", "--csr", "r.csr")
    assert code == 0
    assert len(err.splitlines()) == 2


def test_a_request_of_nothing_but_refused_names_says_which(run: Callable[..., Said]) -> None:
    assert run(*INIT)[0] == 0
    code, _, err = run(
        "issue", "--csr", _request(x509.DNSName("*.com"), common_name="A B"), "--csr-names"
    )
    assert code == 2
    assert "dropped name dns:*.com" in err


def test_a_request_with_very_many_names_is_refused_in_few_words(run: Callable[..., Said]) -> None:
    assert run(*INIT)[0] == 0
    many = [x509.DNSName(f"h{number}.internal") for number in range(500)]
    code, _, err = run("issue", "--csr", _request(*many), "--csr-names")
    assert code == 2
    assert "at most 100 names" in err
    assert len(err) < 4000


def test_a_common_name_that_is_left_out_is_told_with_the_way_out(run: Callable[..., Said]) -> None:
    assert run(*INIT, "--permit-dns", "example.internal")[0] == 0
    for name, arguments in (
        ("svc-b", ("--uri", "spiffe://example.internal/svc-b")),
        ("10.0.0.5", ("--use", "server")),
    ):
        code, _, err = run("issue", name, *arguments)
        assert code == 0, err
        assert f"no common name: {name} is outside" in err
        assert "name the certificate with a DNS name" in err
        leaf = x509.load_pem_x509_certificate(Path(f"{name}.pem").read_bytes())
        assert not leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert "no common name" not in run("issue", "a.example.internal")[2]


def test_what_a_verifier_would_refuse_below_an_exclusion_is_not_issued(
    run: Callable[..., Said],
) -> None:
    excluded = ("dns:bad.internal", "uri:bad.internal", "ip:10.0.0.0/8")
    assert run(*INIT, *(word for one in excluded for word in ("--exclude", one)))[0] == 0
    for name in (
        "*.internal.example",
        "a.internal",
        "https://good.internal/a:b",
        "::ffff:11.0.0.1",
    ):
        assert run("issue", name)[0] == 0, name
    for name in ("https://bad.internal/a:b", "https://192.0.2.1/a", "::ffff:10.1.1.1"):
        code, _, err = run("issue", name)
        assert code == 1, name
        assert "name-constraint-violated" in err


@pytest.mark.parametrize("kept", ["files", "tokens"])
def test_nobody_waits_for_the_ledger_while_a_secret_is_typed(
    run: Callable[..., Said], monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    Path("pw").write_text("secret\n")
    Path("pw").chmod(0o600)
    if kept == "files":
        assert run("init", "--name", "Example Org", "--password-file", "pw")[0] == 0
    else:
        good, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        keys = {"pkcs11:object=root": good, "pkcs11:object=issuing": other}

        @contextlib.contextmanager
        def from_token(uri: Any, *, module: Path, pin: Secret[bytes] | None) -> Iterator[Any]:
            assert module == Path("m")
            assert pin is not None
            assert pin.reveal() == b"secret"
            yield keys[f"pkcs11:object={uri.object}"]

        monkeypatch.setattr("handclasp.hsm.signing.open_signing_key", from_token)
        monkeypatch.setattr("handclasp.hsm.modules.find_module", lambda module, _: module)
        pin = ("--pin-file", "pw", "--module", "m")
        assert run("init", "--name", "Example Org", *TOKENS, *pin)[0] == 0
    asked = []

    def typed(prompt: str) -> Secret[bytes]:
        asked.append(prompt)
        with contextlib.closing(sqlite3.connect("ca/ledger.sqlite", timeout=0)) as other_process:
            other_process.execute("BEGIN IMMEDIATE")
        return Secret(b"secret")

    monkeypatch.setattr("handclasp.cli.secrets.asked_secret", typed)
    monkeypatch.setattr("handclasp.cli.ca.options.asked_secret", typed)
    code, _, err = run("crl", "--module", "m")
    assert code == 0, err
    # The root's password is the same, and the token too: nobody is asked twice.
    assert ["issuing" in one for one in asked] == [True]
