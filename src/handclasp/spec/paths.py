"""Request paths: which are refused because two programs could read them differently, and what a rule's
path covers.

nginx picks a location by the decoded and merged path, a backend by whatever it makes of the raw one.
A rule on /admin/ is worth something only for paths that mean the same to both.
"""

from __future__ import annotations

import re

_HAZARDS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[^\x21-\x7e]"), "a control character, a blank or a byte beyond ASCII"),
    (re.compile(r"#"), "a #, which no request path may hold"),
    (re.compile(r"%(?![0-9A-Fa-f]{2})"), "a % without two hex digits"),
    (re.compile(r"//"), "an empty segment (//)"),
    (re.compile(r"\\|%5c", re.IGNORECASE), "a backslash"),
    (re.compile(r"%2f", re.IGNORECASE), "an encoded slash (%2f)"),
    (re.compile(r"%[01][0-9a-f]|%7f", re.IGNORECASE), "an encoded control character, as %00"),
    (
        re.compile(r";|%3b", re.IGNORECASE),
        "a semicolon, from which on some servers cut the segment",
    ),
    (re.compile(r"%3f", re.IGNORECASE), "an encoded question mark (%3f)"),
    (re.compile(r"%23"), "an encoded # (%23)"),
    (
        re.compile(r"%c[01]|%e0%[89]|%f0%8|%f8%8[0-7]|%fc%8[0-3]", re.IGNORECASE),
        "overlong UTF-8, as %c0%af",
    ),
    (
        # Either digit may be encoded as well: %25%36%31 is %61 and then a.
        re.compile(r"%25(?:[0-9a-f]|%3[0-9]|%[46][1-6]){2}", re.IGNORECASE),
        "text that is encoded twice",
    ),
    (re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE), "a dot segment"),
)


AMBIGUOUS = tuple(
    rf"\A[^?]*?(?:{expression})"
    for expression in (
        r"\A(?!/)",
        r"[^\x21-\x7e]",
        r"#",
        r"%(?![0-9A-Fa-f]{2})",
        r"//",
        r"\\|%5[Cc]",
        r"%2[Ff]",
        r"%[01][0-9A-Fa-f]|%7[Ff]",
        r";|%3[Bb]",
        r"%3[Ff]",
        r"%23",
        r"%[Cc][01]|%[Ee]0%[89]|%[Ff]0%8|%[Ff]8%8[0-7]|%[Ff][Cc]%8[0-3]",
        r"%25(?:[0-9A-Fa-f]|%3[0-9]|%[46][1-6]){2}",
        r"/(?:\.|%2[Ee]){1,2}(?:[/?]|\z)",
    )
)
"""The same as regular expressions of PCRE over the raw target, its query included: what nginx refuses."""


def path_problem(target: str) -> str | None:
    """Why a request target must not be judged by path, in a few words; None for a plain one.

    `target` is raw, as `$request_uri`; what follows the first `?` is not looked at.
    """
    path = target.partition("?")[0]
    if not path.startswith("/"):
        return "it does not begin with /"
    for pattern, words in _HAZARDS:
        if pattern.search(path):
            return f"it holds {words}"
    return None


def rule_path(text: str) -> str:
    """A rule's path as it is compared: without the slash at its end, "" for /. It covers what is equal to
    it, or goes on with a `/`: to most frameworks /admin/ and /admin are one page.

    Raises ValueError for one that no plain request path could match.
    """
    if "?" in text or "%" in text:
        raise ValueError(f"{text!r}: write the path as the application sees it, decoded")
    problem = path_problem("".join(c if c.isascii() else "x" for c in text))
    if problem is not None:
        raise ValueError(f"{text!r} cannot be a rule's path: {problem}")
    return text.removesuffix("/")
