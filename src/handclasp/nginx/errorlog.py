"""Lines of nginx's error log and of its stderr, taken apart; and why a configuration was refused.

The form is that of ngx_log_error_core() (ngx_log.c) and ngx_http_log_error_handler()
(ngx_http_request.c), the same since 0.8: time, level, process, connection, message with an errno,
then client, server, request, upstream, host, referrer in this order. On stderr the front is
``nginx: [level]``. System errors are told by number: glibc and musl word them differently.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handclasp.findings import Finding, Where, found

if TYPE_CHECKING:
    from collections.abc import Iterable

LEVELS = ("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")
"""nginx's levels, least grave first."""

LONGEST_LINE = 2048
"""NGX_MAX_ERROR_STR: nginx cuts a line there, most often within the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """One line. What nginx did not print is None; ``level`` is None on stderr's untagged lines.

    ``request``, ``host`` and parts of ``message`` are the client's own words, which nginx does not
    escape: they may look like any field. ``client`` and ``server`` are nginx's.
    """

    time: str | None = None
    level: str | None = None
    pid: int | None = None
    tid: int | None = None
    connection: int | None = None
    message: str
    errno: int | None = None
    client: str | None = None
    server: str | None = None
    request: str | None = None
    upstream: str | None = None
    host: str | None = None
    raw: str


# A journal or syslog prefix may stand before both, and syslog's ends with `nginx: ` too.
_LOG_FRONT = re.compile(
    r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) \[(?P<level>[a-z]+)\] "
    r"(?P<pid>\d{1,10})#(?P<tid>\d{1,20}): (?:\*(?P<connection>\d{1,20}) )?",
    re.ASCII,
)
_STDERR_FRONT = re.compile(r"\bnginx: (?:\[(?P<level>[a-z]+)\] )?", re.ASCII)
# The first one is nginx's: whatever a client can write stands after it, but for a few messages
# that quote a header.
_CLIENT = re.compile(
    r", (?:udp )?client: (?P<client>[^,\s]*)(?:, server: (?P<server>[^,]*))?(?=,|$)"
)
_REQUEST = ', request: "'
# To the end of the line, so that a request that imitates the fields stays within the request.
_FIELDS = re.compile(
    r'(?P<request>.*?)"'
    r'(?:, subrequest: "[^"]*")?'
    r'(?:, upstream: "(?P<upstream>[^"]*)")?'
    r'(?:, host: "(?P<host>[^"]*)")?'
    r'(?:, referrer: "[^"]*")?'
)
_STREAM_UPSTREAM = re.compile(r', upstream: "(?P<upstream>[^"]*)"')
_ERRNO = re.compile(r" \((\d{1,4}): [^()]*\)(?= while |,| in |$)", re.ASCII)


def parse_line(line: str | bytes) -> ErrorLine | None:
    """The line taken apart; None when it is not nginx's. Bytes outside UTF-8 become ``\\xNN``."""
    raw = (line.decode(errors="backslashreplace") if isinstance(line, bytes) else line).rstrip(
        "\r\n"
    )
    front = _LOG_FRONT.search(raw) or _STDERR_FRONT.search(raw)
    if front is None:
        return None
    rest = raw[front.end() :]
    told, fields = front.groupdict(), dict[str, str | None]()
    if (client := _CLIENT.search(rest)) is not None:
        fields = {**client.groupdict(), **_request_fields(rest[client.end() :])}
        rest = rest[: client.start()]
    numbers = _ERRNO.findall(rest)
    return ErrorLine(
        time=told.get("time"),
        level=told.get("level"),
        pid=_number(told.get("pid")),
        tid=_number(told.get("tid")),
        connection=_number(told.get("connection")),
        message=rest,
        errno=int(numbers[-1]) if numbers else None,
        raw=raw,
        **fields,
    )


def _request_fields(tail: str) -> dict[str, str | None]:
    if not tail.startswith(_REQUEST):
        stream = _STREAM_UPSTREAM.match(tail)
        return {} if stream is None else stream.groupdict()
    tail = tail[len(_REQUEST) :]
    if (whole := _FIELDS.fullmatch(tail)) is not None:
        return whole.groupdict()
    return {"request": tail}  # cut off, or quotes in a field: nothing after it can be relied on


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


# What the messages of ngx_event_openssl.c and ngx_conf_file.c certainly mean. "no start line" is
# not among them: nginx says it of DER, of an empty file, of a directory and of a key alike.
_CERTAIN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^host not found in "), "dns-not-found"),
    (re.compile(r"^unknown directive |^unknown \".*\" variable"), "unknown-directive-or-variable"),
    (re.compile(r"^\"\S+\" directive is not allowed here"), "directive-not-allowed-here"),
    (re.compile(r"^\"\S+\" directive is duplicate"), "duplicate-directive"),
    (
        re.compile(r"^unexpected (?:\"|end of file)|^directive .* is not terminated by"),
        "syntax-error",
    ),
    (re.compile(r"key values mismatch"), "key-cert-mismatch"),
    (re.compile(r"problems getting password|bad password read"), "key-encrypted-no-passphrase"),
    (re.compile(r"bad end line|bad base64 decode"), "pem-empty-or-corrupt"),
    (re.compile(r"(?:ee|ca) key too small"), "key-too-small"),
    (re.compile(r"ca md too weak"), "digest-too-weak"),
    (
        re.compile(r"^no (?:ssl_client_certificate|\w+_trusted_certificate)\b.* for \w+_verify"),
        "trust-anchor-not-configured",
    ),
)
_BY_ERRNO = {
    errno.ENOENT: "file-not-found",
    errno.EACCES: "permission-denied",
    errno.EISDIR: "path-is-directory",
}
# OpenSSL 3: 0x80000000 with the errno; 1.1.1 and BoringSSL: library 2, errno in the low bits.
_SYSTEM_LIBRARY = re.compile(r"error:(?:80|02)[0-9A-F]{3}([0-9A-F]{3}):system library")
_UNIX_FIX = "Stop it (`ss -lxp` shows which it is) or change `listen:`."
_BIND = re.compile(r"^bind\(\) to (?P<address>.+) failed \(")
_IN_FILE = re.compile(r" in (?P<file>\.{0,2}/[^\"]+):(?P<line>\d+)$", re.ASCII)
_GRAVE = ("emerg", "alert")
# An alert that stops nothing: builds without -e (before 1.19.5) try the compiled-in log first.
_HARMLESS = "could not open error log file: "


def refusal_in(lines: Iterable[str | bytes]) -> tuple[Finding, ...]:
    """Why ``nginx -t`` or a start failed: one finding for each different emerg or alert line.

    What is not certain is ``nginx-config-refused`` in nginx's own words. Empty when nothing grave
    was printed. nginx tries to bind five times and says so each time, then that it gave up.
    """
    grave = [parsed for line in lines if (parsed := parse_line(line)) and parsed.level in _GRAVE]
    messages = {
        parsed.message: parsed for parsed in grave if not parsed.message.startswith(_HARMLESS)
    }
    if any(map(_BIND.match, messages)):
        messages.pop("still could not bind()", None)
    return tuple(map(_refusal, messages.values()))


def _refusal(line: ErrorLine) -> Finding:
    if (bind := _BIND.match(line.message)) is not None:
        refused = bind_refusal(bind["address"], line.errno)
        return refused or found("nginx-config-refused", f"nginx: {line.message}")
    place = _IN_FILE.search(line.message)
    said = line.message if place is None else line.message[: place.start()]
    where = None if place is None else Where(place["file"], int(place["line"]))
    for pattern, slug in _CERTAIN:
        if pattern.search(said):
            return found(slug, f"nginx: {said}", where=where)
    system = _SYSTEM_LIBRARY.search(said)
    number = line.errno if system is None else int(system[1], 16)
    slug = _BY_ERRNO.get(number or 0, "nginx-config-refused")
    return found(slug, f"nginx: {said}", where=where)


def bind_refusal(address: str, number: int | None) -> Finding | None:
    """Why nginx could not listen on an address, from bind()'s errno; None where that is not certain."""
    port = address.rpartition(":")[2]
    if number == errno.EADDRINUSE:
        fix = _UNIX_FIX if address.startswith("unix:") else None
        seen = f"nginx cannot listen on {address}: another process has it"
        return found("port-in-use", seen, fix=fix)
    if number == errno.EACCES and port.isdecimal() and int(port) < 1024:
        return found("port-privileged", f"nginx may not listen on {address}: permission denied")
    if number == errno.EADDRNOTAVAIL:
        return found(
            "nginx-config-refused",
            f"nginx cannot listen on {address}: this machine has no such address",
            fix="Correct the address in `listen:`; `ip address` shows those of this machine.",
        )
    return None
