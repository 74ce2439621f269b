"""`handclasp deny`."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.options import format_option, spec_options
from handclasp.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from handclasp.agent.denials import Denial

_HEX = re.compile(
    r"(?:sha256:|sha256 fingerprint=)?(?P<digest>(?:[0-9a-f]{2}:?){32})", re.IGNORECASE
)
"""Also as an allow rule and as `openssl x509 -fingerprint -sha256` write it."""


_MOST_BYTES = 1 << 20


@click.command(epilog="Example: handclasp deny leaked.pem --why 'laptop stolen'")
@click.argument("certificate", metavar="[FILE|-|SHA256]", required=False)
@click.option("--serial", metavar="HEX", help="Serial of the certificate, with --issuer.")
@click.option(
    "--issuer", metavar="DN", help="Its issuer, as RFC 4514 text: CN=Issuing CA,O=Example."
)
@click.option("--why", metavar="TEXT", help="For whoever reads the list later.")
@click.option("--undo", is_flag=True, help="Take the denial back.")
@click.option("--list", "listed", is_flag=True, help="Show what is denied, and change nothing.")
@spec_options
@format_option
def deny(
    certificate: str | None,
    serial: str | None,
    issuer: str | None,
    why: str | None,
    undo: bool,
    listed: bool,
    spec: Path,
    nginx: str | None,
    state_dir: Path | None,
    form: str,
) -> int:
    """Refuse a client certificate now, before any list or expiry says so.

    The running agent refuses it from the next request on, on open connections and resumed sessions too, and
    remembers it. With the certificate's file every ingress link can do that; a link whose rules nginx
    decides by itself knows no SHA-256, and the answer then says so. The file of a CA stands for all that
    its key signed, in this certificate of the CA or another, where the agent decides; so is whoever has no
    known way to the trust refused there from then on. `-` reads a certificate from standard input. Exit code
    1 means that some link does not refuse it at once, or that none is concerned.
    """
    from handclasp.agent.control import CONTROL_SOCKET, ask
    from handclasp.agent.prepare import state_directory
    from handclasp.spec.read import read_spec

    del nginx  # taken for symmetry with the other commands
    denial = None if listed else _denial(certificate, serial, issuer, why)
    # The spec may be broken by now; with --state-dir it is not needed to find the agent.
    place = state_dir.absolute() if state_dir else state_directory(None, read_spec(spec))
    control = place / "run" / CONTROL_SOCKET
    if denial is None:
        if certificate or serial or issuer or undo:
            raise UsageError("--list shows what is denied; name no certificate beside it")
        answer: dict[str, Any] = asyncio.run(ask(control, "GET", "/denied"))
        _show(form, {"ok": True, **answer}, _listed(answer))
        return ExitCode.OK
    from dataclasses import asdict

    order = "/undo" if undo else "/deny"
    answer = asyncio.run(ask(control, "POST", order, asdict(denial)))
    ok = answer["changed"] if undo else _refused(answer["links"])
    _show(form, {"ok": ok, **answer}, _told(answer, undo=undo))
    return ExitCode.OK if ok else ExitCode.FINDINGS


def _denial(
    certificate: str | None, serial: str | None, issuer: str | None, why: str | None
) -> Denial:
    from handclasp.agent.clock import SystemClock
    from handclasp.agent.denials import Denial, parse_serial
    from handclasp.certs.dn import DistinguishedNameError, parse

    since = SystemClock().now().isoformat(timespec="seconds")
    if (serial is None) != (issuer is None):
        raise UsageError("a serial means nothing without its issuer: give --serial and --issuer")
    if serial is not None and issuer is not None:
        if certificate is not None:
            raise UsageError("give a certificate, or a serial with its issuer, not both")
        try:
            if not parse(issuer).rdns:
                raise UsageError("--issuer is empty")
        except DistinguishedNameError as error:
            raise UsageError(f"--issuer {issuer!r} is not a distinguished name: {error}") from error
        return Denial(since=since, issuer=issuer, serial=parse_serial(serial), why=why)
    if certificate is None:
        raise UsageError(
            "which certificate? Name its file, its SHA-256, or --serial with --issuer",
            hint="`handclasp deny --list` shows what is denied",
        )
    if certificate == "-":
        data = sys.stdin.buffer.read(_MOST_BYTES)
        return _of_certificates(data, "standard input", since, why)
    if (written := _HEX.fullmatch(certificate.strip())) and not Path(certificate).exists():
        return Denial(since=since, sha256=written["digest"].replace(":", "").lower(), why=why)
    return _of_file(Path(certificate), since, why)


def _refused(links: list[dict[str, Any]]) -> bool:
    """By every link that is concerned, and one is; or there is no link."""
    concerned = [link for link in links if link["concerned"]]
    return all(link["at_once"] for link in concerned) and (bool(concerned) or not links)


def _of_file(file: Path, since: str, why: str | None) -> Denial:
    from handclasp.findings import FindingsError
    from handclasp.keys.files import read_file

    read = read_file(file)
    if read.problem is not None:
        raise FindingsError([read.problem], exit_code=ExitCode.USAGE)
    return _of_certificates(read.data or b"", str(file), since, why)


def _of_certificates(data: bytes, file: str, since: str, why: str | None) -> Denial:
    from base64 import b64encode

    from handclasp.agent.denials import Denial
    from handclasp.certs.read import read_objects
    from handclasp.identity.caller import UnreadableCertificateError, read_caller
    from handclasp.identity.denied import body_digest

    certificates = read_objects(data, source=file).certificates
    if not certificates:
        raise UsageError(
            f"{file} holds no certificate that can be read",
            hint="`handclasp cert show` says what it holds; an SHA-256 has 64 hex digits",
        )
    try:
        callers = [read_caller(one) for one in dict.fromkeys(certificates)]
    except UnreadableCertificateError as error:
        raise UsageError(f"{file}: {error}") from error
    leaves = [one for one in callers if not one.is_ca]
    meant = leaves or callers
    if len(meant) > 1:
        names = "; ".join(one.subject for one in meant)
        raise UsageError(
            f"{file} holds {len(meant)} certificates: {names}", hint="one at a time, please"
        )
    (leaf,) = meant
    return Denial(
        since=since,
        sha256=leaf.sha256,
        issuer=leaf.issuer,
        serial=leaf.serial,
        subject=leaf.subject,
        why=why,
        body=body_digest(leaf.certificate),
        authority=leaf.is_ca,
        certificate=b64encode(leaf.der).decode() if leaf.is_ca else None,
    )


def _show(form: str, document: dict[str, Any], text: str) -> None:
    from handclasp.cli.output import echo_json

    if form == "json":
        echo_json(document)
    else:
        click.echo(text)


def _name(denial: dict[str, Any]) -> str:
    from handclasp.cli.output import printable

    if denial["subject"]:
        return printable(f"{denial['subject']} (serial {denial['serial']})")
    if denial["serial"]:
        return printable(f"serial {denial['serial']} of {denial['issuer']}")
    return f"SHA-256 {denial['sha256']}"


def _told(answer: dict[str, Any], *, undo: bool) -> str:
    name = _name(answer["denial"])
    if undo:
        return f"{name} is no longer denied" if answer["changed"] else f"{name} was not denied"
    lines = [f"denied: {name}" if answer["changed"] else f"{name} was denied already"]
    lines += [f"  {link['name']}: {_state(link)}" for link in answer["links"]]
    if not answer["links"]:
        lines.append("  no ingress link is in effect")
    elif not any(link["concerned"] for link in answer["links"]):
        lines.append("  no ingress link is concerned: is it the right certificate?")
    lines.append(f"  {_open_connections(answer)}")
    return "\n".join(lines)


def _state(link: dict[str, Any]) -> str:
    from handclasp.cli.output import printable

    if link["at_once"]:
        return "refused from now on" + (f", {link['beside']}" if link["beside"] else "")
    if not link["concerned"]:
        return printable(f"not concerned: {link['why_not']}")
    beside = f" (those who connect are refused, {link['beside']})" if link["beside"] else ""
    return printable(f"NOT refused at once: {link['why_not']}{beside}")


def _open_connections(answer: dict[str, Any]) -> str:
    if answer["cut"]:
        return "open connections of this nginx are ended within seconds"
    if (seconds := answer["ends_in"]) is not None:
        return f"WebSockets and streams that are open end within {seconds:g} s (`clients.max_stream_age`)"
    live = "WebSockets and streams that are open live on until they end"
    if any(link["cut"] and link["concerned"] for link in answer["links"]):
        return f"{live}: this nginx is not ours to end (reload it, and end its old workers)"
    return f"{live} (`clients.cut`)"


def _listed(answer: dict[str, Any]) -> str:
    from handclasp.cli.output import printable, table

    if not answer["denied"]:
        return "no certificate is denied"
    rows = [("CERTIFICATE", "SINCE", "WHY")]
    rows += [
        (_name(one), one["since"], " ".join(printable(one["why"] or "-").split()))
        for one in answer["denied"]
    ]
    return table(rows)
