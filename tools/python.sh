#!/usr/bin/env bash
# Prints the path of a Python that can make our virtual environment: 3.11 or newer, with venv and
# ensurepip (Debian and Ubuntu package those two apart, as python3-venv).
# As root with apt what is missing is installed; anybody else is told the one command. Exit 3 then.
# $PYTHON, if set, is the only candidate.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/apt.sh
. tools/apt.sh

names=(python3 python3.14 python3.13 python3.12 python3.11)

# Runs $1 instead of trusting its name: a version manager's shim may exist and lead nowhere.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# The first candidate that is new enough and, with "venv", complete.
first() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} "${names[@]}" "${names[@]/#//usr/bin/}"; do
        if new_enough "$candidate" && { [ "$1" = any ] || has_venv "$candidate"; }; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return 0
        fi
        [ -z "${PYTHON:-}" ] || return 1
    done
    return 1
}

# The Debian package that brings a good enough Python with venv; nothing if the archive has none.
package() {
    local version incomplete name
    if incomplete=$(first any) && [[ $incomplete == /usr/bin/python3.* ]]; then
        # The distribution's own Python is there and lacks only its venv package.
        [ "$(readlink -f /usr/bin/python3)" = "$(readlink -f "$incomplete")" ] &&
            echo python3-venv || echo "${incomplete##*/}-venv"
        return 0
    fi
    version=$(LC_ALL=C apt-cache policy python3 2>/dev/null | sed -n 's/^ *Candidate: 3\.\([0-9]*\).*/\1/p')
    # No package lists (a fresh image, and nobody may fetch them): the usual name is the best guess.
    if [ -z "$version" ] || [ "$version" -ge 11 ]; then
        echo python3-venv
        return 0
    fi
    # The default is old, as on Ubuntu 22.04; a newer one often stands beside it.
    for name in python3.14 python3.13 python3.12 python3.11; do
        if has_candidate "$name-venv"; then
            echo "$name-venv"
            return 0
        fi
    done
}

if first venv; then exit 0; fi

if [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON is not a Python 3.11 or newer with the modules venv and ensurepip." >&2
    exit 3
fi

wanted=''
if command -v apt-get >/dev/null; then
    if can_apt && ! has_candidate python3-venv; then apt_refresh; fi
    wanted=$(package)
    # The lists may be older than the package.
    if [ -z "$wanted" ] && can_apt; then apt_refresh && wanted=$(package); fi
fi
if [ -z "$wanted" ]; then
    cat >&2 <<'END'
handclasp needs Python 3.11 or newer with the modules venv and ensurepip, and found none,
nor a package of this system that brings one. Install one by any means, then name it:
    make PYTHON=/path/to/python3 demo
END
    if command -v apt-get >/dev/null && ! can_apt; then
        echo "Or the package lists are old: run \`apt-get update\` as root and try again." >&2
    fi
    exit 3
fi
if can_apt; then
    apt_install "$wanted" || { apt_refresh && apt_install "$wanted"; }
    if first venv; then exit 0; fi
    echo "$wanted was installed, and still no Python 3.11 or newer has venv and ensurepip." >&2
    exit 3
fi
cat >&2 <<END
handclasp needs Python 3.11 or newer with the modules venv and ensurepip. Run this as root, then try again:
    $(apt_command "$wanted")
END
exit 3
