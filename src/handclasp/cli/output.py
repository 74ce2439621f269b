"""Findings and tables for people and programs. Results go to stdout, talk to stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from handclasp.findings.model import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from handclasp.agent.carrier import Applied
    from handclasp.findings.model import Finding
    from handclasp.nginx.parts import Upstream

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.INFO: 2}


def sorted_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Worst first, then by place."""
    return sorted(
        findings,
        key=lambda one: (
            _ORDER[one.severity],
            one.where.file or "",
            one.where.line or 0,
            one.where.column or 0,
        ),
    )


def printable(text: str) -> str:
    """Text that came from a file, without what a terminal would obey: such characters as \\xNN or \\uNNNN.

    Line ends stay; they are ours where there are any.
    """
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode()
        for one in text
    )


def finding_text(finding: Finding, *, colour: bool) -> str:
    """Place, severity, what was seen, what to do."""
    place = str(finding.where)
    severity = finding.severity.value
    if colour:
        severity = click.style(severity, fg=_COLOURS[finding.severity], bold=True)
    head = f"{place}: " if place else ""
    told = f"{finding.seen} [{finding.slug}]\n  fix: {finding.fix}"
    return f"{printable(head)}{severity}: {printable(told)}"


def echo_findings(
    findings: Iterable[Finding], *, to_stdout: bool = False, least: Severity = Severity.WARNING
) -> None:
    """Prints those at least as bad as `least`."""
    stream = sys.stdout if to_stdout else sys.stderr
    for finding in sorted_findings(findings):
        if _ORDER[finding.severity] <= _ORDER[least]:
            click.echo(finding_text(finding, colour=stream.isatty()), err=not to_stdout)


def echo_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def link_table(applied: Applied) -> str:
    """Each link: where it listens, where it leads, under whose name, and how it was proven."""
    plan = applied.plan
    upstreams = {one.name: one for one in plan.upstreams}
    proofs = {(proof.link, proof.address): proof.seen for proof in applied.proofs}
    rows = [("LINK", "KIND", "LISTENS", "LEADS TO", "IDENTITY", "PROVEN BY")]
    for server in plan.egress:
        for route in server.routes:
            upstream = upstreams.get(route.upstream or "")
            tls = upstream.tls if upstream else None
            target = _target(upstream, tls.name) if upstream and tls else f"DOWN: {route.reason}"
            if route.exact:  # belongs to another route; see plan_egress
                continue
            path = "" if route.path == "/" else f" {route.path}"
            rows.append(
                (
                    server.link + path,
                    "egress",
                    str(server.listen),
                    target + ("" if tls is None or tls.trust else " (UPSTREAM NOT VERIFIED)"),
                    (tls.identity or "-") if tls else "-",
                    proofs.get((server.link, str(server.listen)), ""),
                )
            )
    for ingress in plan.ingress:
        backend = upstreams[ingress.backend]
        for address in ingress.listen:
            rows.append(
                (
                    ingress.link,
                    "ingress",
                    str(address),
                    f"{backend.scheme}://{backend.servers[0].address}",
                    ingress.identity,
                    proofs.get((ingress.link, str(address)), ""),
                )
            )
    return table(rows)


def _target(upstream: Upstream, name: str) -> str:
    """Whom an egress expects, and where."""
    first, *others = (str(one.address) for one in upstream.servers)
    more = f" and {len(others)} more" if others else ""
    return f"{upstream.scheme}://{name} at {first}{more}"
