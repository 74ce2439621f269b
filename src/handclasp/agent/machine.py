"""What the plan must know of this machine (edge)."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.errors import EnvironmentFault
from handclasp.nginx.parts import Machine

if TYPE_CHECKING:
    from handclasp.nginx.facts import Facts

DEDICATED_ACCOUNT = "handclasp"
_SHARED_ACCOUNTS = frozenset({"www-data", "nobody", "nginx", "http", "apache", "daemon", "root"})
# RLIM_INFINITY, or a container's limit of a thousand million, is no plan for a table of descriptors.
_MOST_FILES = 1_048_576


@dataclass(frozen=True, slots=True)
class WorkerAccount:
    """The account workers run as when nginx is started as root."""

    user: str
    group: str
    gid: int

    def __str__(self) -> str:
        return f"{self.user}, group {self.group}"


def worker_account(wanted: str | None, facts: Facts) -> WorkerAccount | None:
    """None for an ordinary user: nginx's workers are then the user's own.

    Without `wanted` our own account comes first, which no other program shares, and after it the one this
    build was made to use, as nginx does when its configuration names none: other programs of the machine
    (www-data's web applications, say) then gain nothing by our keys.

    Raises EnvironmentFault when a named account does not exist, or none of the usual ones does.
    """
    if os.geteuid() != 0:
        return None
    candidates = (
        [wanted] if wanted else [DEDICATED_ACCOUNT, facts.default_user, "www-data", "nobody"]
    )
    for name in candidates:
        if name is None:
            continue
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return WorkerAccount(entry.pw_name, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_gid)
    tried = ", ".join(dict.fromkeys(name for name in candidates if name))
    raise EnvironmentFault(
        f"there is no account for nginx's workers (looked for {tried})",
        hint="create one (`useradd --system --no-create-home --shell /usr/sbin/nologin"
        f" {wanted or DEDICATED_ACCOUNT}`), or name another one under `nginx: {{user: NAME}}`",
    )


def existing_account(told: tuple[str, str | None], facts: Facts) -> WorkerAccount | None:
    """The account of workers that somebody else's nginx starts as `user NAME GROUP` tells it to.

    None where workers need no way in: they are root, or we are not and can open nothing to others. Without a
    group nginx takes the one named as the user (ngx_core_module, ngx_set_user). Raises EnvironmentFault for
    an account or group that does not exist: that nginx would not start either.
    """
    if os.geteuid() != 0:
        return None
    user, group = told
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise EnvironmentFault(
            f"there is no account {user} for the workers of the existing nginx",
            hint="name theirs under `nginx: {user: NAME}`",
        ) from None
    if entry.pw_uid == 0:
        return None
    compiled = facts.default_group if user == facts.default_user else None
    for name in (group,) if group else (compiled, user):
        with contextlib.suppress(KeyError):
            if name is not None:
                return WorkerAccount(user, name, grp.getgrnam(name).gr_gid)
    if group:
        raise EnvironmentFault(f"there is no group {group} for the workers of the existing nginx")
    return WorkerAccount(user, grp.getgrgid(entry.pw_gid).gr_name, entry.pw_gid)


def read_machine(account: WorkerAccount | None, *, existing: bool) -> Machine:
    """Processors, open files, nameservers and names of the hosts file.

    `existing`: an nginx that somebody else runs; its workers are not given keys.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    return Machine(
        processors=len(os.sched_getaffinity(0)),
        open_files=files,
        is_root=existing or os.geteuid() == 0,
        worker_user=account.user if account else None,
        worker_group=account.group if account else None,
        dedicated=account is not None and not existing and account.user not in _SHARED_ACCOUNTS,
        nameservers=_nameservers(),
        hosts_file_names=_hosts_file_names(),
    )


def _lines(path: str) -> list[list[str]]:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [fields for line in text.splitlines() if (fields := line.partition("#")[0].split())]


def _nameservers() -> tuple[str, ...]:
    """As nginx writes them: IPv6 in brackets; a scoped address is none nginx can use."""
    addresses = [fields[1] for fields in _lines("/etc/resolv.conf") if fields[0] == "nameserver"]
    return tuple(
        f"[{address}]" if ":" in address else address for address in addresses if "%" not in address
    )


def _hosts_file_names() -> frozenset[str]:
    return frozenset(name.lower() for fields in _lines("/etc/hosts") for name in fields[1:])
