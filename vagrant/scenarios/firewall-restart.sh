#!/usr/bin/env bash
# Under pressure the firewall is restarted and resets max, as its scripts do: the session lives, the agent tells of it
# and sets the value again.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

max() { on gateway cat /proc/sys/net/netfilter/nf_conntrack_max | tr -d '\r'; }

say "a table of 2048 entries, which may grow"
on gateway sysctl -q -w net.netfilter.nf_conntrack_max=2048
configure <<'TOML'
[capacity]
ceiling = 16384
buckets = "never"
TOML
session_begins 150
on client /usr/local/lib/traffic/flood.py "$SERVER" 9 4000
raised=$(max)
[ "$raised" -gt 2048 ] || fail "max was not raised"
say "max was raised to $raised; the firewall restarts and puts it back"
on_gateway <<'SCRIPT'
systemctl restart nftables
sysctl -q -w net.netfilter.nf_conntrack_max=2048
SCRIPT
until_gateway 30 "ctctl history -n 0 | grep -q 'was put back to 2048'"
say "the agent noticed"
on client /usr/local/lib/traffic/flood.py "$SERVER" 9 4000
until_gateway 90 "test \$(cat /proc/sys/net/netfilter/nf_conntrack_max) -gt 2048"
say "max is $(max) again"
on client /usr/local/lib/traffic/connect.py "$SERVER" 7 20 || fail "new connections are refused"
session_ends
