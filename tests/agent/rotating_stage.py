"""What unit tests of a rotation have in common: a spec with its material, read and planned for real."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from handclasp.agent.prepare import Choices, Prepared, prepare
from handclasp.agent.resolve import SystemResolver
from tests import pki
from tests.integration.running import egress_spec, ingress_spec, write_spec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from tests.integration.running import Material


def planned(
    material: Material, spec: Mapping[str, Any], nginx: Path, *, now: datetime = pki.NOW
) -> Prepared:
    """What `run` would put into effect."""
    path = write_spec(material.folder, "unit", spec)
    choices = Choices(spec=path, nginx=str(nginx), state=material.folder / "state")
    prepared = asyncio.run(prepare(choices, now=now, resolver=SystemResolver()))
    assert prepared.plan is not None, prepared.findings
    return prepared


def servers(material: Material, *names: str) -> dict[str, Any]:
    """A spec with a server NAME.example.com for each; their pairs are written."""
    spec = ingress_spec(material, "127.0.0.1:8443", "http://127.0.0.1:9")
    (model,) = spec["ingress"]
    spec["identities"] = {name: material.identity(name) for name in names}
    spec["ingress"] = [
        {**model, "name": name, "identity": name, "server_names": [f"{name}.example.com"]}
        for name in names
    ]
    for name in names:
        write_pair(material, name)
    return spec


def write_pair(material: Material, name: str, label: str = "", **more: Any) -> pki.Pair:
    """A pair for one of those servers; its key is named by `label`."""
    options = {"sans": [f"{name}.example.com"], "usages": [pki.SERVER], **more}
    return material.add(name, key_label=f"{name} {label}", **options)


def clients(material: Material, *ports: int) -> dict[str, Any]:
    """A spec with an egress to each of these ports of 127.0.0.1."""
    spec = egress_spec(material, "127.0.0.1:8080", "https://127.0.0.1:1")
    (model,) = spec["egress"]
    spec["egress"] = [
        {
            **model,
            "name": f"link-{number}",
            "listen": f"127.0.0.1:{8000 + number}",
            "upstream": f"https://127.0.0.1:{port}",
        }
        for number, port in enumerate(ports)
    ]
    return spec
