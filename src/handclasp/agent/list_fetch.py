"""Fetching revocation lists over http and https (edge).

A list is believed for its signature, not for where it came from: https hides which CA is asked about, and
keeps others from holding an old list out to us. Everything about the answer is bounded: its size, its time,
its redirects; nothing in it is unpacked.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import aiohttp

from handclasp.spec.lists import check_list_url

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_BYTES = 64 * 1024 * 1024
FETCH_SECONDS = 60.0
SILENT_SECONDS = 15.0
MOST_REDIRECTS = 5
_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_ACCEPTED = "application/pkix-crl, application/x-pkcs7-crl, application/x-pem-file, */*;q=0.1"
_CHUNK = 65_536


class NotFetchedError(Exception):
    """Why a list could not be had, in a sentence."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What the server called the version that is known (RFC 9110 sections 8.8.2 and 8.8.3)."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Those that ask for another version only (RFC 9110 section 13.1)."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in asked.items() if value}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the server sent; `body` is None when nothing is newer than the validators."""

    body: bytes | None
    validators: Validators


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an answer may be, and how long it may take, in seconds altogether and without a byte."""

    most_bytes: int = MOST_BYTES
    seconds: float = FETCH_SECONDS
    silent: float = SILENT_SECONDS


_USUAL = Bounds()


async def fetch(
    url: str,
    *,
    known: Validators | None = None,
    authorities: bytes | None = None,
    bounds: Bounds = _USUAL,
) -> Fetched:
    """The bytes at `url`. `authorities`: PEM of the CAs that an https server is verified with.

    Raises NotFetchedError for everything that can go wrong on the way.
    """
    try:
        async with asyncio.timeout(bounds.seconds), _session(bounds) as session:
            return await _following(session, url, known or Validators(), authorities, bounds)
    except TimeoutError:
        told = f"no whole answer in {bounds.seconds:g} s, or nothing for {bounds.silent:g} s"
        raise NotFetchedError(told) from None
    except aiohttp.ClientConnectorCertificateError as error:
        raise NotFetchedError(f"the server is not verified: {error.certificate_error}") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise NotFetchedError(str(error) or type(error).__name__) from None


def _session(bounds: Bounds) -> aiohttp.ClientSession:
    # No proxy of the environment, no .netrc, no cookies, and nothing is unpacked.
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=bounds.silent, sock_read=bounds.silent
        ),
        headers={"Accept": _ACCEPTED, "Accept-Encoding": "identity", "User-Agent": "handclasp"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _following(
    session: aiohttp.ClientSession,
    url: str,
    known: Validators,
    authorities: bytes | None,
    bounds: Bounds,
) -> Fetched:
    at = url
    for _ in range(MOST_REDIRECTS + 1):
        tls = await _context(at, authorities)
        async with session.get(
            at, allow_redirects=False, headers=known.headers(), ssl=tls
        ) as answer:
            if answer.status not in _REDIRECTS:
                return await _answered(answer, known, bounds)
            at = _next(at, answer.headers)
    raise NotFetchedError(f"the server redirects more than {MOST_REDIRECTS} times")


def _next(at: str, headers: Mapping[str, str]) -> str:
    place = headers.get("Location")
    if not place:
        raise NotFetchedError("the server redirects to nowhere")
    following = urljoin(at, place)
    try:
        check_list_url(following)
    except ValueError as error:
        raise NotFetchedError(f"the server redirects to another kind of place: {error}") from None
    if at.lower().startswith("https:") and not following.lower().startswith("https:"):
        raise NotFetchedError("the server redirects from https to http")
    return following


async def _answered(answer: aiohttp.ClientResponse, known: Validators, bounds: Bounds) -> Fetched:
    if answer.status == 304 and known.headers():
        return Fetched(None, known)
    if answer.status != 200:
        raise NotFetchedError(f"the server answers {answer.status} {answer.reason or ''}".rstrip())
    if (coding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise NotFetchedError(f"the answer is packed ({coding}), which was not asked for")
    too_much = NotFetchedError(f"the answer has more than {bounds.most_bytes} bytes")
    if (answer.content_length or 0) > bounds.most_bytes:
        raise too_much
    body = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > bounds.most_bytes:
            raise too_much
    validators = Validators(answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
    return Fetched(bytes(body), validators)


async def _context(url: str, authorities: bytes | None) -> ssl.SSLContext | bool:
    if not url.lower().startswith("https:"):
        return True  # nothing to verify
    if authorities is None:
        raise NotFetchedError("there are no public CAs on this machine to verify the server with")
    return await asyncio.to_thread(_verifying, authorities)


def _verifying(authorities: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authorities.decode("ascii", "replace"))
    return context
