"""The nginx that somebody else runs: as whom its workers run, and whether they are let in (edge)."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent.machine import existing_account
from handclasp.findings import Severity, found
from handclasp.nginx.dump import configuration_dump
from handclasp.nginx.existing import worker_account

if TYPE_CHECKING:
    from collections.abc import Sequence

    from handclasp.agent.prepare import Prepared
    from handclasp.findings import Finding
    from handclasp.nginx.facts import Facts
    from handclasp.spec.model import Spec


def attached_account(spec: Spec, binary: Path, facts: Facts) -> tuple[str, str | None] | None:
    """User and group that its configuration names for workers; None when it names none.

    While nginx refuses that configuration, as it does before our includes are there for the first time, the
    main file alone is looked at.
    """
    config, prefix = spec.nginx.config, spec.nginx.prefix
    dump, refused = configuration_dump(
        binary, Path(config) if config else None, Path(prefix) if prefix else None
    )
    if refused:
        main = Path(prefix or facts.prefix) / (config or facts.conf_path)
        try:
            dump = f"# configuration file {main}:\n{main.read_text(errors='replace')}"
        except OSError:
            return None
    return worker_account(dump)


def worker_findings(dump: str, prepared: Prepared) -> Sequence[Finding]:
    """Whether its workers get to what an ingress link keeps for them: the agent's socket, the policy in
    force, and the files of certificates that are denied."""
    if not prepared.spec.ingress or not dump:
        return []
    told = worker_account(dump)
    user = told[0] if told else prepared.facts.default_user
    if os.geteuid() != 0:
        if user == _name(os.geteuid()):
            return []
        # An nginx that is not started as root heeds no `user`: which of the two it is cannot be seen.
        seen = (
            f"if that nginx is started as root, its workers are {user}, and as an ordinary user handclasp"
            " cannot let them in: no caller could be asked about, and no denial would be seen"
        )
        fix = "Run handclasp as root, or that nginx under the account handclasp has."
        return [found("workers-locked-out", seen, fix=fix, severity=Severity.WARNING)]
    account = existing_account((user, told[1] if told else None), prepared.facts)
    if account is None or account == prepared.account:
        return []
    let_in = str(prepared.account) if prepared.account else "root"
    return [
        found(
            "workers-locked-out",
            f"the workers of that nginx are {account}, and handclasp lets {let_in} in",
            where=prepared.loaded.where("nginx", "user"),
            fix="Leave `nginx: {user: …}` out: the account is read from the configuration of that nginx.",
        )
    ]


def _name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
