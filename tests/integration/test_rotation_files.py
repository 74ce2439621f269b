"""However a pair is replaced on disk, a client that shakes hands all the time sees the old or the new one."""

from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.conftest import on
from tests.integration.fault_stage import (
    Client,
    assert_tidy,
    digest,
    handshake,
    new_pair,
    running,
    server_spec,
    told,
)
from tests.integration.ingress_stage import until
from tests.integration.rotation_stage import changing_material, long_form
from tests.integration.running import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests import pki
    from tests.integration.running import Material
    from tests.integration.servers import Backend

pytestmark = pytest.mark.integration
TIMES = 5 if long_form() else 2


@pytest.fixture
def material() -> Iterator[Material]:
    with changing_material() as made:
        yield made


def place(folder: Path, name: str) -> Path:
    """The directory of one identity."""
    return folder / f"{name}.d"


def write(folder: Path, pair: pki.Pair) -> None:
    """tls.crt and tls.key, in place."""
    (folder / "tls.crt").write_bytes(pair.chain_pem)
    key = folder / "tls.key"
    key.touch(mode=0o600)
    key.write_bytes(pair.key_pem)


def in_place(folder: Path, pair: pki.Pair, _: str) -> None:
    """As `cp` and most scripts do: the certificate is truncated and written, then the key."""
    write(folder, pair)


def rename_over(folder: Path, pair: pki.Pair, label: str) -> None:
    """As editors and careful programs do: each file is written beside and renamed."""
    fresh = folder / f"fresh-{label}"
    fresh.mkdir()
    write(fresh, pair)
    for name in ("tls.crt", "tls.key"):
        (fresh / name).rename(folder / name)
    fresh.rmdir()


def two_seconds_apart(folder: Path, pair: pki.Pair, _: str) -> None:
    """As a person with two copies does."""
    (folder / "tls.crt").write_bytes(pair.chain_pem)
    time.sleep(2)
    (folder / "tls.key").write_bytes(pair.key_pem)


def same_dates(folder: Path, pair: pki.Pair, _: str) -> None:
    """As `rsync -t` and `tar` may: other content of the same size, with the dates of before."""
    dates = {file: file.stat() for file in (folder / "tls.crt", folder / "tls.key")}
    write(folder, pair)
    for file, seen in dates.items():
        os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def kubernetes(folder: Path, pair: pki.Pair, label: str) -> None:
    """As the kubelet does for a secret: `..data` is a link to a directory, and another one takes its place
    (pkg/volume/util/atomic_writer.go). The files are links through it, which never change."""
    version = folder / f"..{label}"
    version.mkdir()
    write(version, pair)
    before = (folder / "..data").readlink() if (folder / "..data").is_symlink() else None
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").rename(folder / "..data")
    if before is None:
        for name in ("tls.crt", "tls.key"):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(f"..data/{name}")
    else:
        shutil.rmtree(folder / before)


def certbot(folder: Path, pair: pki.Pair, label: str) -> None:
    """As certbot does in live/: each file is a link, replaced one after the other."""
    archive = folder / f"archive-{label}"
    archive.mkdir()
    write(archive, pair)
    for name in ("tls.crt", "tls.key"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(archive / name)


def folder_by_link(folder: Path, pair: pki.Pair, label: str) -> None:
    """The directory itself is a link, which another one is renamed over."""
    version = folder.with_name(f"{folder.name}-{label}")
    version.mkdir()
    write(version, pair)
    link = folder.with_name(f"{folder.name}-fresh")
    link.symlink_to(version.name)
    link.rename(folder)


WAYS: dict[str, Callable[[Path, pki.Pair, str], None]] = {
    "in-place": in_place,
    "rename-over": rename_over,
    "apart": two_seconds_apart,
    "same-dates": same_dates,
    "kubernetes": kubernetes,
    "certbot": certbot,
    "linked": folder_by_link,
}


def test_however_files_are_replaced_a_client_never_sees_half_of_it(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    folder = material.folder
    served: dict[str, list[str]] = {name: [] for name in WAYS}
    for name, way in WAYS.items():
        pair = new_pair(material, name)
        if way is not folder_by_link:
            place(folder, name).mkdir()
        first = way if way in (kubernetes, folder_by_link) else in_place
        first(place(folder, name), pair, "0")
        served[name].append(digest(pair))
    entries = {
        name: {"certificate": f"{name}.d/tls.crt", "key": f"{name}.d/tls.key"} for name in WAYS
    }
    spec = server_spec(material, port, backend, entries)
    with (
        running(material, spec, nginx_build, program=[str(COMMAND)]) as agent,
        Client(material, port, tuple(WAYS)) as client,
    ):
        for number in range(1, TIMES + 1):
            for name, way in WAYS.items():
                pair = new_pair(material, name, str(number))
                way(place(folder, name), pair, str(number))
                served[name].append(digest(pair))

            def all_new() -> bool:
                return all(client.seen[name][-1:] == served[name][-1:] for name in WAYS)

            assert until(all_new, within=20), agent.text
        assert client.failures == []
        assert client.seen == served  # each in its turn, none twice, nothing else
        assert client.made > 50 * TIMES
        assert [name for name in WAYS if told(agent, name)] == [], agent.text
        assert_tidy(agent)


@on("wheel")
def test_a_pair_that_is_put_back_while_the_new_one_is_gathered_is_no_change(
    material: Material, port: int, backend: Backend, nginx_build: Path
) -> None:
    """The broken twin of the above: a half that never becomes whole is never served."""
    old = new_pair(material, "only")
    old.write(material.folder, "only")
    spec = server_spec(material, port, backend, {"only": material.identity("only")})
    with (
        running(material, spec, nginx_build, program=[str(COMMAND)]) as agent,
        Client(material, port, ("only",)) as client,
    ):
        material.pair("only")[0].write_bytes(new_pair(material, "only", "half").pem)
        time.sleep(1.5)
        old.write(material.folder, "only")
        time.sleep(1.5)
        assert handshake(material, port, "only") == digest(old)
        assert client.failures == []
        assert client.seen == {"only": [digest(old)]}
        assert "rotated what=" not in agent.text, agent.text
        assert told(agent, "only") == 0
        assert agent.status()["not_taken"] == {}
