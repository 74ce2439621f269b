#!/usr/bin/env bash
# Sees to the Debian packages that a target needs: tools/debian-packages.sh test
# As root with apt the missing ones are installed. Otherwise they are named, with the command that
# installs them; that is a failure (exit 3) only with CI=true, where a skipped test would go unseen.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/apt.sh
. tools/apt.sh
PATH=$PATH:/usr/sbin:/sbin # an ordinary user of Debian has neither in PATH, and nginx is in the first

target=$1
list=${DEBIAN_PACKAGES:-tools/debian-packages.txt} # the variable is for this script's own test

# Prints "package<TAB>why" for each package of the target whose witness cannot be found.
missing() {
    local package uses witness why
    while read -r package uses witness why; do
        case $package in '' | '#'*) continue ;; esac
        # A witness is a command or a file; what counts is that it is there, not who packaged it.
        if command -v "$witness" >/dev/null || compgen -G "$witness" >/dev/null; then continue; fi
        case ",$uses," in
        *",$target,"*) ;;
        *",$target+ci,"*) [ "${CI:-}" = true ] || continue ;;
        *",$target?,"*) has_candidate "$package" || continue ;;
        *) continue ;;
        esac
        printf '%s\t%s\n' "$package" "$why"
    done <"$list"
}

lacking=$(missing)
[ -n "$lacking" ] || exit 0
mapfile -t packages < <(cut -f1 <<<"$lacking")

if can_apt; then
    for package in "${packages[@]}"; do
        has_candidate "$package" || { apt_refresh; break; }
    done
    mapfile -t packages < <(missing | cut -f1) # fresh lists may know more
    apt_install "${packages[@]}" || { apt_refresh && apt_install "${packages[@]}"; }
    lacking=$(missing)
    [ -n "$lacking" ] || exit 0
    mapfile -t packages < <(cut -f1 <<<"$lacking")
fi

{
    echo "Missing for \`make $target\`:"
    while IFS=$'\t' read -r package why; do printf '    %-12s %s\n' "$package" "$why"; done <<<"$lacking"
    if command -v apt-get >/dev/null; then
        echo "Install with:"
        echo "    $(apt_command "${packages[@]}")"
    fi
} >&2
if [ "${CI:-}" = true ]; then
    echo "CI=true: stopping here." >&2
    exit 3
fi
echo "Going on without; what needs them is skipped and says so." >&2
