#!/bin/sh
# conntrack(8) 1.4.7: `conntrack -E -b BYTES` does not enlarge the socket that hears events.
#
# conntrack(8) says of --buffer-size that it sets the socket's receive buffer for event reporting, and that one who sees
# ENOBUFS should raise it. 1.4.7 opens two NETLINK_NETFILTER sockets for -E. The size goes to the one that has joined no
# group; the one that has joined NEW, UPDATE and DESTROY (groups 00000007 in /proc/net/netlink) keeps
# net.core.rmem_default, which holds some 166 events (each is charged about 1,280 bytes). A burst of deletions overruns it
# whatever -b says. What does help is net.core.rmem_default before the start.
#
# Seen with Debian's conntrack 1:1.4.7-1+b2 on Linux 6.18 (16777216 is 8388608 doubled, as socket(7) says of SO_RCVBUF):
#   groups 00000000: 16777216 bytes
#   groups 00000007: 212992 bytes, net.core.rmem_default is 212992
#
# Needs root, apt-get with a Debian 12 source, iproute2. Exit 0: as described; 1: it changed; 2: it could not be tried.
set -eu

VERSION="1:1.4.7-1+b2"
ASKED=8388608

[ "$(id -u)" = 0 ] || { echo "root is needed"; exit 2; }
dir=$(mktemp -d)
netns="finding$$"
pid=
ended() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
    ip netns del "$netns" 2>/dev/null || true
    rm -rf "$dir"
}
trap ended EXIT

cd "$dir"
apt-get download -qq "conntrack=$VERSION" libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3 2>"$dir/why" ||
    { echo "not to be had: $(tail -n 1 "$dir/why")"; exit 2; }
for package in ./*.deb; do dpkg-deb -x "$package" root; done
libraries=$(dirname "$(find root -name 'libmnl.so.0' | head -n 1)")

ip netns add "$netns"
LD_LIBRARY_PATH="$dir/$libraries" ip netns exec "$netns" "$dir/root/usr/sbin/conntrack" -E -b "$ASKED" >/dev/null 2>&1 &
pid=$!

# The sockets of NETLINK_NETFILTER (12) but for the kernel's own, which has port 0, as "groups buffer".
sockets() {
    ip netns exec "$netns" ss --family=netlink --all --memory --extended --numeric |
        sed -n '/ 12:0 /d; s/.* 12:.* groups=0x\([0-9a-f]*\).*,rb\([0-9]*\),.*/\1 \2/p' | sort -u
}
tries=0
until sockets | grep -q '^00000007'; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || { echo "conntrack -E has not subscribed"; exit 2; }
    sleep 0.1
done

default=$(cat /proc/sys/net/core/rmem_default)
sockets >"$dir/sockets"
while read -r groups bytes; do
    echo "groups $groups: $bytes bytes, net.core.rmem_default is $default"
done <"$dir/sockets"
[ "$(cat "$dir/sockets")" = "00000000 $((2 * ASKED))
00000007 $default" ] || { echo "changed: -b reaches other sockets than before"; exit 1; }
