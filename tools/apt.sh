# shellcheck shell=bash
# Sourced by the scripts beside it: installing Debian packages without side effects.

# Root with apt-get: the only case in which anything outside the project directory is changed.
can_apt() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# Whether the package lists know a version of package $1 that can be installed.
has_candidate() {
    local candidate
    candidate=$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [ -n "$candidate" ] && [ "$candidate" != "(none)" ]
}

# A fresh image has no package lists, an old machine has stale ones: fetched once per run, on need.
apt_refresh() {
    [ -n "${apt_refreshed:-}" ] && return 0
    apt_refreshed=yes
    echo "apt: fetching the package lists" >&2
    apt-get update -qq -o Acquire::Retries=3 >&2
}

# Installs packages $@ as root, asking nothing and starting no service: a machine that runs our
# tests must not find itself serving the distribution's default page on port 80.
# apt's own words are shown only when it fails.
# The body is a subshell so that the trap ends with it.
apt_install() (
    policy=/usr/sbin/policy-rc.d made=''
    log=$(mktemp)
    trap 'rm -f "$log" $made' EXIT
    trap 'exit 130' INT TERM HUP
    # invoke-rc.d and deb-systemd-invoke ask this file; 101 means "forbidden by policy".
    # One that is there already is the administrator's (container images ship one) and is kept.
    if [ ! -e "$policy" ]; then
        made=$policy
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # RUNLEVEL=1: invoke-rc.d starts nothing in single-user mode, should the kept policy allow it.
    # needrestart (Ubuntu) would otherwise restart unrelated services.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 NEEDRESTART_SUSPEND=1
    echo "apt: installing $*" >&2
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 \
        -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1 && return 0
    cat "$log" >&2
    return 1
)

# The command that installs packages $@, for a person to copy.
apt_command() {
    local sudo='' update=''
    [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo='sudo '; }
    has_candidate "$1" || update="${sudo}apt-get update && "
    echo "${update}${sudo}apt-get install -y --no-install-recommends $*"
}
