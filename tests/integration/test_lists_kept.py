"""No start and no HUP goes back to an older revocation list, unless somebody says so; and how often nginx is
told to read lists."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests import pki
from tests.integration.ingress_stage import link, ports, spec_of, until
from tests.integration.running import Running, handclasp, write_spec
from tests.integration.test_deny import ASKING, NATIVE, Denying
from tests.list_server import ListServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration


def spec(material: Material, port: int, backend: Backend, **trust: Any) -> dict[str, Any]:
    to, listen = f"http://127.0.0.1:{backend.port}", f"127.0.0.1:{port}"
    asked = {"trust": "company", "allow": ["dns:svc-b.internal"]}
    links = [
        link("asking", listen, to, clients=asked, forward=["rfc9440"]),
        link("native", listen, to),
    ]
    lists = {"certificates": ["ca.pem"], "crl": ["kept.crl"], **trust}
    return spec_of(material, links, trust={"company": lists})


def put(material: Material, content: bytes) -> None:
    """As a backup puts it back: a new file, of before."""
    fresh = material.folder / "kept.crl.fresh"
    fresh.write_bytes(content)
    os.utime(fresh, (1e9, 1e9))
    fresh.rename(material.folder / "kept.crl")


def begun(material: Material, port: int, backend: Backend, name: str, **trust: Any) -> Path:
    material.add("server-a", sans=[ASKING, NATIVE], usages=[pki.SERVER])
    return write_spec(material.folder, f"{name}-{port}", spec(material, port, backend, **trust))


def test_an_agent_that_comes_back_takes_no_older_list_unless_told_to(
    material: Material, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    older = pki.crl(material.ca, number=4)
    put(material, pki.crl(material.ca, [material.client], number=5))
    path = begun(material, port, backend, "back")
    copy = path.with_suffix(".state") / "lists" / "company" / "in-force.crl"
    with Running(path, nginx_build) as running:
        here = Denying(material, running, port)
        assert 200 not in here.both()
        assert until(copy.exists, 5)
        running.process.kill()
        running.process.wait(5)
        put(material, older)
        with Running(path, nginx_build) as again:
            again.wait_for("nginx adopted")
            here = Denying(material, again, port)
            assert 200 not in here.both()
            assert until(lambda: "older (number 4 after 5)" in again.text, 5)
            assert "[crl-not-taken]" in again.text
            assert until(lambda: again.status()["callers"]["lists"] is not None, 5)
            status = again.status()["callers"]["lists"]
            assert "stays in force: that in " in status
            assert "kept.crl is older" in status
            again.reload()
            again.wait_for("nothing changed")
            assert 200 not in here.both()
            told = ("-c", path, "--state-dir", again.state)
            done = handclasp("take", "--force", *told, cwd=material.folder)
            assert done.returncode == 0, done.stdout + done.stderr
            assert until(lambda: here.both() == (200, 200), 10), again.text
            assert until(lambda: again.status()["callers"]["lists"] is None, 5)
            kept = older.replace(b"\n", b"")
            assert until(lambda: copy.read_bytes().replace(b"\n", b"") == kept, 5)
            again.reload()
            again.wait_for("nothing changed", count=2)
            assert here.both() == (200, 200), "what was ordered is in force"


def test_without_its_copy_an_older_list_is_a_list(
    material: Material, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    put(material, pki.crl(material.ca, [material.client], number=5))
    path = begun(material, port, backend, "bare")
    folder = path.with_suffix(".state") / "lists" / "company"
    with Running(path, nginx_build) as running:
        assert 200 not in Denying(material, running, port).both()
        assert until((folder / "in-force.crl").exists, 5)
    put(material, pki.crl(material.ca, number=4))
    done = handclasp("check", "-c", path, "--nginx", nginx_build, cwd=material.folder)
    assert "crl-not-taken" not in done.stdout, "another state directory"
    told = ("check", "-c", path, "--nginx", nginx_build, "--state-dir", folder.parent.parent)
    done = handclasp(*told, cwd=material.folder)
    assert (done.returncode, "[crl-not-taken]" in done.stdout) == (0, True), done.stdout
    (folder / "in-force.crl").unlink()
    with Running(path, nginx_build) as running:
        running.wait_for(" ready ", count=2)
        assert Denying(material, running, port).both() == (200, 200)


def test_a_list_that_ran_out_and_cannot_be_renewed_ends_the_start_with_3(
    material: Material, nginx_build: Path, backend: Backend
) -> None:
    """Whoever starts it is to try again."""
    (port,) = ports(1)
    now = datetime.now(UTC)
    before, end = now - timedelta(hours=2), now - timedelta(hours=1)
    put(material, pki.crl(material.ca, last_update=before, next_update=end))
    path = begun(material, port, backend, "ended")
    command = ("-c", path, "--nginx", nginx_build, "--state-dir", path.with_suffix(".state"))
    done = handclasp("run", *command, cwd=material.folder)
    assert (done.returncode, "crl-expired" in done.stderr) == (3, True), done.stderr
    put(material, pki.crl(pki.authority("Stranger")))
    done = handclasp("run", *command, cwd=material.folder)
    assert done.returncode == 1, "a list that has to be changed"


def test_where_nginx_has_no_lists_it_is_not_told_of_newer_ones(
    material: Material, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    put(material, pki.crl(material.ca, number=1))
    path = begun(material, port, backend, "late", crl_expired={"keep_last": "2h"})
    with Running(path, nginx_build) as running:
        here = Denying(material, running, port)
        assert here.both() == (200, 200)
        before = running.status()["nginx"]
        put(material, pki.crl(material.ca, [material.client], number=2))
        assert until(lambda: here.both() == (403, 403), 10)
        running.wait_for("nothing changed")
        assert running.status()["nginx"] == before
        versions = list((running.state / "trust" / "company").iterdir())
        assert not [one for one in versions if (one / "crl.pem").exists()]


def test_what_was_fetched_goes_when_the_spec_in_effect_names_it_no_longer(
    material: Material, nginx_build: Path, backend: Backend
) -> None:
    (port,) = ports(1)
    put(material, pki.crl(material.ca, number=1))
    with ListServer() as server:
        server.put(pki.crl(material.ca, number=1))
        path = begun(material, port, backend, "gone", crl=[server.url()])
        folder = path.with_suffix(".state") / "lists" / "company"
        with Running(path, nginx_build) as running:
            assert until((folder / "in-force.crl").exists, 5)
            assert len(list(folder.iterdir())) == 3
            begun(material, port, backend, "gone", crl=["absent.crl"])
            running.reload()
            running.wait_for("change refused")
            assert len(list(folder.iterdir())) == 3, "it is in effect still"
            begun(material, port, backend, "gone")
            running.reload()
            running.wait_for(" ready ", count=2)
            assert [one.name for one in folder.iterdir()] == ["in-force.crl"]
