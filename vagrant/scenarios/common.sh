#!/usr/bin/env bash
# What the scenarios share; they source it. The machines are up: vagrant up.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

SERVER=192.0.2.2
export SERVER

say() { printf '== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# Runs a command as root on a machine.
on() {
    local machine=$1
    shift
    vagrant ssh "$machine" --no-tty -c "sudo $*" 2>/dev/null
}

# Runs a script as root on the gateway.
on_gateway() { vagrant ssh gateway --no-tty -c "sudo bash -Eeuo pipefail -s" 2>/dev/null; }

# Waits until a command on the gateway succeeds, at most $1 seconds.
until_gateway() {
    local seconds=$1 end
    shift
    end=$((SECONDS + seconds))
    until on gateway "$@" >/dev/null; do
        [ "$SECONDS" -lt "$end" ] || fail "after $seconds s still not so on the gateway: $*"
        sleep 1
    done
}

# A session of $1 seconds in the background; `session_ends` says whether it lived.
session_begins() {
    on client /usr/local/lib/traffic/session.py "$SERVER" 7 "$1" >"$SESSION_LOG" &
    SESSION_PID=$!
    local end=$((SECONDS + 20))
    until grep -q begun "$SESSION_LOG"; do
        [ "$SECONDS" -lt "$end" ] || fail "the session did not begin"
        sleep 1
    done
}

session_ends() {
    wait "$SESSION_PID" || fail "the session was cut: $(cat "$SESSION_LOG")"
    tail -n 1 "$SESSION_LOG"
}

# Settings of a scenario, which the agent reads at a restart; gone when the scenario ends.
configure() {
    { printf 'cat >/etc/ctctl/ctctl.toml <<"TOML"\n'; cat; printf 'TOML\nsystemctl restart ctctl\n'; } | on_gateway
}

leave() {
    local code=$?
    rm -f "$SESSION_LOG"
    on_gateway <<'SCRIPT' || true
ctctl generate config >/etc/ctctl/ctctl.toml
systemctl restart ctctl
SCRIPT
    [ "$code" -ne 0 ] || say "passed"
    exit "$code"
}
SESSION_LOG=$(mktemp)
SESSION_PID=
trap leave EXIT
