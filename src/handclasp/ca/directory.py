"""A CA's directory: its making, and its keys opened (edge: the file system).

root.pem  root.key        the root; its key may be taken away and kept elsewhere
issuing.pem  issuing.key  the intermediate that signs leaves
ledger.sqlite             what was issued and revoked, and the settings
crl.pem  *.crl            revocation lists, once there are any: both as PEM, each as DER
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding

from handclasp.ca.ledger import ISSUING, ROOT, AuthorityRecord, Ledger
from handclasp.ca.profile import Signer
from handclasp.certs.private_keys import spki
from handclasp.certs.read import read_objects
from handclasp.certs.serialize import encode_key
from handclasp.errors import EnvironmentFault, ExitCode, UsageError
from handclasp.findings import FindingsError, Where, errors_in, found
from handclasp.keys.files import check_key_file, read_file, write_private
from handclasp.keys.output import PRIVATE, PUBLIC, cannot_write
from handclasp.keys.secret import Secret
from handclasp.spec.pkcs11_uri import is_pkcs11

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    TokenKey = Callable[[str], AbstractContextManager[CertificateIssuerPrivateKeyTypes]]
    """Opens the key that a pkcs11: URI names, for as long as the context lasts."""

LEDGER = "ledger.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAuthority:
    """A CA as it was made. A key in a token is named by its URI and has no `key`."""

    certificate: x509.Certificate
    key: Secret[CertificateIssuerPrivateKeyTypes] | None
    password: Secret[bytes] | None = None
    uri: str | None = None


class Directory:
    """An open CA directory."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError when there is no CA in it, EnvironmentFault when it cannot be read."""
        self.path = path
        ledger = path / LEDGER
        try:
            there = ledger.is_file()
        except OSError as problem:
            raise EnvironmentFault(f"{path} cannot be read: {problem.strerror}") from None
        if not there:
            what = (
                "there is no such directory" if not path.is_dir() else f"there is no {LEDGER} in it"
            )
            raise UsageError(
                f"{path} is not a CA: {what}",
                hint="Name the CA with --directory, or make one with `handclasp ca init`.",
            )
        self.ledger = Ledger(ledger)
        try:
            self.root = self.ledger.authority(ROOT)
            self.issuing = self.ledger.authority(ISSUING)
        except BaseException:
            self.ledger.close()
            raise

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.ledger.close()

    def authority(self, role: str) -> AuthorityRecord:
        """ROOT or ISSUING."""
        return self.root if role == ROOT else self.issuing

    def has_key(self, role: str) -> bool:
        """The key is where the ledger says; one in a token is taken to be."""
        key = self.authority(role).key
        return is_pkcs11(key) or (self.path / key).exists()

    @contextlib.contextmanager
    def signer(
        self, role: str, *, password: Secret[bytes] | None, token_key: TokenKey
    ) -> Iterator[Signer]:
        """The CA with its key. Raises FindingsError when the key cannot be had or is another's."""
        record = self.authority(role)
        if is_pkcs11(record.key):
            with token_key(record.key) as key:
                yield self._checked(record, key)
        else:
            yield self._checked(record, self._key_from_file(record, password))

    def _key_from_file(
        self, record: AuthorityRecord, password: Secret[bytes] | None
    ) -> CertificateIssuerPrivateKeyTypes:
        path = self.path / record.key
        read = read_file(path, unreadable="key-unreadable")
        if read.problem is not None or read.data is None:
            problems = [read.problem] if read.problem else []
            raise FindingsError(problems, exit_code=ExitCode.ENVIRONMENT)
        known = password.reveal() if password else None
        contents = read_objects(read.data, source=str(path), password=known)
        findings = [*contents.findings, *check_key_file(read)]
        if errors_in(findings):
            raise FindingsError(errors_in(findings), exit_code=ExitCode.USAGE)
        if not contents.keys or contents.keys[0].key is None:
            problem = found(
                "key-not-found-in-file", "it holds no private key", where=Where(str(path))
            )
            raise FindingsError([problem], exit_code=ExitCode.USAGE)
        return contents.keys[0].key.reveal()  # type: ignore[return-value]  # the next step compares it

    def _checked(self, record: AuthorityRecord, key: CertificateIssuerPrivateKeyTypes) -> Signer:
        if spki(key.public_key()) != spki(record.certificate.public_key()):
            subject = record.certificate.subject.rfc4514_string()
            problem = found(
                "key-cert-mismatch",
                f"the key {record.key} is not that of the CA certificate '{subject}'",
                where=Where(file=str(self.path)),
                fix="Put the CA's own key in its place again.",
            )
            raise FindingsError([problem], exit_code=ExitCode.USAGE)
        return Signer(certificate=record.certificate, key=key)


def make_directory(
    path: Path, settings: Mapping[str, str], authorities: Mapping[str, NewAuthority]
) -> None:
    """Writes a new CA, all of it or nothing: it is made beside and moved to its place in one step.

    Raises UsageError when something is there already, EnvironmentFault when it cannot be written.
    """
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.mkdir(mode=0o700)
        try:
            _fill(draft, settings, authorities)
            # Renaming a directory replaces an empty one, and nothing else.
            draft.rename(path)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except (FileExistsError, NotADirectoryError):
        raise _taken(path) from None
    except OSError as problem:
        if path.exists() and any_in(path):
            raise _taken(path) from None
        raise cannot_write(problem, path) from None


def any_in(path: Path) -> bool:
    """Something other than an empty directory is at `path`."""
    return not path.is_dir() or any(path.iterdir())


def _taken(path: Path) -> UsageError:
    return UsageError(
        f"{path} exists already and is not empty",
        hint="Name a new directory with --directory; a CA is never written over.",
    )


def _fill(
    draft: Path, settings: Mapping[str, str], authorities: Mapping[str, NewAuthority]
) -> None:
    records = {}
    for role, made in authorities.items():
        write_private(draft / f"{role}.pem", made.certificate.public_bytes(Encoding.PEM), PUBLIC)
        if made.key is not None:
            data = encode_key(Secret(made.key.reveal()), Encoding.PEM, password=made.password)
            write_private(draft / f"{role}.key", data, PRIVATE)
        records[role] = AuthorityRecord(certificate=made.certificate, key=made.uri or f"{role}.key")
    write_private(draft / LEDGER, b"", PRIVATE)
    Ledger.create(draft / LEDGER, settings, records)
