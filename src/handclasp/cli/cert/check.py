"""`handclasp cert check`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.cert.inputs import files_argument, password_options, read_inputs
from handclasp.cli.options import Moment, format_option
from handclasp.cli.output import echo_findings, echo_json, sorted_findings
from handclasp.cli.secrets import check_secret_file, secret_of
from handclasp.errors import ExitCode
from handclasp.findings.model import Severity, errors_in

if TYPE_CHECKING:
    from handclasp.certs.security_level import Release
    from handclasp.keys.verdict import Verdict


class _Version(click.ParamType["Release"]):
    """`3.0`, `1.1.1`: an OpenSSL release, of which the first two numbers count."""

    name = "version"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Release:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d+)\.(\d+)(\.\d+)?[a-z]*", value)
        if match is None:
            self.fail(f"{value!r} is not a version such as 3.0 or 1.1.1", param, ctx)
        return int(match[1]), int(match[2])


class _Name(click.ParamType[str]):
    """A host, an address or a URI; not the address of a service, which no certificate names."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from handclasp.certs.names import as_address, is_uri

        text = str(value)
        if as_address(text) is None and not is_uri(text):
            bare = re.sub(r"(:\d*)?(/.*)?$", "", text).strip("[]")
            if not bare:
                self.fail(f"{text!r} is no name", param, ctx)
            if bare != text:
                told = "names in certificates have no port, no path and no brackets"
                self.fail(f"{text!r}: {told}; give {bare}", param, ctx)
        return text


@click.command(
    epilog="Example: handclasp cert check client.pem client.key --for client --trust ca.pem"
)
@files_argument
@click.option(
    "--for",
    "role",
    type=click.Choice(["client", "server"]),
    help="The role it is to have; default: every role its extended key usage names.",
)
@click.option(
    "--name",
    "names",
    type=_Name(),
    metavar="NAME",
    multiple=True,
    help="A name the certificate must have: a host, an address or a URI. Can be repeated.",
)
@click.option(
    "--trust",
    multiple=True,
    type=click.Path(path_type=Path),
    help="CA certificates the other side believes, or the word `system`. Can be repeated.",
)
@click.option(
    "--crl",
    "crls",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Revocation lists the other side uses. Can be repeated.",
)
@click.option("--at", type=Moment(), metavar="DATE", help="Check as if it were then: ISO 8601.")
@click.option(
    "--peer-openssl",
    type=_Version(),
    metavar="VERSION",
    help="The other side's OpenSSL, as 3.0: decides which keys and digests are too weak.",
)
@click.option(
    "--depth",
    type=click.IntRange(0, 100),
    help="Intermediates the other side admits; nginx's default is 1.",
)
@password_options
@format_option
def check(
    files: tuple[Path, ...],
    role: str | None,
    names: tuple[str, ...],
    trust: tuple[Path, ...],
    crls: tuple[Path, ...],
    at: datetime | None,
    peer_openssl: Release | None,
    depth: int | None,
    password_file: Path | None,
    password_env: str | None,
    form: str,
) -> int:
    """Say every reason why certificate and key would fail as a client or server identity.

    FILEs are the certificate, its chain and its key, in any number, order and format.
    """
    from handclasp.certs.security_level import Peer
    from handclasp.keys.verdict import Question, judge

    password = secret_of(password_file, password_env, what="password")
    inputs = list(read_inputs(files, password))
    question = Question(
        role=role,
        names=names,
        trust=tuple(trust),
        crls=tuple(crls),
        depth=depth,
        peer=Peer(peer_openssl),
        now=at or datetime.now(UTC),  # noqa: TID251  the command line owns the clock
    )
    verdict = judge(inputs, question, extra=check_secret_file(password_file))
    if form == "json":
        echo_json(_document(verdict))
    else:
        _print_text(verdict)
    if not verdict.understood:
        return int(ExitCode.USAGE)
    return int(ExitCode.OK if verdict.ok else ExitCode.FINDINGS)


def _document(verdict: Verdict) -> dict[str, Any]:
    return {
        "ok": verdict.ok,
        "roles": [role.value for role in verdict.by_role],
        "usable": [role.value for role in verdict.usable],
        "findings": [finding.as_json() for finding in sorted_findings(verdict.findings)],
        "skipped": list(verdict.skipped),
    }


def _print_text(verdict: Verdict) -> None:
    from handclasp.certs import facts
    from handclasp.certs.counting import counted

    if not verdict.understood:
        click.echo("Not understood: there is no certificate to judge.")
    for role, findings in verdict.by_role.items():
        errors = len(errors_in(findings))
        if errors:
            click.echo(f"NOT usable as {role.value}: {counted(errors, 'error')}")
        elif verdict.leaf is not None:
            end = facts.date(verdict.ends)
            click.echo(f"OK as {role.value}: {facts.label(verdict.leaf)}, until {end}")
    _print_findings(verdict)
    for skipped in verdict.skipped:
        click.echo(f"not checked: {skipped}")


def _print_findings(verdict: Verdict) -> None:
    roles = list(verdict.by_role)
    if len(roles) < 2:
        echo_findings(verdict.findings, to_stdout=True, least=Severity.INFO)
        return
    # What holds for one role only is said under its name.
    everywhere = [
        finding
        for finding in verdict.findings
        if all(finding in verdict.by_role[role] for role in roles)
    ]
    echo_findings(everywhere, to_stdout=True, least=Severity.INFO)
    for role in roles:
        own = [finding for finding in verdict.by_role[role] if finding not in everywhere]
        if own:
            click.echo(f"As {role.value}:")
            echo_findings(own, to_stdout=True, least=Severity.INFO)
