"""The location of the question to the agent takes over nothing of what stands around it."""

from __future__ import annotations

import pytest

from tests.nginx.planning import DISTRIBUTION, WHEEL, Planner, ingress


def question(build: str, backend: str) -> list[str]:
    link = ingress(backend=backend, clients={"trust": "company", "allow": ["dns:svc-b.internal"]})
    text = Planner(build).text(ingress=[link])["link-api.conf"]
    _, _, rest = text.partition("location = /.handclasp/authorize {")
    assert rest, text
    return [line.strip() for line in rest.partition("}")[0].splitlines()]


@pytest.mark.parametrize("build", [DISTRIBUTION, WHEEL])
@pytest.mark.parametrize("backend", ["http://127.0.0.1:8000", "grpc://127.0.0.1:8000"])
def test_pages_of_the_server_are_not_the_answer_to_a_question(build: str, backend: str) -> None:
    """nginx gives a location that has an error_page none of the server's. A page for gRPC callers has status
    200, and to auth_request that would be a yes."""
    pages = [line for line in question(build, backend) if line.startswith("error_page")]
    assert len(pages) == 1
    assert pages[0].startswith("error_page 599 ")


def test_what_an_http_context_may_say_of_caching_is_stated_here() -> None:
    stated = {tuple(line.rstrip(";").split()[:1]): line for line in question(WHEEL, "http://a:1")}
    for name in (
        "proxy_cache",
        "proxy_cache_key",
        "proxy_cache_valid",
        "proxy_cache_min_uses",
        "proxy_cache_use_stale",
        "proxy_cache_lock",
        "proxy_cache_bypass",
        "proxy_no_cache",
        "proxy_ignore_headers",
        "proxy_next_upstream",
    ):
        assert (name,) in stated
