#!/usr/bin/env bash
# What `ctctl persist` wrote holds after a reboot, and the agent is there again.
# shellcheck source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

names=(max buckets tcp_timeout_established udp_timeout_stream)
values() {
    local name
    for name in "${names[@]}"; do
        printf '%s=' "$name"
        on gateway cat "/proc/sys/net/netfilter/nf_conntrack_$name" | tr -d '\r'
    done
}

say "values of an operator"
on_gateway <<'SCRIPT'
systemctl stop ctctl
echo 32768 >/sys/module/nf_conntrack/parameters/hashsize
sysctl -q -w net.netfilter.nf_conntrack_max=200000
sysctl -q -w net.netfilter.nf_conntrack_tcp_timeout_established=86400
sysctl -q -w net.netfilter.nf_conntrack_udp_timeout_stream=121
ctctl persist
SCRIPT
before=$(values)
printf '%s\n' "$before"
say "reboot"
vagrant reload gateway --no-provision
until_gateway 60 systemctl is-active ctctl
after=$(values)
[ "$before" = "$after" ] || fail "after the reboot: $after"
on gateway ctctl persist --dry-run | grep -q 'Nothing to write' || fail "persist would write again"
on client /usr/local/lib/traffic/connect.py "$SERVER" 7 20 || fail "no way through the gateway"
