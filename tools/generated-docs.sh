#!/usr/bin/env bash
# Writes the pages that are generated from the code (--write), or fails if one is out of date (--check).
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in --write | --check) ;; *) echo "usage: $0 --write|--check" >&2 && exit 2 ;; esac

status=0
.venv/bin/python -m handclasp.findings.pages "$1" docs/reference/findings || status=$?
.venv/bin/python -m handclasp.cli.docs "$1" || status=$?
[ "$status" = 0 ] || echo "Generated pages are out of date: run \`make docs\` and commit the result." >&2
exit "$status"
