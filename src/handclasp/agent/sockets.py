"""Directories of unix listeners: made by us, entered by one group, refused when the world may enter (edge).

nginx creates a listening socket with mode 0666, so the directory is what keeps others out; and whoever
may write to it, or to one above, could put a socket of his own in its place.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault, ExitCode
from handclasp.findings import FindingsError, found

if TYPE_CHECKING:
    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.nginx.parts import Plan
    from handclasp.spec.values import ListenAddress


def prepare_sockets(plan: Plan, prepared: Prepared) -> tuple[Path, ...]:
    """Makes and checks the directories of every unix listener; returns the sockets' paths.

    Raises FindingsError (unix-directory-world-traversable, unix-directory-not-ours) or EnvironmentFault.
    """
    listeners = _unix_listeners(plan, prepared)
    for path, group, link in listeners:
        _directory(path.parent, group, link)
    return tuple(path for path, _, _ in listeners)


def check_sockets(plan: Plan, prepared: Prepared) -> tuple[Finding, ...]:
    """What `prepare_sockets` would refuse; makes nothing. Raises EnvironmentFault as it does."""
    findings: list[Finding] = []
    for path, group, link in _unix_listeners(plan, prepared):
        gid = _group_id(group, link)
        try:
            _judge_above(path.parent, link)
            if path.parent.is_dir():
                _judge(path.parent, group, gid, link)
        except FindingsError as refused:
            findings += refused.findings
    return tuple(findings)


def unix_listeners(plan: Plan, prepared: Prepared) -> tuple[Path, ...]:
    """Paths of the unix sockets the plan listens on."""
    return tuple(path for path, _, _ in _unix_listeners(plan, prepared))


def listen_addresses(plan: Plan) -> tuple[ListenAddress, ...]:
    """Everything nginx listens on for this plan."""
    addresses = [server.listen for server in plan.egress]
    for ingress in plan.ingress:
        addresses += ingress.listen
        addresses += [one for one in (ingress.health, ingress.redirect) if one is not None]
    return tuple(dict.fromkeys([*addresses, *plan.challenges]))


def _unix_listeners(plan: Plan, prepared: Prepared) -> list[tuple[Path, str | None, str]]:
    """Path, group and link of each."""
    groups = {link.name: link.group for link in prepared.spec.egress}
    listeners: list[tuple[Path, str | None, str]] = [
        (Path(server.listen.path), groups.get(server.link), server.link)
        for server in plan.egress
        if server.listen.path is not None
    ]
    listeners += [
        (Path(address.path), None, ingress.link)
        for ingress in plan.ingress
        for address in ingress.listen
        if address.path is not None
    ]
    return listeners


def _directory(folder: Path, group: str | None, link: str) -> None:
    gid = _group_id(group, link)
    _judge_above(folder, link)
    try:
        for parent in reversed(folder.parents):
            if not parent.exists():
                # Explicitly: an empty umask would let everybody write.
                parent.mkdir(mode=0o755)
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        if not folder.is_dir():
            raise EnvironmentFault(
                f"link {link}: {folder} is not a directory, so no socket can be in it"
            ) from error
    except OSError as error:
        raise EnvironmentFault(
            f"link {link}: cannot make {folder} for its socket: {error.strerror}"
        ) from error
    else:
        if gid is not None:
            os.chown(folder, -1, gid)
        folder.chmod(0o750)
        return
    _judge(folder, group, gid, link)


def _judge(folder: Path, group: str | None, gid: int | None, link: str) -> None:
    """Who else may enter a directory that was there before. Raises as `prepare_sockets` does."""
    seen = folder.stat()
    for owner in {seen.st_uid, folder.lstat().st_uid} - {0, os.geteuid()}:
        raise _not_ours(
            f"link {link}: {folder} belongs to {_user_name(owner)}, who may put another socket in"
            " place of the link's",
            f"chown {_user_name(os.geteuid())} {folder}",
        )
    if stat.S_IMODE(seen.st_mode) & 0o007:
        raise FindingsError(
            [
                found(
                    "unix-directory-world-traversable",
                    f"link {link}: any local user can enter {folder}"
                    f" (mode {stat.S_IMODE(seen.st_mode):04o}) and use the link's identity",
                    fix=f"chmod o= {folder}, or let handclasp make the directory: name one that does"
                    " not exist yet",
                )
            ],
            exit_code=ExitCode.FINDINGS,
        )
    if stat.S_IMODE(seen.st_mode) & stat.S_IWGRP:
        raise _not_ours(
            f"link {link}: the group of {folder} may write to it"
            f" (mode {stat.S_IMODE(seen.st_mode):04o}) and put another socket in place of the link's",
            f"chmod g-w {folder}",
        )
    if gid is not None and seen.st_gid != gid:
        raise EnvironmentFault(
            f"link {link}: {folder} belongs to another group than {group}",
            hint=f"chgrp {group} {folder}",
        )


def _judge_above(folder: Path, link: str) -> None:
    """Whether everybody may rename the directory, or one above it, away. In one with the sticky bit
    (as /tmp) only its owner may (unlink(2), EPERM)."""
    above = {*folder.absolute().parents, *Path(os.path.realpath(folder)).parents}
    for parent in sorted(above):
        try:
            mode = stat.S_IMODE(parent.stat().st_mode)
        except OSError:
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise _not_ours(
                f"link {link}: every local user may write to {parent} (mode {mode:04o}) and put"
                f" another directory in place of {folder}",
                f"chmod o-w {parent}, or name a directory elsewhere",
            )


def _not_ours(seen: str, fix: str) -> FindingsError:
    return FindingsError(
        [found("unix-directory-not-ours", seen, fix=fix)], exit_code=ExitCode.FINDINGS
    )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group_id(group: str | None, link: str) -> int | None:
    if group is None:
        return None
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise EnvironmentFault(
            f"link {link}: there is no group {group}", hint=f"groupadd --system {group}"
        ) from error
