"""What must stand in the configuration of an nginx that somebody else runs. Pure: reads `nginx -T`.

The text is searched, not parsed: comments and quoted strings are blanked first, so that what is left
can be matched. What cannot be decided that way is said, never passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Severity, Where, found

if TYPE_CHECKING:
    from pathlib import PurePosixPath

_FILE = re.compile(r"^# configuration file (.+):$", re.MULTILINE)
_NOISE = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|(?<!\S)#[^\n]*")
_UNSAFE = {
    "underscores_in_headers": (
        "on",
        "headers such as X_Client_Cert reach backends, which read them as X-Client-Cert",
    ),
    "ignore_invalid_headers": ("off", "headers with odd names reach backends"),
}


def include_line(http_fragment: PurePosixPath) -> str:
    """The line that belongs into the http context of the main configuration."""
    return f'include "{http_fragment}";'


def dump_findings(dump: str, http_fragment: PurePosixPath) -> list[Finding]:
    """What in the output of `nginx -T` keeps our include from doing its job, or makes it unsafe."""
    findings: list[Finding] = []
    if str(http_fragment) not in _FILE.findall(dump):
        findings.append(
            found(
                "existing-mode-main-context",
                f"the existing nginx does not include {http_fragment}",
                fix=f"put this line into its http context: {include_line(http_fragment)}",
                severity=Severity.ERROR,
            )
        )
    for file, text in _files(dump):
        if file.startswith(str(http_fragment.parent)):
            continue  # our own, which states the safe values
        findings += _unsafe_values(file, text)
    return findings


def _files(dump: str) -> list[tuple[str, str]]:
    parts = _FILE.split(dump)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def _unsafe_values(file: str, text: str) -> list[Finding]:
    bare = _NOISE.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)
    findings: list[Finding] = []
    for name, (value, consequence) in _UNSAFE.items():
        for match in re.finditer(rf"(?<![\w$]){name}\s+{value}\s*;", bare):
            # The text of a file begins on the line after its heading.
            line = bare.count("\n", 0, match.start())
            findings.append(
                found(
                    "existing-mode-main-context",
                    f"`{name} {value}` is set: {consequence}",
                    fix=f"remove it; the default of {name} is the safe one",
                    where=Where(file, line),
                    severity=Severity.ERROR,
                )
            )
    return findings
