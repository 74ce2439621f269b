"""What every ingress of the benchmark writes and removes, so that all do the same job."""

from __future__ import annotations

from handclasp.backend.dialects import stripped_headers

WRITTEN = frozenset(
    {
        "x-real-ip",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-client-cert",
        "x-client-verify",
        "x-client-subject",
        "x-client-issuer",
        "x-client-serial",
        "x-client-fingerprint",
        "x-client-not-after",
    }
)
"""Lower-case names that are set, hence replaced, on the way to the backend."""


def removed() -> tuple[str, ...]:
    """Names removed from what a caller sends, in the hyphen spelling.

    The spellings with `_` are refused by nginx itself, and the number of rules is the same for
    every proxy this way.
    """
    return tuple(n for n in stripped_headers() if "_" not in n and n not in WRITTEN)
