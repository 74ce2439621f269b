"""The page: everything the demo says, as lines of text. Pure."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handclasp.certs.counting import counted
from handclasp.demo.crossing import described
from handclasp.findings import ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from handclasp.demo.cast import Member
    from handclasp.demo.crossing import Crossing
    from handclasp.demo.tries import Outcome

_LABEL = 14
_ROOM_FOR_NODE = 11
# Headers that say who called and which way: the rest is every request's.
_TELLING = ("x-client-", "x-forwarded-", "x-real-ip", "x-request-id", "host")
_ASCII = str.maketrans(
    {"│": "|", "║": "#", "▼": "v", "▶": ">", "─": "-", "═": "=", "✓": "+", "✗": "!"}
)
_COLOURS = {"good": "32", "bad": "31;1", "strong": "1", "faint": "2"}


@dataclass(frozen=True, slots=True)
class Page:
    """How to draw: columns, colour, and whether the terminal can show more than ASCII."""

    width: int = 80
    colour: bool = False
    unicode: bool = True

    # -- before anything runs

    def opening(self, build: str, program: str, folder: str, cast: Mapping[str, Member]) -> str:
        """What is going to happen, and who takes part."""
        files = [(f"{name}.pem", member.purpose) for name, member in cast.items()]
        return self._drawn(
            [
                self._paint("strong", "A mutual-TLS hop, both ends on this machine"),
                "",
                "  app ──http──▶ nginx B ══mutual TLS══▶ nginx A ──http──▶ backend",
                "",
                "  Two agents (handclasp run), each with an nginx of its own:",
                f"  {build}",
                f"  {program}",
                "",
                self._paint("strong", f"Certificates, in {folder}/certs"),
                *(f"  {name:<{_LABEL}}{purpose}" for name, purpose in files),
            ]
        )

    def listing(self, title: str, text: str) -> str:
        """A file, with a bar at its side."""
        bar = self._paint("faint", "│")
        lines = [f"  {bar} {line}" for line in text.splitlines()]
        return self._drawn(["", self._paint("strong", title), *lines])

    # -- the request that crosses

    def crossing(self, seen: Crossing, a: dict[str, Any], b: dict[str, Any]) -> str:
        """The path of the request, with what each station saw of it."""
        b_log, a_log = seen.b_logged, seen.a_logged
        b_link, a_link = b["links"][0], a["links"][0]
        identity = b["identities"][0]
        lines = ["", self._paint("strong", "A request crosses it"), ""]
        lines += self._station("app", " │ ", [f"GET {seen.url}", "plain HTTP, no certificate"])
        lines += self._station(
            "nginx B",
            " ║ ",
            [
                f"egress {b_link['name']}: {b_log.get('method', '-')} with Host {b_log.get('host', '-')}",
                f"goes to {b_log.get('upstream', '-')}, must be {b_link['to'][0].partition('//')[2]}",
                f"presents {identity['subject']} ({counted(identity['days_left'], 'day')} left)",
            ],
        )
        lines += self._station(
            "nginx A",
            " │ ",
            [
                f"ingress {a_link['name']}: {a_log.get('tls', '-')}, asked for {a_log.get('sni', '-')}",
                f"client {a_log.get('subject', '-')}, verified: {a_log.get('verify', '-')}",
                f"issued by {a_log.get('issuer', '-')}",
                f"may enter by rule {', '.join(a_link['allow'])}",
            ],
        )
        headers = [
            f"{name}: {described(name, value)}"
            for name, value in seen.told.headers
            if name.lower().startswith(_TELLING)
        ]
        lines += self._station("backend", None, [f"{seen.told.method} {seen.told.path}", *headers])
        verdict = f"The application got {seen.client_saw} in {seen.seconds * 1000:.0f} ms."
        return self._drawn([*lines, "", *self._verdict(verdict, seen.differences)])

    def _station(self, name: str, line: str | None, texts: Sequence[str]) -> list[str]:
        """A station with what it saw, and the line that leads on from it."""
        rail = self._paint("faint", line) if line else "   "
        room = self.width - _ROOM_FOR_NODE - 2
        rows: list[str] = []
        for text in texts:
            rows += textwrap.wrap(text, room, subsequent_indent="  ", break_on_hyphens=False)
        drawn = [f"  {self._paint('strong', name):}{' ' * (_ROOM_FOR_NODE - len(name))}{rows[0]}"]
        drawn += [f"  {rail}{' ' * (_ROOM_FOR_NODE - 3)}{row}" for row in rows[1:]]
        if line:
            drawn += [f"  {self._paint('faint', mark)}" for mark in (line.rstrip(), " ▼")]
        return [row.rstrip() for row in drawn]

    # -- what must not work

    def refusals_heading(self) -> str:
        """Before the first try."""
        return self._drawn(["", self._paint("strong", "What must not work")])

    def outcome(self, number: int, seen: Outcome) -> str:
        """One try: who, what the client saw, how nginx gave the reason, what it is called."""
        attempt = seen.attempt
        head = self._paint("strong", f"{number}. {attempt.title}")
        lines = ["", f"  {head}", *self._row("", attempt.who)]
        lines += self._rows("sent", (f"{name}: {value}" for name, value in attempt.forged))
        lines += self._row("client saw", seen.client_saw)
        arrived = (f"{name}: {value}" if value else f"no {name}" for name, value in seen.arrived)
        lines += self._rows("backend saw", arrived)
        if seen.log_line is not None:
            lines += self._row(f"{attempt.door}'s error log", seen.log_line)
        good = "stripped; else it would be" if attempt.forged else "refused as"
        entry = ENTRIES.get(seen.named or "")
        named = f"{good} {entry.slug} ({entry.code})" if entry else "not as expected"
        lines += self._verdict(named, seen.differences)
        if entry is not None:
            lines += self._row("", entry.meaning)
        return self._drawn(lines)

    def _rows(self, label: str, texts: Iterable[str]) -> list[str]:
        """Several of one kind; only the first is labelled."""
        lines: list[str] = []
        for text in texts:
            lines += self._row(" " if lines else label, text)
        return lines

    def _row(self, label: str, text: str) -> list[str]:
        indent = " " * 5 if not label else " " * (5 + _LABEL + 2)
        first = " " * 5 + f"{label:<{_LABEL + 2}}" if label else indent
        return textwrap.wrap(
            text,
            self.width - 1,
            initial_indent=first,
            subsequent_indent=indent,
            break_on_hyphens=False,
        )

    def _verdict(self, good: str, differences: Iterable[str]) -> list[str]:
        differences = tuple(differences)
        if not differences:
            return [f"   {self._paint('good', '✓ ' + good)}"]
        return [f"   {self._paint('bad', '✗ ' + one)}" for one in differences]

    # -- the end

    def result(self, expectations: int, failed: Sequence[str], seconds: float) -> str:
        """Whether all of it was as it must be; names what was not."""
        if not failed:
            text = f"All {expectations} expectations held ({seconds:.1f} s)."
            more = "What a name means and what to do: handclasp explain --slug cert-expired"
            return self._drawn(["", self._paint("good", text), more])
        text = f"{len(failed)} of {expectations} expectations did NOT hold:"
        return self._drawn(["", self._paint("bad", text), *(f"  {one}" for one in failed)])

    def commands(self, title: str, pairs: Iterable[tuple[str, str]]) -> str:
        """Command lines to paste, each with a comment."""
        lines = ["", self._paint("strong", title)]
        for shows, command in pairs:
            lines += [self._paint("faint", f"# {shows}"), command]
        return self._drawn(lines)

    def _paint(self, kind: str, text: str) -> str:
        return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if self.colour else text

    def _drawn(self, lines: Iterable[str]) -> str:
        text = "\n".join(lines)
        return text if self.unicode else text.translate(_ASCII)
