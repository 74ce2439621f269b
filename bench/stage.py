"""Brings every subject up, proves that it does the job, and takes all of it down again."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bench import load, rendered
from bench.binaries import HOW_TO_INSTALL, Binary, Kind
from bench.origin import Origin, Tunnel, start_nginx, start_origin, start_tunnel
from bench.processes import Running, StartError, free_port, start
from bench.proof import NotTheJobError, get, prove_egress, prove_ingress
from bench.subjects import Subject, subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from bench.model import Site
    from bench.scenarios import Scenario, Upstream


@dataclass(slots=True)
class Actor:
    """A subject that is up. `tunnel` is in front of an ingress; `seen` says how it was seen."""

    subject: Subject
    running: Running
    port: int
    seen: str
    tunnel: Tunnel | None = None

    def entry(self, scenario: Scenario) -> int:
        """The port that the load goes to."""
        if self.tunnel is None:
            return self.port
        return self.tunnel.pooled if scenario.entry == "pooled" else self.tunnel.handshake


@dataclass(slots=True)
class Stage:
    """All servers of a run. Keys are (role, subject name, upstream)."""

    folder: Path
    site: Site
    binaries: Mapping[Kind, Binary]
    source: rendered.Source
    actors: dict[tuple[str, str, Upstream], Actor] = field(default_factory=dict)
    absent: dict[tuple[str, str, Upstream], str] = field(default_factory=dict)
    _running: list[Running] = field(default_factory=list)
    _origin: Origin | None = None

    def open(self, scenarios: Iterable[Scenario]) -> None:
        """Start everything these scenarios need. Raises StartError when the origin does not."""
        self._origin = start_origin(self._server(), self.folder / "origin", self.site)
        self._running.append(self._origin.running)
        for scenario in scenarios:
            for name in scenario.subjects:
                key = (scenario.role, name, scenario.upstream)
                if key in self.actors or key in self.absent:
                    continue
                self._admit(key, subject(scenario.role, name), scenario.upstream)

    def upload_script(self) -> str:
        """The file with wrk's upload script, written when first asked for."""
        path = self.folder / "upload.lua"
        if not path.exists():
            path.write_text(load.UPLOAD_SCRIPT)
        return str(path)

    def close(self) -> None:
        """Stop all, last started first."""
        while self._running:
            self._running.pop().stop()

    def _server(self) -> Binary:
        return self.binaries.get("nginx") or self.binaries["wheel"]

    def _admit(self, key: tuple[str, str, Upstream], who: Subject, upstream: Upstream) -> None:
        if who.kind not in self.binaries:
            self.absent[key] = f"skipped: not installed ({HOW_TO_INSTALL[who.kind]})"
            return
        try:
            self.actors[key] = self._start(who, upstream)
        except rendered.NotHereError as absence:
            self.absent[key] = str(absence)
        except (StartError, NotTheJobError, rendered.RenderError) as failure:
            self.absent[key] = f"failed: {failure}"
        print(f"  {who.role} {who.name}: {self._say(key)}", file=sys.stderr)

    def _say(self, key: tuple[str, str, Upstream]) -> str:
        return self.actors[key].seen if key in self.actors else self.absent[key]

    def _start(self, who: Subject, upstream: Upstream) -> Actor:
        assert self._origin is not None, "the origin is opened first"
        target: int = getattr(self._origin, upstream if who.speaks_tls else "plain")
        folder = self.folder / f"{who.role}-{who.name}-{upstream}"
        folder.mkdir()
        site = replace(self.site, folder=str(folder), listen=free_port(), target=target)
        running = self._launch(who, site, folder)
        self._running.append(running)
        if who.role == "egress":
            seen = prove_egress(site.listen) if who.speaks_tls else _prove_floor(site.listen)
            running.settle()
            return Actor(who, running, site.listen, seen)
        tunnel = start_tunnel(self._server(), folder / "tunnel", site, site.listen)
        self._running.append(tunnel.running)
        seen = prove_ingress(tunnel.pooled, tunnel.stranger, strips=who.strips)
        running.settle()
        return Actor(who, running, site.listen, seen, tunnel)

    def _launch(self, who: Subject, site: Site, folder: Path) -> Running:
        binary = self.binaries[who.kind]
        if who.ours and self.source != "hand":
            return rendered.start(who, site, binary)
        if who.asks:
            raise rendered.NotHereError("skipped: only `handclasp run` starts an agent to ask")
        text = who.configuration(site)
        if who.kind in {"nginx", "wheel"}:
            return start_nginx(binary, folder / "nginx", text, (site.listen,))
        path = folder / ("envoy.json" if who.kind == "envoy" else "configuration")
        path.write_text(text)
        return start(
            _command(who.kind, binary.path, str(path)),
            folder=folder,
            ports=(site.listen,),
            environment=_environment(folder),
        )


def _prove_floor(port: int) -> str:
    status, _ = get(port, "/small")
    if status != 200:
        raise NotTheJobError(f"answered {status}")
    return "no TLS"


def _command(kind: Kind, path: str, configuration: str) -> list[str]:
    if kind == "haproxy":
        return [path, "-db", "-f", configuration]
    if kind == "caddy":
        return [path, "run", "--adapter", "caddyfile", "--config", configuration]
    assert kind == "envoy", kind
    return [
        *(path, "--config-path", configuration),
        *("--concurrency", "1", "--disable-hot-restart", "--log-level", "error"),
    ]


def _environment(folder: Path) -> dict[str, str]:
    # GOMAXPROCS: one processor for Caddy as for everybody else; the rest keeps files in `folder`.
    home = str(folder)
    return {"GOMAXPROCS": "1", "HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}


def open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one, for us and what we start."""
    import resource

    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else os.sysconf("SC_OPEN_MAX")
