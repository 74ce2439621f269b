"""Which links an end breaks."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import yaml

from handclasp.monitor.uses import Uses, uses_of
from handclasp.spec.load import parse_spec

SPEC: dict[str, Any] = {
    "identities": {name: {"certificate": f"{name}.pem"} for name in ("b", "x", "server", "idle")},
    "trust": {name: {"certificates": [f"{name}.pem"]} for name in ("company", "others")},
    "egress": [
        {
            "name": "orders",
            "listen": "127.0.0.1:8080",
            "upstream": "https://a.example.com",
            "identity": "b",
            "trust": "company",
            "routes": [{"path": "/p/", "identity": "x", "trust": "others"}],
        }
    ],
    "ingress": [
        {
            "name": "api",
            "listen": "127.0.0.1:8443",
            "server_names": ["a.example.com"],
            "identity": "server",
            "clients": {"trust": "company", "allow": "any"},
            "backend": "https://localhost:8000",
            "backend_tls": {"trust": "others", "identity": "b"},
        }
    ],
}


def uses(**egress: object) -> Uses:
    spec = {**SPEC, "egress": [{**SPEC["egress"][0], **egress}]}
    text = yaml.safe_dump(spec).encode()
    return uses_of(parse_spec(text, source="spec.yaml", base=PurePosixPath("/")).spec)


def test_identities_break_the_links_routes_and_backends_that_present_them() -> None:
    told = uses().identities
    assert told["b"] == (
        "egress orders cannot present it",
        "ingress api cannot present it to its backend",
    )
    assert told["x"] == ("egress orders /p/ cannot present it",)
    assert told["server"] == ("callers refuse ingress api",)
    assert "idle" not in told


def test_trust_breaks_those_who_verify_with_it() -> None:
    told = uses()
    assert told.trust["company"] == (
        "egress orders refuses an upstream whose chain ends there",
        "ingress api refuses a client whose chain ends there",
    )
    assert told.lists["others"] == (
        "egress orders /p/ refuses every upstream of that CA",
        "ingress api refuses every backend of that CA",
    )


def test_a_link_that_verifies_nobody_is_not_broken_by_trust() -> None:
    told = uses(insecure_accept_any=True, routes=[])
    assert told.trust["company"] == ("ingress api refuses a client whose chain ends there",)
    assert told.identities["b"][0] == "egress orders cannot present it"
