"""Revocation lists of a trust: files and URLs, and what happens when a list runs out.

No `from __future__ import annotations` in the modules of the model: pydantic reads the annotations.
"""

import re
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from handclasp.spec.links import Name
from handclasp.spec.names import check_host_name, is_ip, shown
from handclasp.spec.policy import Section
from handclasp.spec.types import Duration, Shorthand, SpecPath, kind_of

_MOST_CHARACTERS = 2000


def _list_url(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a URL is expected, not {kind_of(value)}")  # noqa: TRY004  pydantic wants ValueError
    return check_list_url(value)


def check_list_url(text: str) -> str:
    """`http://pki.example.com/ca.crl`, with https as well; path and query as the server wants them.

    Raises ValueError.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise ValueError(
            "the URL of a revocation list begins with http:// or https://; a file is named by its path"
        )
    if not re.fullmatch(r"[\x21-\x7e]+", text) or len(text) > _MOST_CHARACTERS:
        raise ValueError(
            f"the URL holds a blank or a character beyond ASCII, or more than {_MOST_CHARACTERS} characters"
        )
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        raise ValueError("the URL holds a user name or password; leave it out")
    if "#" in text:
        raise ValueError(f"{shown(text)}: what follows # is never sent; leave it out")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not a URL: {error}") from None
    if not host:
        raise ValueError(f"{shown(text)} has no host")
    if not is_ip(host):
        check_host_name(host)
    return text


ListUrl = Annotated[
    str,
    BeforeValidator(_list_url),
    WithJsonSchema({"type": "string", "title": "URL", "description": "http:// or https://"}),
]


class ListSource(Section):
    """Where a revocation list comes from: `crl: [PATH, URL]` is short for files and URLs."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["file"]}, {"required": ["url"]}]}
    )

    file: SpecPath | None = None
    """A file, PEM or DER; looked at twice a second."""
    url: ListUrl | None = None
    """http or https; fetched before nginx starts and then on a schedule, and kept in the state directory."""
    every: Duration | None = None
    """How often the URL is fetched; default: 1h. More often when the list nears its end."""
    trust: Name | None = None
    """Whom an https URL is verified with, one of `trust`; default: the operating system's public CAs."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.url is None):
            raise ValueError("a revocation list is either {file: PATH} or {url: URL}")
        if self.file is not None and (self.every or self.trust):
            key = "every" if self.every else "trust"
            raise ValueError(f"`{key}` is for a URL; a file is looked at all the time")
        if self.trust and not (self.url or "").lower().startswith("https://"):
            raise ValueError("`trust` is for an https URL; over http nobody is verified")
        return self


def _source(value: Any) -> Any:
    if isinstance(value, str):
        return {"url": value} if "://" in value else {"file": value}
    return value


ListEntry = Annotated[ListSource, Shorthand(expand=_source, short={"type": "string"})]
ListEntries = Annotated[list[ListEntry], Field(max_length=1000)]


class ExpiredLists(Section):
    """What happens when a list has run out and no newer one was had; `crl_expired: fail-closed` is the
    default."""

    keep_last: Duration | None = None
    """Honour the last list for so long after its end; then callers of its CA are refused. Links that let
    callers in by this trust ask the agent about each certificate."""


def _expired(value: Any) -> Any:
    if value == "fail-closed":
        return {}
    if isinstance(value, str):
        raise ValueError(  # noqa: TRY004  pydantic wants ValueError
            f"{shown(value)}: write fail-closed, or {{keep_last: 24h}} for a bound after the end of a list"
        )
    return value


WhenExpired = Annotated[ExpiredLists, Shorthand(expand=_expired, short={"enum": ["fail-closed"]})]
