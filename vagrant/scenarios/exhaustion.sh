#!/usr/bin/env bash
# A pinned table is filled with dead entries: a session lives through it, and new connections get in again.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

say "a table of 2048 entries, which may not grow"
on gateway sysctl -q -w net.netfilter.nf_conntrack_max=2048
configure <<'TOML'
[capacity]
ceiling = 2048
buckets = "never"
TOML
session_begins 90
say "4000 connections that nobody answers"
on client /usr/local/lib/traffic/flood.py "$SERVER" 9 4000
on gateway ctctl status
say "room again"
until_gateway 60 ctctl status --check
on client /usr/local/lib/traffic/connect.py "$SERVER" 7 50 || fail "new connections are refused"
max=$(on gateway cat /proc/sys/net/netfilter/nf_conntrack_max | tr -d '\r')
[ "$max" = 2048 ] || fail "max is $max, over its ceiling"
on gateway ctctl history -n 0 | grep -q 'flushed' || fail "the journal knows of no flush"
session_ends
