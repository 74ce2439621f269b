"""Recorded answers to ``nginx -V`` in builds/; the first line of each says where it is from."""

from __future__ import annotations

from pathlib import Path

from handclasp.nginx.facts import Facts, parse_facts

FOLDER = Path(__file__).parent / "builds"
REFUSED = ("angie-", "freenginx-", "openresty-", "tengine-", "too-old-", "without-tls-")
NAMES = sorted(path.stem for path in FOLDER.glob("*.txt"))
USABLE = [name for name in NAMES if not name.startswith(REFUSED)]


def version_output(name: str) -> str:
    source, _, text = (FOLDER / f"{name}.txt").read_text().partition("\n")
    assert source.startswith("# ")
    return text


def facts_of(name: str) -> Facts:
    return parse_facts(version_output(name), binary=f"/opt/{name}/nginx")
