"""Accidents at every step of a rotation: afterwards a whole pair is served, and the next agent goes on."""

from __future__ import annotations

import contextlib
import sys
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from handclasp.rotate.transaction import Command
from tests import pki
from tests.integration.ingress_stage import until
from tests.integration.rotation_stage import DEDICATED, changing_material, long_form, served
from tests.integration.running import SERVER_NAME, Running, ingress_spec, write_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration
OURS = {"PYTHONPATH": str(Path(__file__).parents[2])}
BUILDS = ("distribution", "wheel")
FORWARD = (
    *(Command.STAGE, Command.TEST, Command.TRY, Command.SWITCH),
    *(Command.APPLY, Command.PROVE, Command.COMMIT),
)
AGENT = [(when, at, "agent") for at in FORWARD for when in ("before", "after")]
NGINX = [("before", at, whom) for at in FORWARD for whom in ("worker", "master")]
FAILURES = [("before", at, "nobody") for at in FORWARD]


def both(cases: list[tuple[str, Command, str]]) -> list[object]:
    """Every case on one build, turn and turn about; on both in the long form."""
    chosen = [
        (*case, build)
        for number, case in enumerate(cases)
        for turn, build in enumerate(BUILDS)
        if long_form() or (number + turn) % 2 == 0
    ]
    return [
        pytest.param(*case, id=f"{case[0]}-{case[1].name.lower()}-{case[2]}-{case[3]}")
        for case in chosen
    ]


@pytest.fixture
def material() -> Iterator[Material]:
    with changing_material() as made:
        yield made


@pytest.mark.parametrize(("when", "at", "whom", "build"), both([*AGENT, *NGINX, *FAILURES]))
def test_after_an_accident_a_whole_pair_is_served_and_the_new_one_in_the_end(
    when: str,
    at: Command,
    whom: str,
    build: str,
    material: Material,
    backend: Backend,
    port: int,
    nginx_builds: dict[str, Path],
) -> None:
    spec = ingress_spec(material, f"127.0.0.1:{port}", f"http://127.0.0.1:{backend.port}")
    path = write_spec(material.folder, "in", {**spec, **DEDICATED})
    accident = (sys.executable, "-m", "tests.integration.crashing", when, at.name, whom)
    with contextlib.ExitStack() as stack:
        first = Running(path, nginx_builds[build], program=accident, env=OURS)
        agent = stack.enter_context(first)
        old, wanted = served(material, port), _renewed(material, "another")
        agent.wait_for(f"accident {when} {at.name}")
        if whom == "agent":
            agent.process.wait(10)
            # nginx serves on without an agent.
            assert served(material, port) == (wanted if _moved(when, at) else old)
            agent = stack.enter_context(Running(path, nginx_builds[build], expect_ready=False))
            agent.wait_for(" ready ", count=2)
        elif whom == "nobody":
            agent.wait_for("new files are not taken")
            assert served(material, port) == old
            wanted = _renewed(material, "a third one")
            agent.wait_for("rotated what=")
        else:
            agent.wait_for("rotated what=", within=60)
        assert until(lambda: bool(agent.status()["ready"]), within=20)
        assert served(material, port) == wanted
        assert list((agent.state / "nginx").glob(".test-*")) == []
        assert not (agent.state / "switch.pending").exists()
        assert not (agent.state / "trial").exists()


def _renewed(material: Material, key: str) -> str:
    """Writes a new pair; returns the SHA-256 of the leaf."""
    new = material.add("server-a", sans=[SERVER_NAME], usages=[pki.SERVER], key_label=key)
    return sha256(new.der).hexdigest()


def _moved(when: str, at: Command) -> bool:
    """Whether the link had moved by then."""
    before = FORWARD.index(at) < FORWARD.index(Command.SWITCH)
    return not (before or (at is Command.SWITCH and when == "before"))
