"""`handclasp cert show`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.cert.inputs import files_argument, files_below, password_options, read_inputs
from handclasp.cli.options import Moment, format_option
from handclasp.cli.output import echo_findings, echo_json, printable, sorted_findings
from handclasp.cli.secrets import secret_of
from handclasp.errors import ExitCode, UsageError
from handclasp.findings.model import Severity, errors_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cryptography import x509

    from handclasp.certs.describe import Description
    from handclasp.findings import Finding
    from handclasp.keys.assemble import ReadFile

_MANY = 100  # files from which on a progress bar is shown


@click.command(epilog="Example: handclasp cert show client.p12 --password-file secrets/p12")
@files_argument
@click.option("-r", "--recursive", is_flag=True, help="Look at all files below a directory.")
@password_options
@click.option("--at", type=Moment(), metavar="DATE", help="Count the days from DATE, not from now.")
@format_option
def show(
    files: tuple[Path, ...],
    recursive: bool,
    password_file: Path | None,
    password_env: str | None,
    at: datetime | None,
    form: str,
) -> int:
    """Say what is in files, told from their bytes: kinds, names, dates, keys, pairs and chains.

    PEM, DER, PKCS#7, PKCS#12, keys, signing requests and revocation lists are read; `-` is standard
    input. Private keys are never printed.
    """
    now = at or datetime.now(UTC)  # noqa: TID251  the command line owns the clock
    password = secret_of(password_file, password_env, what="password")
    paths = files_below(files) if recursive else list(files)
    if not paths:
        raise UsageError("there is no file below what was named")
    inputs = list(_with_progress(read_inputs(paths, password, below=True), len(paths)))
    report = _Report(inputs)
    if form == "json":
        echo_json(report.as_json())
    else:
        report.print_text(now)
    return int(report.exit_code())


def _with_progress(inputs: Iterable[ReadFile], count: int) -> Iterable[ReadFile]:
    if count < _MANY or not sys.stderr.isatty():
        yield from inputs
        return
    with click.progressbar(inputs, length=count, label="reading", file=sys.stderr) as bar:
        yield from bar


class _Report:
    """Everything that was read, described, and how it belongs together."""

    def __init__(self, inputs: Sequence[ReadFile]) -> None:
        from cryptography import x509

        from handclasp.certs.describe import describe
        from handclasp.certs.kinship import Family

        self.inputs = inputs
        self.objects: list[Description] = []
        self.certificates: dict[x509.Certificate, Description] = {}
        self.crls: dict[int, x509.CertificateRevocationList] = {}
        for one in inputs:
            for found in one.contents.objects:
                told = describe(found, file=one.contents.source, form=one.contents.format)
                self.objects.append(told)
                if isinstance(found.value, x509.CertificateRevocationList):
                    self.crls[len(self.objects) - 1] = found.value
                if told.kind == "certificate":
                    self.certificates.setdefault(found.value, told)  # type: ignore[arg-type]
        self.fits = _fits(self.objects)
        self.family = Family(list(self.certificates))

    @property
    def findings(self) -> list[Finding]:
        return sorted_findings(finding for one in self.inputs for finding in one.findings)

    def exit_code(self) -> ExitCode:
        if not self.objects:
            return ExitCode.USAGE  # nothing was understood
        return ExitCode.FINDINGS if errors_in(self.findings) else ExitCode.OK

    def as_json(self) -> dict[str, Any]:
        return {
            "objects": [
                {
                    **told.as_json(),
                    "fits": [self.objects[other].file for other in self.fits[number]],
                    "signed_by": [signer.sha256 for signer in self._signers(number)],
                }
                for number, told in enumerate(self.objects)
            ],
            "chains": [
                {
                    "certificates": [self.certificates[link].sha256 for link in line.links],
                    "subjects": [self.certificates[link].subject for link in line.links],
                    "complete": line.missing is None,
                    "missing": line.missing,
                    "issuer_urls": list(line.urls),
                }
                for line in self.family.lines()
            ],
            "findings": [finding.as_json() for finding in self.findings],
        }

    def print_text(self, now: datetime) -> None:
        from handclasp.certs.rows import rows

        for number, told in enumerate(self.objects):
            place = f"{told.file}:{told.line}" if told.line else told.file
            click.echo(printable(f"{place}: {told.kind}, {told.format}"))
            table = [*rows(told, now=now), *self._relations(number)]
            click.echo("".join(f"  {name:<10} {printable(text)}\n" for name, text in table))
        self._print_chains()
        echo_findings(self.findings, to_stdout=True, least=Severity.INFO)

    def _relations(self, number: int) -> list[tuple[str, str]]:
        """What it has to do with the other objects."""
        told = []
        if fits := [self._short(other) for other in self.fits[number]]:
            told.append(("fits", ", ".join(fits)))
        if number in self.crls:
            signers = [f"{one.subject} in {one.file}" for one in self._signers(number)]
            told.append(("signed by", ", ".join(signers) or "none of the given certificates"))
        return told

    def _signers(self, number: int) -> list[Description]:
        from handclasp.certs.kinship import signers

        crl = self.crls.get(number)
        if crl is None:
            return []
        return [self.certificates[one] for one in signers(crl, self.certificates)]

    def _short(self, number: int) -> str:
        told = self.objects[number]
        return f"{told.kind} in {told.file}"

    def _print_chains(self) -> None:
        from handclasp.certs.kinship import Line, title

        if not self.certificates:
            return
        click.echo("Chains")
        for branch, member in self.family.drawing():
            if isinstance(member, Line):
                place = f", to be had at {member.urls[0]}" if member.urls else ""
                click.echo(printable(f"  {branch}{member.missing} (not given{place})"))
            else:
                told = self.certificates[member]
                click.echo(printable(f"  {branch}{title(member)}, {told.file}"))
        click.echo()


def _fits(objects: Sequence[Description]) -> list[list[int]]:
    """For each object those of other kinds with the same key; two certificates of one key are no pair."""
    by_key: dict[str | None, dict[str, list[int]]] = {}
    for number, told in enumerate(objects):
        by_key.setdefault(told.spki_sha256, {}).setdefault(told.kind, []).append(number)
    by_key[None] = {}  # what has no key, as a revocation list
    return [
        [
            other
            for kind, numbers in by_key[told.spki_sha256].items()
            if kind != told.kind
            for other in numbers
        ]
        for told in objects
    ]
