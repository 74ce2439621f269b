"""The one list of identity headers: what it holds, and that others agree with it."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from handclasp.backend.dialects import (
    DIALECTS,
    FORWARDING_HEADERS,
    OTHER_IDENTITY_HEADERS,
    STRICT_PREFIXES,
    Field,
    stripped_headers,
)
from handclasp.spec.links import HEADER_PATTERN, Dialect

EVERY_NAME = [
    *(name for dialect in DIALECTS.values() for name in dialect.headers),
    *OTHER_IDENTITY_HEADERS,
    *FORWARDING_HEADERS,
]


def test_the_spec_and_the_list_know_the_same_dialects() -> None:
    assert set(DIALECTS) == set(get_args(Dialect))
    assert all(name == dialect.name for name, dialect in DIALECTS.items())


def test_every_name_is_stripped_in_both_spellings() -> None:
    stripped = stripped_headers()
    assert list(stripped) == sorted(set(stripped))
    for name in EVERY_NAME:
        assert name.lower() in stripped
        assert name.lower().replace("-", "_") in stripped


def test_names_of_the_spec_are_stripped_as_well() -> None:
    assert {"x-own", "x_own"} <= set(stripped_headers(("X-Own",)))
    assert "x-own" not in stripped_headers()


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_name_can_stand_in_a_configuration(name: str) -> None:
    assert re.fullmatch(HEADER_PATTERN, name)
    assert len(name) <= 46, "nginx's gRPC module has no room for it"


def test_no_name_frames_a_request() -> None:
    framing = {"host", "connection", "content-length", "transfer-encoding", "te", "upgrade"}
    assert not framing & set(stripped_headers())


def test_native_dialects_write_every_field_under_a_name_of_its_own() -> None:
    native = [dialect for dialect in DIALECTS.values() if dialect.native]
    assert {dialect.name for dialect in native} == {"x-client-cert", "x-ssl-cert"}
    written = [name.lower() for dialect in native for name in dialect.fields.values()]
    assert len(written) == len(set(written))
    assert all(set(dialect.fields) == set(Field) for dialect in native)


def test_prefixes_for_strict_stripping_cover_their_dialects() -> None:
    for dialect in DIALECTS.values():
        for name in dialect.headers:
            known = name.lower().startswith(STRICT_PREFIXES)
            assert known or name in ("X-SSL", "X-Client-DN", "X-Client-CN") or dialect.fields
