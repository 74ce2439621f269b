"""From request headers to an identity: which headers count, that each is there once, the reader.

`parse` does it once; `IdentityReader` remembers what it has read.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from handclasp.backend.dialects import DIALECTS
from handclasp.backend.identity import IdentityError, Reason
from handclasp.backend.readers import READERS
from handclasp.backend.readers.nginx import renamed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from handclasp.backend.identity import ClientIdentity
    from handclasp.backend.readers.reader import Hop

Text = str | bytes
Collected = tuple[tuple[str, bytes], ...]
"""The headers of one dialect as they came: canonical name (lower-case, `-`) and raw value."""

LARGEST_VALUES: Final = 65536
"""Bytes of all values of a dialect together: four times what a chain of three RSA-4096 takes."""


def parse(
    headers: Mapping[str, str] | Iterable[tuple[Text, Text]], dialect: str, *, hop: Hop = "only"
) -> ClientIdentity | None:
    """Who is calling, by the headers of one dialect; None if they tell of nobody.

    `headers` are pairs as they arrived (ASGI's `scope["headers"]` will do), repeated ones repeated,
    or a mapping. Headers of other dialects do not count. `hop` is for `xfcc` alone.

    Raises IdentityError for anything that leaves a doubt, ValueError for an unknown dialect.
    Believe the result only if the request came from the proxy: the middlewares see to that.
    """
    return IdentityReader(dialect, hop=hop, remembered=0).read(headers)


class IdentityReader:
    """Reads one dialect, remembering the last identities by the bytes of their headers.

    Errors are not remembered. Safe to use from several threads.
    """

    def __init__(
        self,
        dialect: str,
        *,
        hop: Hop = "only",
        headers: Mapping[str, str] | None = None,
        remembered: int = 512,
    ) -> None:
        """`headers`: other names for single fields, as in a link's `forward`
        (`{"certificate": "X-Our-Cert"}`). `remembered` is a number of callers.

        Raises ValueError for an unknown dialect, hop or field.
        """
        if dialect not in READERS:
            raise ValueError(f"no dialect {dialect!r}; there are {', '.join(sorted(READERS))}")
        if hop not in ("only", "nearest", "original"):
            raise ValueError(f"hop is 'only', 'nearest' or 'original', not {hop!r}")
        self.dialect = dialect
        self._hop: Hop = hop
        self._reader = renamed(dialect, headers) if headers else READERS[dialect]
        self.names = frozenset(self._reader.names)
        self._names = {name.encode("ascii"): name for name in self._reader.names}
        self._remembered = functools.lru_cache(maxsize=remembered)(self._read)

    def read(
        self, headers: Mapping[str, str] | Iterable[tuple[Text, Text]]
    ) -> ClientIdentity | None:
        """As `parse`."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return self.read_collected(self.collect(pairs))

    def collect(self, pairs: Iterable[tuple[Text, Text]]) -> Collected:
        """The headers of this dialect. Raises IdentityError for a spelling with `_`, which WSGI and
        CGI take for the same name.
        """
        names = self._names
        found: list[tuple[str, bytes]] = []
        for name, value in pairs:
            raw = name if isinstance(name, bytes) else _latin1(name)
            known = names.get(raw)
            if known is None:
                raw = raw.lower()
                known = names.get(raw) or names.get(raw.replace(b"_", b"-"))
                if known is None:
                    continue
                if b"_" in raw:
                    raise IdentityError(
                        Reason.MISSPELT_HEADER, f"{known} is spelt with an underscore"
                    )
            found.append((known, value if isinstance(value, bytes) else _latin1(value)))
        return tuple(found)

    def read_collected(self, collected: Collected) -> ClientIdentity | None:
        """What `collect` found. Raises IdentityError."""
        if not collected:
            return None
        return self._remembered(collected)

    @property
    def other_names(self) -> frozenset[str]:
        """Lower-case names of the headers of every dialect that this reader does not read."""
        every = frozenset(name.lower() for one in DIALECTS.values() for name in one.headers)
        return every - self.names

    @property
    def reads(self) -> int:
        """How often headers had to be read anew."""
        return self._remembered.cache_info().misses

    def _read(self, collected: Collected) -> ClientIdentity | None:
        if sum(len(value) for _, value in collected) > LARGEST_VALUES:
            raise IdentityError(Reason.OVERSIZED, f"more than {LARGEST_VALUES} bytes of identity")
        values: dict[str, str] = {}
        for name, value in collected:
            if name in values:
                raise IdentityError(Reason.SEVERAL_INSTANCES, f"{name} was sent more than once")
            values[name] = _text(name, value)
        return self._reader.read({name: text for name, text in values.items() if text}, self._hop)


def _text(name: str, value: bytes) -> str:
    """HTTP allows blanks around; anything but printable ASCII inside no encoder writes, save that
    HAProxy's own forms carry names as raw bytes.
    """
    text = value.decode("latin-1").strip(" \t")
    if any(character < " " or character == "\x7f" for character in text):
        raise IdentityError(Reason.MALFORMED, f"{name} holds a control character")
    return text


def _latin1(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise IdentityError(Reason.NOT_ASCII, "a header is not Latin-1") from None
