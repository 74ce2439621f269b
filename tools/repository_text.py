"""Text that must not be committed: paths of one machine, and where one machine gets its packages.

Without arguments every file of the repository is read, with arguments those files. Each hit is
printed as file:line, and the exit status is 1 if there was one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A clone may lie anywhere, so the path looked for is the one of this clone. Only with one of its own
# entries behind it: /opt/app alone may well be meant, /opt/app/pyproject.toml is not.
_ENTRIES = "|".join(re.escape(path.name) for path in sorted(ROOT.iterdir()))
RULES: dict[str, re.Pattern[str]] = {
    "a path of this clone": re.compile(rf"{re.escape(str(ROOT))}/(?:{_ENTRIES})\b"),
    "a path in somebody's home directory": re.compile(r"(?<![\w.])/(?:home|Users)/[a-z][\w-]*/"),
    "the address of a package registry": re.compile(
        r"https?://[\w.-]*(?:pypi|pythonhosted|npmjs|artifactory|devpi)[\w.-]*", re.IGNORECASE
    ),
    "a setting for a package registry": re.compile(
        r"--(?:extra-)?index-url|PIP_(?:EXTRA_)?INDEX_URL|--find-links|^\s*index-url\s*=",
        re.MULTILINE,
    ),
}
# Text of others, quoted as it was found, and the patterns above themselves.
EXEMPT_SUFFIXES = frozenset({".jsonl", ".log"})
# Folders that git ignores, for where there is no git to say so.
MADE_HERE = frozenset({"__pycache__", "build", "dist", "out"})
EXEMPT_FILES = frozenset({"tools/repository_text.py", "tests/test_repository.py"})


def files(root: Path = ROOT) -> list[Path]:
    """What git would commit, new files included; in an unpacked archive all that is not hidden."""
    try:
        listing = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root,
            capture_output=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pass  # no git, or no repository: an unpacked archive
    else:
        names = sorted({name for name in listing.stdout.decode().split("\0") if name})
        return [root / name for name in names if (root / name).is_file()]
    return [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not any(
            part.startswith(".") or part in MADE_HERE for part in path.relative_to(root).parts
        )
    ]


def hits(path: Path) -> list[str]:
    """One sentence for each place in `path` that breaks a rule; a binary file has none."""
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        return []
    return [
        f"{path}:{text.count(chr(10), 0, match.start()) + 1}: {what}: {match.group().strip()}"
        for what, rule in RULES.items()
        for match in rule.finditer(text)
    ]


def main(arguments: list[str]) -> int:
    """Print the hits; 1 if there are any."""
    chosen = [Path(argument) for argument in arguments] or [
        path
        for path in files()
        if path.suffix not in EXEMPT_SUFFIXES and str(path.relative_to(ROOT)) not in EXEMPT_FILES
    ]
    found = [hit for path in chosen for hit in hits(path)]
    sys.stdout.writelines(f"{hit}\n" for hit in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
