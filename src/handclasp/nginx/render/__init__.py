"""Plan in, configuration text out. Pure: the same plan gives the same bytes.

``text``       quoting, directives, blocks
``context``    what every fragment needs: plan, build, places
``process``    nginx.conf: the main context of an nginx of our own
``http``       http.conf: maps, upstreams, includes of the rest
``upstreams``  upstream blocks and the directives of a location that uses one
``draining``   telling callers, before a reload, not to use their connections again
``failures``   what an application sees when an egress link fails
``egress``     link-NAME.conf of egress links
``ingress``    listeners.conf and link-NAME.conf of ingress links
``plain_listeners``  redirects.conf and health listeners
``challenges``  the location where challenges of ACME servers are answered
``authorizer``  asking the agent about callers, and keeping what it said
``callers_log``  a line per connection: who comes, with which certificate
``denied``     the file that says a certificate is denied, where nginx decides by itself
``inherited``  what keeps an existing installation's http context out of our servers
``refusals``   the pages of refused callers
``allow``      allow rules as patterns
``headers``    what is stripped and set
``passing``    configurations of an nginx that runs for a moment
``trial``      a configuration of its own, by which new identities are tried
``tokens``     openssl.cnf, where a key is in a token
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handclasp.nginx.render.context import Context
from handclasp.nginx.render.egress import egress_fragment
from handclasp.nginx.render.headers import strip_file, strip_fragment
from handclasp.nginx.render.http import http_fragment, link_file
from handclasp.nginx.render.ingress import ingress_fragment, listeners_fragment
from handclasp.nginx.render.inherited import INHERITED_FILE, inherited_fragment
from handclasp.nginx.render.plain_listeners import redirects_fragment
from handclasp.nginx.render.process import main_fragment
from handclasp.nginx.render.tokens import OPENSSL_FILE, openssl_fragment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import PurePosixPath

    from handclasp.nginx.facts import Facts
    from handclasp.nginx.layout import Layout
    from handclasp.nginx.parts import Plan


def render(
    plan: Plan,
    facts: Facts,
    layout: Layout,
    *,
    identity_pins: Mapping[str, str] | None = None,
    trust_pins: Mapping[str, str] | None = None,
    include_base: PurePosixPath | None = None,
    pins_in: PurePosixPath | None = None,
) -> dict[str, str]:
    """File name → text. Includes are relative, so the set works in any directory.

    `include_base`, the folder the files will lie in, is for an nginx whose main file lies elsewhere.
    With pins (name → version) the files of those versions are named outright: what `nginx -t` gets.
    `pins_in`: where the files with PINs of tokens are; default: the current generation.
    """
    context = Context(
        plan, facts, layout, identity_pins or {}, trust_pins or {}, include_base, pins_in
    )
    fragments = {
        "nginx.conf": main_fragment(context),
        "http.conf": http_fragment(context),
        "listeners.conf": listeners_fragment(context),
        "redirects.conf": redirects_fragment(context),
        **{strip_file(kind): strip_fragment(plan, kind) for kind in ("proxy", "grpc")},
        **{link_file(one.link): egress_fragment(one, context) for one in plan.egress},
        **{link_file(one.link): ingress_fragment(one, context) for one in plan.ingress},
    }
    if plan.tokens is not None:
        fragments[OPENSSL_FILE] = openssl_fragment(plan.tokens, context)
    if include_base is not None:
        fragments[INHERITED_FILE] = inherited_fragment(context)
    return {name: "\n".join(lines) + "\n" for name, lines in fragments.items()}


__all__ = ["render"]
