"""The state directory: everything handclasp writes for one instance, under one lock.

::

    lock                          held by flock while an agent lives; holds its pid
    layout_version
    generation/<n>/               nginx.conf, fragments, plan.json; `generation/current` names one
    identities/<name>/<version>/  cert.pem, key.pem, password, and an empty directory `root` to be
                                  nginx's document root; `current` is read at every handshake
    trust/<name>/<version>/       ca.pem, crl.pem; `current` is read when nginx loads
    nginx/                        nginx's prefix: pid file, logs/, temp/
    trial/                        prefix of an nginx by which new identities are tried, while it runs
    answering/                    prefix of one that answers challenges before the first certificate
    acme-challenges/<token>       answers to challenges, 0640 with the workers' group or 0644
    run/                          sockets
    ask/sock                      where nginx asks about callers; short, for a socket's path is
    policy/<digest>/              empty; `policy/current` names the policy that answers are kept under
    denied/<issuer>/<serial>      empty; certificates refused where nginx decides by itself
    denied.json                   what `handclasp deny` was told
    callers.json                  which certificates callers presented, and when
    switch.pending, switch.last   journal of the links' moves (switch.py)

Modes: where nginx drops privileges, directories its workers pass through are 0750 with the workers'
group; everything else is the owner's alone. A key is 0640 with that group only where the workers
read it at each handshake, else 0600. The password file is the owner's always: nginx's master reads
it when it loads (ngx_ssl_read_password_file), the workers inherit the memory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from handclasp.errors import EnvironmentFault, InternalFault
from handclasp.nginx import claim, durable, switch
from handclasp.nginx.enforcement import ANSWERS, AUTHORIZER, DENIED, POLICY, Enforcement
from handclasp.nginx.layout import ANSWERING, CHALLENGES
from handclasp.nginx.versions import CURRENT, Versions, checked_name, directories

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path
    from types import TracebackType

LAYOUT_VERSION = b"1\n"
_IDENTITY_FILES = frozenset({"cert.pem", "key.pem", "password"})
_SWEPT = ("generation", "identities", "trust", "nginx", "run", POLICY, AUTHORIZER)
_TRUST_FILES = frozenset({"ca.pem", "crl.pem"})


class StateDirectory:
    """An open state directory: made by `open`, locked until `close`."""

    def __init__(
        self, path: Path, lock: int, worker_group: int | None, *, workers_read_keys: bool
    ) -> None:
        self.path = path
        self.recovered: switch.Recovery | None = None
        self._lock = lock
        self._pending: switch.Switch | None = None
        self._private = durable.Access(0o700)
        self._passage = durable.Access(0o700 if worker_group is None else 0o750, worker_group)
        self._sockets = durable.Access(0o750, worker_group)
        self._secret = durable.Access(0o600)
        readable = worker_group is not None and workers_read_keys
        self._pair = durable.Access(0o640, worker_group) if readable else self._secret

    # -- opening and closing

    @classmethod
    def open(
        cls, path: Path, *, worker_group: int | None, workers_read_keys: bool = True
    ) -> StateDirectory:
        """Makes what is missing, takes the lock, undoes an interrupted switch (see `recovered`).

        ``worker_group``: group id of nginx's workers where nginx drops privileges, else None.
        ``workers_read_keys``: False where the account of the workers is shared with other programs;
        the directories are passable then, the keys are not readable.
        Raises EnvironmentFault: taken, not ours, not writable, full, unknown layout.
        """
        claim.make_directory(path, passable=worker_group is not None)
        with durable.reported("open the state directory", path):
            claim.check_ours(path)
            lock = claim.take_lock(path / "lock")
        state = cls(path, lock, worker_group, workers_read_keys=workers_read_keys)
        try:
            with durable.reported("open the state directory", path):
                state._lay_out()
            state.recovered = switch.recover(path)
            with durable.reported("tidy the state directory", path):
                state._sweep()
        except BaseException:
            state.close()
            raise
        return state

    def close(self) -> None:
        """Releases the lock. Pending switches are undone by the next opener, not here."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- places

    @property
    def nginx_prefix(self) -> Path:
        """What nginx gets as -p: pid file, logs/ and temp/ are below."""
        return self.path / "nginx"

    @property
    def run(self) -> Path:
        """Sockets; 0750 with the workers' group."""
        return self.path / "run"

    @property
    def enforcement(self) -> Enforcement:
        """What holds from one request to the next."""
        return Enforcement(self.path, self._passage, self.nginx_prefix / ANSWERS)

    @property
    def authorizer_socket(self) -> Path:
        """Where nginx asks about callers, in a directory 0750 with the workers' group."""
        return self.path / AUTHORIZER / "sock"

    @property
    def socket_access(self) -> durable.Access:
        """Permissions of that socket: the workers' group may ask."""
        group = self._sockets.group
        return durable.Access(0o600 if group is None else 0o660, group)

    @property
    def current_configuration(self) -> Path:
        """What nginx gets as -c: through the link, so that a reload reads the newest generation."""
        return self.path / "generation" / CURRENT / "nginx.conf"

    @property
    def trial(self) -> Path:
        """Prefix of an nginx by which new identities are tried; gone when none is."""
        return self.path / "trial"

    @property
    def answering(self) -> Path:
        """Prefix of an nginx that answers challenges while no other does; gone when none is."""
        return self.path / ANSWERING

    def identity_path(self, name: str, version: str) -> Path:
        """Directory of one version of an identity."""
        return self._identity(name).place / checked_name(version, "a version")

    def trust_path(self, name: str, version: str) -> Path:
        """Directory of one version of a trust bundle."""
        return self._trust(name).place / checked_name(version, "a version")

    def generation_path(self, generation: int) -> Path:
        """Directory of one generation."""
        return self.path / "generation" / str(generation)

    def current_generation(self) -> int | None:
        """The generation in use."""
        current = self._generations().current()
        return None if current is None else int(current)

    def current_identity(self, name: str) -> str | None:
        """The version of an identity in use."""
        return self._identity(name).current()

    def current_trust(self, name: str) -> str | None:
        """The version of a trust bundle in use."""
        return self._trust(name).current()

    # -- writing

    def stage_identity(self, name: str, version: str, files: Mapping[str, bytes]) -> Path:
        """Writes `cert.pem`, `key.pem` and `password` as one immutable version; moves no link.

        The same bytes again are fine, others raise InternalFault. Raises EnvironmentFault.
        """
        return _stage(self._identity(name), version, files, _IDENTITY_FILES, self._passage)

    def stage_trust(self, name: str, version: str, files: Mapping[str, bytes]) -> Path:
        """Writes `ca.pem` and `crl.pem` as one immutable version; moves no link."""
        return _stage(self._trust(name), version, files, _TRUST_FILES, self._private)

    def write_generation(self, files: Mapping[str, str | bytes]) -> int:
        """Writes the next generation (path → content), returns its number; no link moves."""
        generations = self._generations()
        content = {
            name: text.encode() if isinstance(text, str) else text for name, text in files.items()
        }
        with durable.reported("write a generation in", generations.place):
            number = max((int(name) for name in generations.names()), default=0) + 1
            generations.stage(str(number), content)
        return number

    def switch(
        self,
        *,
        generation: int | None = None,
        identities: Mapping[str, str] | None = None,
        trust: Mapping[str, str] | None = None,
    ) -> switch.Switch:
        """Moves the links to what is named and leaves all others; then `commit` or `rollback` it.

        ``identities`` and ``trust``: name → version. Raises EnvironmentFault with nothing moved,
        InternalFault for a version that is not there or a switch before that was not ended.
        """
        if self._pending is not None and self._pending.pending:
            raise InternalFault("the switch before was neither committed nor rolled back")
        wanted = [(self._identity(name), version) for name, version in (identities or {}).items()]
        wanted += [(self._trust(name), version) for name, version in (trust or {}).items()]
        if generation is not None:
            wanted.append((self._generations(), str(generation)))
        links: dict[str, str] = {}
        for versions, version in wanted:
            if not (versions.place / checked_name(version, "a version")).is_dir():
                raise InternalFault(f"{versions.place} has no version {version!r} to switch to")
            links[str(versions.link.relative_to(self.path))] = version
        self._pending = switch.begin(self.path, links)
        return self._pending

    def prune(self, keep: int = 3) -> tuple[Path, ...]:
        """Removes old generations and versions: all but the newest `keep` of each.

        Never the current, the one before it, nor what a pending switch names. Returns what went.
        """
        if keep < 1:
            raise InternalFault("prune must keep one")
        with durable.reported("remove old versions in", self.path):
            needed = switch.targets_in_use(self.path)
            removed: list[Path] = []
            for versions in self._all():
                link = str(versions.link.relative_to(self.path))
                removed += versions.prune(keep, needed.get(link, set()))
        return tuple(removed)

    def keep_only(self, *, identities: Collection[str], trust: Collection[str]) -> tuple[Path, ...]:
        """Removes every identity and trust not named, keys included. Raises EnvironmentFault."""
        with durable.reported("remove what is no longer used in", self.path):
            gone = [
                place
                for kind, kept in (("identities", identities), ("trust", trust))
                for place in directories(self.path / kind)
                if place.name not in kept
            ]
            for place in gone:
                durable.remove_tree(place)
        return tuple(gone)

    def generations(self) -> tuple[Path, ...]:
        """Directories of the generations that are kept."""
        return tuple(directories(self.path / "generation"))

    def blocked_ancestor(self) -> Path | None:
        """The first directory above that the workers' group cannot pass through, by its mode bits.

        None where workers run as the owner. Access lists and other groups are not looked at.
        """
        group = self._passage.group
        if group is None:
            return None
        for parent in reversed(self.path.absolute().parents):
            seen = parent.stat()
            if not (seen.st_mode & 0o001 or (seen.st_gid == group and seen.st_mode & 0o010)):
                return parent
        return None

    # -- inside

    def _generations(self) -> Versions:
        return Versions(self.path / "generation", self._private, lambda _: self._secret)

    def _identity(self, name: str) -> Versions:
        place = self.path / "identities" / checked_name(name, "an identity")
        return Versions(
            place,
            self._passage,
            lambda file: self._secret if file == "password" else self._pair,
            empty=("root",),
        )

    def _trust(self, name: str) -> Versions:
        place = self.path / "trust" / checked_name(name, "a trust bundle")
        return Versions(place, self._private, lambda _: self._secret)

    def _all(self) -> list[Versions]:
        return [
            self._generations(),
            *(self._identity(place.name) for place in directories(self.path / "identities")),
            *(self._trust(place.name) for place in directories(self.path / "trust")),
        ]

    def _lay_out(self) -> None:
        durable.mend_access(self.path, self._passage)
        version = self.path / "layout_version"
        if not version.exists():
            durable.replace_file(version, LAYOUT_VERSION, self._secret)
        elif (seen := version.read_bytes()) != LAYOUT_VERSION:
            raise EnvironmentFault(
                f"{self.path} has layout version {seen[:20].decode(errors='replace').strip()!r}, "
                f"this handclasp knows {LAYOUT_VERSION.decode().strip()}",
                hint="Use the handclasp that wrote it, or give another --state-dir.",
            )
        for name in ("generation", "trust"):
            durable.ensure_directory(self.path / name, self._private)
        for name in (
            *("identities", "nginx", "nginx/logs", "nginx/temp"),
            *(POLICY, DENIED, CHALLENGES),
        ):
            durable.ensure_directory(self.path / name, self._passage)
        for folder in (self.run, self.path / AUTHORIZER):
            durable.ensure_directory(folder, self._sockets)
        durable.fsync_directory(self.path)

    def _sweep(self) -> None:
        for place in (
            self.path,
            *(self.path / name for name in _SWEPT),
        ):
            durable.sweep(place)
        for versions in self._all():
            durable.sweep(versions.place)
        for answer in (self.path / CHALLENGES).iterdir():
            answer.unlink()  # nobody is being answered while the lock changes hands


def _stage(
    versions: Versions,
    version: str,
    files: Mapping[str, bytes],
    allowed: Collection[str],
    directory: durable.Access,
) -> Path:
    if strange := files.keys() - allowed:
        raise InternalFault(f"{versions.place} takes no file called {sorted(strange)}")
    with durable.reported("write a version in", versions.place):
        durable.ensure_directory(versions.place, directory)
        durable.fsync_directory(versions.place.parent)
        return versions.stage(version, files)
