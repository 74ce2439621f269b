"""`handclasp expiry`.

``files``        files and directories become entries
``callers``      what the agent knows of callers' certificates
``endpoints``    servers are asked for their chains, many at once
``credentials``  as whom they are asked, and whom to believe
``report``       the table, the timeline and the JSON
``textfile``     the file for Prometheus' node_exporter
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from handclasp.cli.options import DEFAULT_SPEC, Moment, format_option
from handclasp.cli.secrets import secret_options
from handclasp.errors import ExitCode, HandclaspError, UsageError
from handclasp.spec.quantities import parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from handclasp.monitor.expiry import Entry, Judged
    from handclasp.monitor.limits import Limits
    from handclasp.spec.load import LoadedSpec

_UNKNOWN = 3  # of Nagios; monitor.nagios.Status, which is not loaded for a wrong option


class _Duration(click.ParamType["timedelta"]):
    """`30d`, `12h`, `5s`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """A positive span, or a usage error."""
        if not isinstance(value, str):
            span: timedelta = value
            return span
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _NagiosCommand(click.Command):
    """Wrong use is exit status 2, which to Nagios says that a certificate is about to expire."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        asked = "--nagios" in args
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if not asked:
                raise
            from handclasp.monitor.nagios import unknown

            click.echo(unknown(error.format_message()))
            ctx.exit(_UNKNOWN)


@click.command(
    cls=_NagiosCommand,
    epilog="Example: handclasp expiry /etc/ssl/private https://api.partner.example --warn 30d",
)
@click.argument("sources", nargs=-1, metavar="[PATH|URL]...")
@click.option(
    "-c",
    "--config",
    "spec",
    type=click.Path(path_type=Path),
    help=f"Look at all that a spec names; without sources, {DEFAULT_SPEC} if it is there.",
)
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path),
    help="State directory of what handclasp issues, instead of the spec's or the usual one.",
)
@click.option(
    "--peers", is_flag=True, help="Ask the upstreams of the spec too, with the links' identities."
)
@click.option(
    "--warn",
    type=_Duration(),
    help="Time left at which to warn; default: the spec's, else 30d, but a third of the"
    " lifetime at most.",
)
@click.option(
    "--critical",
    type=_Duration(),
    help="Time left at which it is critical; default: the spec's, else 7d, but a twelfth at most.",
)
@click.option("--at", type=Moment(), help="As if it were then: ISO 8601, a bare date is 00:00 UTC.")
@click.option("--timeline", is_flag=True, help="What breaks when, in order.")
@click.option("--until", type=Moment(), help="With --timeline: no further than that.")
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and directories below a directory, as `*.bak`. Can be repeated.",
)
@secret_options("password", "password of PKCS#12 files and of --key")
@click.option("--identity", metavar="NAME", help="Ask servers with this identity of the spec.")
@click.option(
    "--cert", type=click.Path(path_type=Path), help="Ask servers with this client certificate."
)
@click.option("--key", type=click.Path(path_type=Path), help="Its key, if it is in another file.")
@click.option(
    "--ca",
    multiple=True,
    type=click.Path(path_type=Path),
    help="CA certificates to verify servers with; without, what they serve is not verified.",
)
@click.option("--server-name", metavar="NAME", help="Name to ask servers for, and to verify.")
@click.option(
    "--connect-timeout",
    type=_Duration(),
    default="5s",
    show_default=True,
    help="Time for one server: name, connection and handshake.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 500),
    default=100,
    show_default=True,
    help="Servers asked at the same time.",
)
@click.option(
    "--nagios", is_flag=True, help="One line and exit status 0, 1, 2 or 3 for Nagios, Icinga."
)
@click.option(
    "--textfile",
    type=click.Path(path_type=Path),
    metavar="FILE.prom",
    help="Write the ends for Prometheus' node_exporter as well.",
)
@format_option
def expiry(nagios: bool, **options: Any) -> int:
    """Say what expires when, worst first: files, directories, a spec and who calls its links, servers.

    Certificates, PKCS#7, PKCS#12 and revocation lists are told from their bytes; a server is a URL or
    HOST:PORT. Exit code 0: everything has time; 1: something is near its end, over, or unreadable;
    2 or 3: nothing could be read, or reached.
    """
    if not nagios:
        return _run(nagios=False, **options)
    try:
        # Of what a plugin says on standard error nobody hears, or it counts as a failure (check_by_ssh).
        with contextlib.redirect_stderr(io.StringIO()):
            return _run(nagios=True, **options)
    except HandclaspError as error:
        from handclasp.monitor.nagios import unknown

        click.echo(unknown(error.message))
        return _UNKNOWN


def _run(
    *,
    sources: tuple[str, ...],
    spec: Path | None,
    peers: bool,
    warn: timedelta | None,
    critical: timedelta | None,
    at: datetime | None,
    timeline: bool,
    until: datetime | None,
    nagios: bool,
    textfile: Path | None,
    form: str,
    **options: Any,
) -> int:
    from handclasp.agent.clock import SystemClock
    from handclasp.cli.expiry.callers import without_many
    from handclasp.cli.expiry.report import Report
    from handclasp.cli.expiry.textfile import check_textfile, write_textfile
    from handclasp.monitor.expiry import judge, worst_first

    if nagios and (timeline or form == "json"):
        raise UsageError("--nagios prints one line: leave out --timeline and --format")
    if until is not None and not timeline:
        raise UsageError("--until is for --timeline")
    if textfile is not None:
        check_textfile(textfile)
    loaded = _spec(spec, sources, wanted=peers or options["identity"] is not None)
    limits = _limits(loaded, warn, critical)
    present = SystemClock().now()
    now = at or present
    whole = loaded is not None and (spec is not None or not sources)
    entries = _entries(sources, loaded, whole=whole, peers=peers, present=present, **options)
    judged = without_many(worst_first(judge(one, now=now, limits=limits) for one in entries))
    if textfile is not None:
        write_textfile(textfile, judged, now)
    if nagios:
        from handclasp.monitor.nagios import line, status_of

        click.echo(line(judged))
        return int(status_of(judged))
    report = Report(judged, now=now, timeline=timeline, until=until)
    if form == "json":
        report.print_json()
    else:
        report.print_text()
    return int(_exit_code(judged))


def _spec(spec: Path | None, sources: Sequence[str], *, wanted: bool) -> LoadedSpec | None:
    """The spec that was named, or the usual one where one is needed or nothing else is named."""
    from handclasp.spec.read import read_spec

    if spec is None and sources and not wanted:
        return None
    if spec is None and not sources and not Path(DEFAULT_SPEC).exists():
        raise UsageError(
            f"there is nothing to look at: no source was named, and there is no {DEFAULT_SPEC} here",
            hint="Name files, directories, servers as https://HOST, or a spec with -c.",
        )
    return read_spec(spec or DEFAULT_SPEC)


def _limits(
    loaded: LoadedSpec | None, warn: timedelta | None, critical: timedelta | None
) -> Limits:
    """The options, else what the spec says, else a month and a week."""
    from handclasp.monitor.limits import Limits

    usual = Limits()
    if loaded is not None:
        usual = Limits(loaded.spec.expiry.warn, loaded.spec.expiry.critical)
    # With one of the two alone the other must not get in its way.
    if warn is not None and critical is None:
        return Limits(warn, min(warn, usual.critical), warn_as_given=True)
    if critical is not None and warn is None:
        return Limits(max(critical, usual.warn), critical, critical_as_given=True)
    if warn is None or critical is None:
        return usual
    return Limits(warn, critical, warn_as_given=True, critical_as_given=True)


def _entries(
    sources: Sequence[str],
    loaded: LoadedSpec | None,
    *,
    whole: bool,
    peers: bool,
    present: datetime,
    state_dir: Path | None,
    exclude: Sequence[str],
    password_file: Path | None,
    password_env: str | None,
    connect_timeout: timedelta,
    jobs: int,
    **asking: Any,
) -> list[Entry]:
    """Everything that was asked for; `whole`: all that the spec names. Raises UsageError when that is
    nothing."""
    from handclasp.cli.expiry.callers import callers_of
    from handclasp.cli.expiry.credentials import entries_of, links_of, read_credentials
    from handclasp.cli.expiry.endpoints import ask, parse_endpoint
    from handclasp.cli.expiry.files import entries_below
    from handclasp.cli.secrets import secret_of

    password = secret_of(password_file, password_env, what="password")
    endpoints = {source: parse_endpoint(source) for source in sources}
    remote = [one for one in endpoints.values() if one is not None]
    paths = [Path(source) for source, one in endpoints.items() if one is None]
    entries: list[Entry] = []
    if whole and loaded is not None:
        entries += entries_of(loaded, state_dir)
        entries += callers_of(loaded, state_dir, now=present)
    entries += entries_below(paths, password=password, exclude=exclude)
    given = read_credentials(loaded, state_dir, password=password, **asking)
    groups = [(given, remote)] if remote else []
    groups += links_of(loaded, state_dir) if peers and loaded is not None else []
    entries += ask(groups, timeout=connect_timeout.total_seconds(), jobs=jobs)
    if not entries:
        raise UsageError(
            "there is no certificate and no revocation list in what was named",
            hint="Name files, directories, servers as https://HOST, or a spec with -c.",
        )
    return entries


def _exit_code(judged: Sequence[Judged]) -> ExitCode:
    from handclasp.cli.expiry.endpoints import parse_endpoint
    from handclasp.monitor.expiry import State

    if all(one.state is State.OK for one in judged):
        return ExitCode.OK
    if any(one.state is not State.UNREADABLE for one in judged):
        return ExitCode.FINDINGS
    remote = all(parse_endpoint(one.entry.source) for one in judged)
    return ExitCode.ENVIRONMENT if remote else ExitCode.USAGE
