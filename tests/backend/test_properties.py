"""Whatever arrives: an identity, nobody, or an IdentityError, and never anything else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from handclasp.backend import DIALECTS, ClientIdentity, IdentityError, encode_handclasp, parse
from handclasp.backend.compact import decode_handclasp
from handclasp.backend.readers import READERS
from handclasp.backend.readers.xfcc import element, split
from tests.backend.callers import CASES, facts, headers

if TYPE_CHECKING:
    from tests.backend.callers import Headers

DIALECT = st.sampled_from(sorted(DIALECTS))
# In the others a byte of the signature can change unseen: the proxy verified it, not we.
WITH_DIGEST = ("x-client-cert", "x-ssl-cert", "haproxy", "handclasp", "xfcc")
ANY = st.text(max_size=80) | st.text('%=:;,"\\ +/-{}[]ACMIN019afn\r\n\t', max_size=80)


def check(told: Headers, dialect: str) -> ClientIdentity | None:
    try:
        identity = parse(told, dialect, hop="nearest")
    except IdentityError as error:
        said = str(error)
        assert said.isascii()
        assert said.isprintable()
        return None
    assert identity is None or (identity.subject.isascii() and identity.dialect == dialect)
    return identity


@given(st.data(), DIALECT)
@settings(max_examples=400, deadline=None)
def test_any_text_in_any_header_is_an_identity_nobody_or_refused(
    data: st.DataObject, dialect: str
) -> None:
    names = st.sampled_from(READERS[dialect].names)
    told = data.draw(st.lists(st.tuples(names, ANY), max_size=4, unique_by=lambda pair: pair[0]))
    identity = check(told, dialect)
    # Nobody gets a certificate by accident.
    assert identity is None or identity.certificate is None


@given(st.data(), DIALECT, st.sampled_from(CASES))
@settings(max_examples=400, deadline=None)
def test_a_header_damaged_anywhere_is_refused_or_still_says_the_same(
    data: st.DataObject, dialect: str, case: str
) -> None:
    told = headers(dialect, case)
    index = data.draw(st.integers(0, len(told) - 1))
    name, value = told[index]
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 8)))
    damaged = value[:start] + data.draw(ANY) + value[end:]
    identity = check([*told[:index], (name, damaged), *told[index + 1 :]], dialect)
    if identity is not None and dialect in WITH_DIGEST:
        assert identity.sha256 == facts(case).sha256
        assert identity.subject == facts(case).subject


@given(st.text('By=URI;,"\\ hashDNSx', max_size=60) | st.text(max_size=40))
@settings(max_examples=300)
def test_elements_are_split_or_refused_and_hold_known_keys_only(text: str) -> None:
    try:
        found = [element(pairs) for pairs in split(text)]
    except IdentityError:
        return
    for values in found:
        assert values
        assert set(values) <= {"by", "hash", "cert", "chain", "subject", "uri", "dns"}


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp", "Zs"]))


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    st.lists(PRINTABLE),
    st.datetimes(timezones=st.just(UTC)).filter(lambda moment: moment.year >= 1000),
    st.none() | st.binary(max_size=40),
)
def test_what_the_compact_header_encodes_is_one_ascii_line_and_reads_back(
    subject: str, sans: list[str], moment: datetime, certificate: bytes | None
) -> None:
    when = moment.replace(microsecond=0)
    text = encode_handclasp(
        subject=subject,
        issuer="CN=Test CA",
        sans=sans,
        serial="-0A",
        sha256="0" * 64,
        not_after=when,
        certificate=certificate,
    )
    assert text.isascii()
    assert text.isprintable()
    read = decode_handclasp(text)
    assert read.subject == subject
    assert read.sans == tuple(sans)
    assert read.not_after == when
    assert read.certificate == certificate
