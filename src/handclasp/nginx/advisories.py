"""Published nginx vulnerabilities that matter to mutual TLS over HTTP, and the builds in range.

Data: https://nginx.org/en/security_advisories.html with the wording of nginx's change log, read up
to 1.31.6 and 1.30.5 (15 September 2026). Left out are those in modules that no link uses (mail,
HTTP/3, mp4, dav, slice, ssi, charset, scgi, uwsgi) and those mended before 1.18. Ranges include
both ends; a fix on a stable branch takes that branch out of the range from there on.

Version numbers are upstream's. Distributions mend old versions without changing the number, so
being in range is a reason to look, not a proof, and never an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Severity, found
from handclasp.nginx.features import Version, dotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.nginx.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """One row. ``severity`` is nginx's word for it; ``first`` and ``last`` are both vulnerable.

    ``asked_for`` is False where it takes directives that handclasp never writes, so that only an
    nginx shared with other configurations can be reached.
    """

    cve: str
    severity: str
    first: Version
    last: Version
    fixed: tuple[Version, ...]
    concerns: str
    asked_for: bool = True
    module: str | None = None

    def covers(self, version: Version) -> bool:
        """Whether upstream's nginx of this version has the fault."""
        mended = any(fix[:2] == version[:2] and fix <= version for fix in self.fixed)
        return self.first <= version <= self.last and not mended


ADVISORIES: tuple[Advisory, ...] = (
    Advisory(
        cve="CVE-2026-42533",
        severity="major",
        first=(0, 9, 6),
        last=(1, 31, 2),
        fixed=((1, 30, 4), (1, 31, 3)),
        concerns=(
            "memory is overwritten when a string holds a capture and then a map variable with a "
            "regular expression, or a variable that is not cached"
        ),
        asked_for=False,  # no rewrite of ours, no map variable after a capture
    ),
    Advisory(
        cve="CVE-2026-42055",
        severity="medium",
        first=(1, 13, 10),
        last=(1, 31, 1),
        fixed=((1, 30, 3), (1, 31, 2)),
        concerns=(
            "memory is overwritten by long request headers on the way to a gRPC or HTTP/2 upstream "
            "where ignore_invalid_headers is off and the header buffers are large"
        ),
        asked_for=False,
        module="http_v2",
    ),
    Advisory(
        cve="CVE-2026-9256",
        severity="medium",
        first=(0, 1, 17),
        last=(1, 31, 0),
        fixed=((1, 30, 2), (1, 31, 1)),
        concerns="memory is overwritten by requests where rewrite uses overlapping captures",
        asked_for=False,  # no rewrite of ours, no map variable after a capture
    ),
    Advisory(
        cve="CVE-2026-42945",
        severity="medium",
        first=(0, 6, 27),
        last=(1, 30, 0),
        fixed=((1, 30, 1), (1, 31, 0)),
        concerns="memory is overwritten by requests where rewrite uses captures",
        asked_for=False,  # no rewrite of ours, no map variable after a capture
    ),
    Advisory(
        cve="CVE-2026-42926",
        severity="medium",
        first=(1, 29, 4),
        last=(1, 30, 0),
        fixed=((1, 30, 1), (1, 31, 0)),
        concerns="a request to an HTTP/2 upstream can be added to where proxy_set_body is used",
        asked_for=False,
        module="http_v2",
    ),
    Advisory(
        cve="CVE-2026-40701",
        severity="medium",
        first=(1, 19, 0),
        last=(1, 30, 0),
        fixed=((1, 30, 1), (1, 31, 0)),
        concerns="memory is used after it was freed where ssl_ocsp checks client certificates",
        asked_for=False,
    ),
    Advisory(
        cve="CVE-2026-28755",
        severity="medium",
        first=(1, 27, 2),
        last=(1, 29, 6),
        fixed=((1, 28, 3), (1, 29, 7)),
        concerns="client certificates that OCSP refuses are let in by stream servers with ssl_ocsp",
        asked_for=False,
        module="stream_ssl",
    ),
    Advisory(
        cve="CVE-2026-1642",
        severity="medium",
        first=(1, 3, 0),
        last=(1, 29, 4),
        fixed=((1, 28, 2), (1, 29, 5)),
        concerns="somebody on the way to a TLS upstream can put plain text before its response",
    ),
    Advisory(
        cve="CVE-2025-23419",
        severity="medium",
        first=(1, 11, 4),
        last=(1, 27, 3),
        fixed=((1, 26, 3), (1, 27, 4)),
        concerns=(
            "a TLS 1.3 session made with one server name is resumed with another, which bypasses "
            "that one's verification of client certificates"
        ),
    ),
    Advisory(
        cve="CVE-2021-23017",
        severity="medium",
        first=(0, 6, 18),
        last=(1, 20, 0),
        fixed=((1, 20, 1), (1, 21, 0)),
        concerns="one byte of memory is overwritten by forged DNS answers where resolver is used",
    ),
)


def advisories_for(facts: Facts) -> tuple[Advisory, ...]:
    """Those whose range of upstream versions this build is in and whose module it has."""
    present = facts.modules | facts.dynamic_modules
    return tuple(
        advisory
        for advisory in ADVISORIES
        if advisory.covers(facts.version)
        and (advisory.module is None or advisory.module in present)
    )


def advisory_findings(facts: Facts) -> tuple[Finding, ...]:
    """At most two: a warning for what links can be exposed to, and an info for the rest."""
    all_of_them = advisories_for(facts)
    return tuple(
        _finding(facts, some, severity, newer=unaffected_versions(all_of_them))
        for severity, some in (
            (Severity.WARNING, [one for one in all_of_them if one.asked_for]),
            (Severity.INFO, [one for one in all_of_them if not one.asked_for]),
        )
        if some
    )


def unaffected_versions(advisories: Iterable[Advisory]) -> tuple[Version, ...]:
    """The oldest version of each branch that has none of them, oldest branch first."""
    these = tuple(advisories)
    fixes = sorted({fix for advisory in these for fix in advisory.fixed})
    free = [fix for fix in fixes if not any(advisory.covers(fix) for advisory in these)]
    return tuple({fix[:2]: fix for fix in reversed(free)}.values())[::-1]


def _finding(
    facts: Facts, advisories: list[Advisory], severity: Severity, *, newer: tuple[Version, ...]
) -> Finding:
    listed = "; ".join(f"{one.cve}: {one.concerns}" for one in advisories)
    seen = f"nginx {facts.version_text} ({facts.binary}) is in the range of versions with {listed}"
    if severity is Severity.INFO:
        seen += "; handclasp writes none of these directives, other configurations may"
    free = " or ".join(map(dotted, newer))
    if facts.distribution is None:
        fix = f"Update to nginx {free}, or newer."
    else:
        seen += (
            f". This looks like {facts.distribution}'s package: distributions mend such faults "
            "without changing the version, so it may well be mended"
        )
        fix = (
            f"Keep the package updated and look these numbers up in {facts.distribution}'s "
            f"security notices; upstream is free of them from {free} on."
        )
    return found("nginx-vulnerable", seen, fix=fix, severity=severity)
