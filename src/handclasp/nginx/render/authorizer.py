"""Asking the agent about a caller, and remembering what it said.

`auth_request` sends a subrequest to the agent's socket; its answer is kept in a cache of nginx's. The key
holds all that an answer depends on: the rules that cover the request, the policy in force, the result of
the verification and the whole certificate. The policy is the real name of a directory that a link leads
to, so that moving the link makes every answer of before unreachable, without a reload and for requests on
open connections too.

An answer that does not come, or is none, is no entry: auth_request makes 500 of it, which the link's
page turns into 503. What nginx may serve meanwhile is bounded by `stale-if-error` in the answers alone;
`proxy_cache_use_stale` would serve them for ever (docs/decisions/0014).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from handclasp.nginx.render.allow import rule_variable, trusted_hop_variable
from handclasp.nginx.render.servers import INTERNAL
from handclasp.nginx.render.text import block, directive, duration, entry, identifier, size

if TYPE_CHECKING:
    from handclasp.nginx.parts import Authorizer, IngressServer, Plan
    from handclasp.nginx.render.context import Context

QUESTION = "X-Handclasp-"
"""Begins the request headers that a question consists of."""
ANSWER = "HC-"
"""Begins the response headers that carry identity headers: as they are, nginx would act on some."""
REASON, HOP = "HC-Reason", "HC-Hop"

_LOCATION = f"{INTERNAL}/authorize"
_POLICY = "$hc_policy"  # to be asked for in that location alone, whose root is the link
_UPSTREAM = _ZONE = "hc_authorizer"
_KEYS = "10m"  # some 80,000 answers
_MOST_BYTES = "256m"
_ANSWER_SECONDS = timedelta(seconds=2)
_BESIDE = 3 * 1024
"""Of key and headers, besides the certificate and the identity headers."""
_INSIDE = r'[^"\\\x00-\x1f\x7f-\xff]++|\\(?:[ -\[\]-~]|\\(?!"))'
_KEY = "(?i:By|Hash|Cert|Chain|Subject|URI|DNS)"
_PAIR = rf'{_KEY}=(?:"(?:{_INSIDE})*+"|[^",;\\\x00-\x20\x7f-\xff]*+)'
_MOST_REPEATED = 65_535
_PREVIOUS = rf"(?<hc_previous>{_PAIR}(?:[ \t]*+(?:,|;[ \t]*+){_PAIR})*+)"
"""An XFCC value that all readers take apart alike: behind a quote that some think is open, our element would
be part of the hop's. A quote after an escaped backslash is one that they differ on. No blank follows a comma
(Envoy writes none): from nginx 1.23.0 on, `, ` is where two headers were joined, and the first may be what
the hop's own client sent."""
_UNREADABLE = 'Subject=""'
"""Stands for what a trusted hop sent and is no such value. Were it left out, the hop would pass for the
original caller; this names nobody."""


def authorizer_fragment(plan: Plan, context: Context) -> list[str]:
    """For the http context: the socket and the memory of answers, where a link asks."""
    asking = [server.authorizer for server in plan.ingress if server.authorizer]
    if not asking:
        return []
    longest = max(one.fresh + one.outage for one in asking)
    return [
        *block(
            "upstream",
            _UPSTREAM,
            body=[
                directive("server", f"unix:{context.layout.authorizer_socket}", "max_fails=0"),
                directive("keepalive", 16),
            ],
        ),
        directive(
            "proxy_cache_path",
            context.layout.answers,
            "levels=1:2",
            f"keys_zone={_ZONE}:{_KEYS}",
            f"max_size={_MOST_BYTES}",
            f"inactive={duration(longest)}",
            "use_temp_path=off",
        ),
        # nginx follows the link anew each time `$realpath_root` is named, at 5 to 7 µs a time: a map does it
        # once a request, and key and question then name the same policy.
        *block(
            "map",
            "$realpath_root",
            _POLICY,
            body=['default "";', entry(r"~\A(?<hc_followed>/.+)\z", "$hc_followed")],
        ),
        # Without the link nobody can tell under which policy an answer was given.
        *block("map", _POLICY, "$hc_unremembered", body=['default "";', entry("", 1)]),
    ]


def authorizer_maps(server: IngressServer) -> list[str]:
    """For the http context: which certificates are too large to be asked about, and XFCC to append to."""
    asked = server.authorizer
    if asked is None:
        return []
    lines = block(
        "map",
        "$ssl_client_escaped_cert",
        too_large_variable(server.link),
        # PCRE knows how long a match is at least, and does not begin with a shorter text.
        body=['default "";', entry(rf"~\A{_at_least(asked.certificate_size + 1)}", 1)],
    )
    for position, header in enumerate(asked.headers):
        if header.append:
            own = _value_variable(server.link, position)
            sent = f"$http_{identifier(header.name.lower())}"
            lines += block(
                "map",
                f"{trusted_hop_variable(server.link)}:{sent}",
                _appended_variable(server.link),
                body=[
                    f"default {own};",
                    entry(rf"~\A1:{_PREVIOUS}\z", f"$hc_previous,{own}"),
                    entry(r"~\A1:.", f"{_UNREADABLE},{own}"),
                ],
            )
    return lines


def authorize_location(server: IngressServer, context: Context) -> list[str]:
    """The location of the subrequest."""
    asked = server.authorizer
    if asked is None:
        return []
    question = {
        "Link": server.link,
        "Rule": rule_variable(server.link),
        "Policy": _POLICY,
        "Verify": "$ssl_client_verify",
        "Certificate": "$ssl_client_escaped_cert",
    }
    key = "|".join(question[part] for part in ("Link", "Rule", "Policy", "Verify", "Certificate"))
    return block(
        "location",
        "=",
        _LOCATION,
        body=[
            "internal;",
            # None of the server's: a page made of a failure here may have status 200 (render.grpc), which
            # auth_request would take for a yes. 599 is nobody's status.
            directive("error_page", 599, f"{_LOCATION}/none"),
            directive("root", context.layout.policy / "current"),
            directive("proxy_pass", f"http://{_UPSTREAM}/"),
            directive("proxy_http_version", "1.1"),
            directive("proxy_pass_request_headers", "off"),
            directive("proxy_pass_request_body", "off"),
            directive("proxy_set_header", "Host", "agent"),
            directive("proxy_set_header", "Connection", ""),
            directive("proxy_set_header", "Content-Length", ""),
            *(
                directive("proxy_set_header", f"{QUESTION}{name}", value)
                for name, value in question.items()
            ),
            directive("proxy_connect_timeout", duration(_ANSWER_SECONDS)),
            directive("proxy_send_timeout", duration(_ANSWER_SECONDS)),
            directive("proxy_read_timeout", duration(_ANSWER_SECONDS)),
            # One try, and a second one where the agent has closed a kept-open connection.
            directive("proxy_next_upstream", "error"),
            directive("proxy_next_upstream_tries", 1),
            directive("proxy_intercept_errors", "off"),
            directive("proxy_ignore_headers", "X-Accel-Redirect", "X-Accel-Charset", "Vary"),
            directive("proxy_buffering", "on"),
            *_buffers(asked),
            # Of the files of answers; nginx looks whether it is still the one it remembers.
            directive("open_file_cache", "max=1024", "inactive=60s"),
            directive("open_file_cache_valid", "60s"),
            directive("proxy_cache", _ZONE),
            directive("proxy_cache_key", key),
            # What says nothing of how long it holds is kept for no time, errors included.
            directive("proxy_cache_valid", 200, 0),
            directive("proxy_cache_min_uses", 1),
            directive("proxy_cache_use_stale", "off"),
            directive("proxy_cache_lock", "off"),
            directive("proxy_cache_bypass", "$hc_unremembered"),
            directive("proxy_no_cache", "$hc_unremembered"),
        ],
    )


def authorize_directives(server: IngressServer) -> list[str]:
    """For every location that passes requests on: asks, and keeps what the answer says."""
    asked = server.authorizer
    if asked is None:
        return []
    lines = [
        directive("auth_request", _LOCATION),
        directive("auth_request_set", reason_variable(server.link), _upstream(REASON)),
    ]
    if asked.hops:
        lines.append(
            directive("auth_request_set", trusted_hop_variable(server.link), _upstream(HOP))
        )
    return lines + [
        directive(
            "auth_request_set",
            _value_variable(server.link, position),
            _upstream(f"{ANSWER}{one.name}"),
        )
        for position, one in enumerate(asked.headers)
    ]


def composed_headers(server: IngressServer) -> list[tuple[str, str]]:
    """Identity headers for the backend whose values the agent gave; an empty one is not sent."""
    if server.authorizer is None:
        return []
    return [
        (
            header.name,
            _appended_variable(server.link)
            if header.append
            else _value_variable(server.link, position),
        )
        for position, header in enumerate(server.authorizer.headers)
    ]


def reason_variable(link: str) -> str:
    """The variable with the reason of a refusal, for the log."""
    return f"$hc_reason_{identifier(link)}"


def too_large_variable(link: str) -> str:
    """The variable that says whether the caller's certificate is larger than the link admits."""
    return f"$hc_too_large_{identifier(link)}"


def _buffers(asked: Authorizer) -> list[str]:
    # It must take all of an answer: one that does not fit is not remembered, and nobody says so.
    room = asked.certificate_size + asked.header_room + _BESIDE
    room = -(-room // 4096) * 4096
    return [
        directive("proxy_buffer_size", size(room)),
        directive("proxy_buffers", 4, size(room)),
        directive("proxy_busy_buffers_size", size(2 * room)),
        directive("proxy_max_temp_file_size", 0),
    ]


def _at_least(count: int) -> str:
    """A pattern for so many signs; PCRE counts a repetition up to 65,535."""
    whole, rest = divmod(count, _MOST_REPEATED)
    return rf".{{{_MOST_REPEATED}}}" * whole + (rf".{{{rest}}}" if rest else "")


def _upstream(header: str) -> str:
    return f"$upstream_http_{identifier(header.lower())}"


def _value_variable(link: str, position: int) -> str:
    return f"$hc_value_{position}_{identifier(link)}"


def _appended_variable(link: str) -> str:
    return f"$hc_appended_{identifier(link)}"
