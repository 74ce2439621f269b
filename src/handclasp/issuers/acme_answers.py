"""Answers as the `requests` package gives them to that of ACME: read within bounds, and why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handclasp.issuers.protocol import IssuerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT = 1024 * 1024
"""Bytes of an answer that are read; a chain of sixteen certificates has a fiftieth of it."""
_CHUNK = 65_536


def bounded_for(server: str) -> Callable[..., None]:
    """A hook for responses that reads one as far as LIMIT, then raises IssuerError; without it an answer is
    read to its end, whenever that comes. `server` is how sentences call it."""

    def bounded(response: Any, *_: Any, **__: Any) -> None:
        body = bytearray()
        for chunk in response.iter_content(_CHUNK):
            body += chunk
            if len(body) > LIMIT:
                response.close()
                raise IssuerError(f"{server} answered with more than {LIMIT // 1024} KiB")
        response._content = bytes(body)  # noqa: SLF001  what `content` gives, once read

    return bounded


def causes(error: BaseException) -> Iterator[Any]:
    """`error` and what is behind it: requests and urllib3 wrap in arguments and in `reason`."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]
