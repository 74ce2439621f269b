"""Many identities at once: one change, and one that cannot be taken keeps none of the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.ingress_stage import until
from tests.integration.rotation_stage import DEDICATED, changing_material, long_form, version
from tests.integration.running import Running, ingress_spec, write_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration
MANY = 200 if long_form() else 24


@pytest.fixture
def material() -> Iterator[Material]:
    with changing_material() as made:
        yield made


def spec_of_many(material: Material, port: int, backend: Backend) -> dict[str, Any]:
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    (model,) = spec["ingress"]
    spec["identities"] = {name: material.identity(name) for name in names()}
    spec["ingress"] = [
        {**model, "name": name, "identity": name, "server_names": [f"{name}.example.com"]}
        for name in names()
    ]
    return {**spec, **DEDICATED}


def names() -> list[str]:
    return [f"many-{number}" for number in range(MANY)]


def add(material: Material, name: str, label: str, **more: Any) -> None:
    material.add(name, sans=[f"{name}.example.com"], usages=[pki.SERVER], key_label=label, **more)


def test_all_but_the_bad_one_of_many_are_renewed_together(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    for name in names():
        add(material, name, "before")
    path = write_spec(material.folder, "many", spec_of_many(material, port, backend))
    with Running(path, nginx_build) as agent:
        before = {name: version(agent, name) for name in names()}
        bad = names()[7]
        for name in names():
            if name != bad:
                add(material, name, "after")
        (material.folder / f"{bad}.pem").write_text("no certificate\n")

        def renewed() -> int:
            return sum(version(agent, name) != before[name] for name in names())

        assert until(lambda: renewed() == MANY - 1, within=90)
        assert version(agent, bad) == before[bad]
        assert "Traceback" not in agent.text
