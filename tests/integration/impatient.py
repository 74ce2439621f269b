"""`handclasp` in a hurry: ``python -m tests.integration.impatient run -c …``.

Files that do not hold together are told of after two seconds, and what somebody else may have cured is tried
again after one, where users are given half a minute; upstreams get two to answer in a trial. The nginx of
others gets five to take a reload, and one that died is started again five times as soon. Where CLOCK names a
file, the clock is as many days ahead as that says.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from handclasp.agent import attached, rotations, trial_calls
from handclasp.agent.clock import SystemClock
from handclasp.agent.material_watch import MaterialWatch
from handclasp.cli.main import main
from handclasp.nginx import lifecycle
from handclasp.rotate.gather import Rules

if TYPE_CHECKING:
    from datetime import datetime

PATIENCE_SECONDS = 2.0
CLOCK = "HANDCLASP_TEST_CLOCK"


def hurry() -> None:
    """From now on in this process."""
    rotations.AGAIN_SECONDS = rotations.LONGEST_AGAIN_SECONDS = 1.0
    trial_calls._CALL_SECONDS = 2.0
    attached._WORKERS_SECONDS, attached._BACK_SECONDS = 5.0, 2.0
    lifecycle.FIRST_DELAY_SECONDS = 0.2
    defaults = MaterialWatch.__init__.__kwdefaults__
    assert defaults is not None
    defaults["rules"] = Rules(patience_seconds=PATIENCE_SECONDS)


def jump(file: Path) -> None:
    """From now on the wall clock follows `file`; monotonic time goes on as ever."""
    true_time = SystemClock.now

    def now(clock: SystemClock) -> datetime:
        return true_time(clock) + timedelta(days=float(file.read_text()))

    SystemClock.now = now  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    hurry()
    if CLOCK in os.environ:
        jump(Path(os.environ[CLOCK]))
    main()
