"""Proxies doing the same job on the same machine in the same minutes: `python -m bench`.

Where things are: `configurations/` one pure text per proxy; `subjects` who is measured and how it
is started; `scenarios` what is asked of them; `rounds` the interleaved measuring; `medians`,
`targets`, `report` the arithmetic and the tables. `origin`, `processes`, `load`, `proof`, `idle`
and `commands` touch the machine. README.md says what the numbers mean.
"""

import os

# What is installed has its bytecode beside it; a checkout would be compiled at each start where this is set.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
