"""A file for the textfile collector of Prometheus' node_exporter. Pure.

Format: prometheus.io/docs/instrumenting/exposition_formats, "Text-based format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.monitor.expiry import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from handclasp.monitor.expiry import Judged

NOT_AFTER = "handclasp_certificate_not_after_timestamp_seconds"
SOURCES = "handclasp_expiry_sources"
UNREADABLE = "handclasp_expiry_unreadable"
CHECKED = "handclasp_expiry_checked_timestamp_seconds"


def textfile(judged: Sequence[Judged], *, now: datetime) -> str:
    """Every certificate and list with its end; how many sources are in which state; which could not be
    read; and when that was, so that an alert can tell a file that nobody writes any more.

    Names and labels appear once: node_exporter refuses a whole file for one double. Of certificates
    that share a source, a subject and a kind the first to end is told.
    """
    ends: dict[tuple[str, str, str], float] = {}
    for one in judged:
        for member in one.entry.members:
            if member.not_after is None:
                continue
            labels = (one.entry.source, member.subject, str(member.kind))
            end = member.not_after.timestamp()
            ends[labels] = min(end, ends.get(labels, end))
    counts = dict.fromkeys(State, 0)
    for one in judged:
        counts[one.state] += 1
    unread = dict.fromkeys(one.entry.source for one in judged if one.state is State.UNREADABLE)
    parts = [
        _family(
            NOT_AFTER,
            "When a certificate expires or a revocation list lapses.",
            (
                ({"source": source, "subject": subject, "kind": kind}, end)
                for (source, subject, kind), end in ends.items()
            ),
        ),
        _family(
            SOURCES,
            "Chains, revocation lists and unreadable sources by state.",
            (({"state": state}, count) for state, count in counts.items()),
        ),
        _family(
            UNREADABLE,
            "Sources that could not be read or reached.",
            (({"source": source}, 1) for source in unread),
        ),
        _family(CHECKED, "When this was looked at.", [({}, now.timestamp())]),
    ]
    return "".join(parts)


def _family(name: str, told: str, samples: Iterable[tuple[Mapping[str, str], float]]) -> str:
    lines = [f"# HELP {name} {told}", f"# TYPE {name} gauge"]
    for labels, value in samples:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.0f}" if inside else f"{name} {value:.0f}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    # Undecodable bytes of file names are surrogates here, which UTF-8 cannot hold.
    shown = text.encode("utf-8", "backslashreplace").decode()
    return shown.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
