"""inherited.conf: what our servers say so that an existing installation's http context does not say it.

nginx hands down nearly every directive to servers that do not set it themselves. Each line here is the
default of its directive, stated. Left to the installation is what only restricts or decorates (limits,
`allow` and `deny`, `auth_basic`, `add_header`, real client addresses), since its owner meant it for all.
What no value switches off is refused instead (nginx.existing).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.features import Feature
from handclasp.nginx.render.text import directive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handclasp.nginx.render.context import Context

INHERITED_FILE = "inherited.conf"

_CORE = (
    ("client_body_in_file_only", "off"),
    ("chunked_transfer_encoding", "on"),
    ("limit_rate", 0),
    ("recursive_error_pages", "off"),
    # With `any`, an `allow` for an address would let callers in whom the agent refuses.
    ("satisfy", "all"),
    # The look whether a caller is denied (`-f`) would be answered from memory, for as long as they like.
    ("open_file_cache", "off"),
    # It would not see a file behind a link, and take a denied caller for a welcome one.
    ("disable_symlinks", "off"),
)
# Module → its directives. Only modules that are part of the program: one that is loaded may be absent.
_BY_MODULE: dict[str, tuple[tuple[str, object], ...]] = {
    "http_addition": (("add_before_body", ""), ("add_after_body", "")),
    "http_auth_request": (("auth_request", "off"),),
    "http_cache": (("proxy_cache", "off"),),
    "http_charset": (("charset", "off"),),
    "http_gunzip": (("gunzip", "off"),),
    "http_gzip": (("gzip", "off"),),
    "http_mirror": (("mirror", "off"),),
    "http_slice": (("slice", 0),),
    "http_ssi": (("ssi", "off"),),
    "http_userid": (("userid", "off"),),
}
# Of the upstream modules; a location that needs another value states it.
_PROXY = (
    ("store", "off"),
    ("cookie_domain", "off"),
    ("cookie_path", "off"),
    ("force_ranges", "off"),
    ("ignore_client_abort", "off"),
    ("limit_rate", 0),
    ("pass_request_body", "on"),
    ("pass_request_headers", "on"),
)
_BOTH = (
    ("bind", "off"),
    ("next_upstream_timeout", 0),
    ("socket_keepalive", "off"),
    # Lists are handed down whole unless there is one here; this name is nobody's header.
    ("hide_header", "X-Handclasp-None"),
    ("pass_header", "X-Handclasp-None"),
    ("ssl_certificate", ""),
    ("ssl_certificate_key", ""),
    ("ssl_crl", ""),
)


def inherited_fragment(context: Context) -> list[str]:
    """inherited.conf, included by every server that passes requests on."""
    facts = context.facts
    lines = [directive(*one) for one in (*_CORE, ("expires", "off"))]
    for module, directives in _BY_MODULE.items():
        if module in facts.modules:
            lines += [directive(*one) for one in directives]
    lines += [directive(f"proxy_{name}", value) for name, value in (*_PROXY, *_BOTH)]
    if facts.has(Feature.GRPC):
        lines += [directive(f"grpc_{name}", value) for name, value in _BOTH]
    return lines


def inherited_include(context: Context) -> Iterator[str]:
    """The include of it, for an nginx whose http context is not ours."""
    if context.include_base is not None:
        yield context.include(INHERITED_FILE)
