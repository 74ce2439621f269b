#!/usr/bin/env bash
# Makes .venv if there is none that works, and installs this tree into it, editable, with the
# extras named: tools/venv.sh dev,bundled. What is installed already and satisfies is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$1

usable() {
    .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if ! usable; then
    python=$(tools/python.sh)
    echo "setting up .venv with $("$python" --version)" >&2
    # --clear: what is there, if anything, is an environment whose interpreter has gone.
    "$python" -m venv --clear .venv
fi
echo "installing handclasp[$extras] into .venv" >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[$extras]"
