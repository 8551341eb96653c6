#!/bin/sh
# Linux, ctnetlink: a dump that the kernel filters, and that matches nothing, makes every other request wait for it.
#
# A dump of the conntrack table is known to run beside other requests: the table is walked under RCU, and each recv(2)
# takes the next part. But the first part is made within send(2), by netlink_dump_start, and a request to ctnetlink
# holds nfnl_lock of its subsystem meanwhile (nfnetlink_rcv_msg, NFNL_CB_MUTEX). A dump without a filter has its first
# part after some 15 entries. A dump with a filter that nothing matches (`conntrack -L --mark 77`) walks the whole table
# for it, and until then no entry is looked up, updated or deleted by anyone, in no network namespace: a filter, meant to
# save work, turns the one request that others do not wait for into one that they do.
#
# Seen with Debian's conntrack 1:1.4.7-1+b2 on Linux 6.18, 100,000 entries, two CPUs; `conntrack -G` of one entry beside
# dumps that follow each other, on a machine with other work:
#   of 30 lookups the fourth slowest took 5 ms beside plain dumps, 46 ms beside filtered ones
#
# Needs root, apt-get with a Debian 12 source, iproute2, python3, two CPUs. Exit 0: as described; 1: it changed; 2: it
# could not be tried.
set -eu

VERSION="1:1.4.7-1+b2"
ENTRIES=100000

[ "$(id -u)" = 0 ] || { echo "root is needed"; exit 2; }
[ "$(nproc)" -ge 2 ] || { echo "two CPUs are needed"; exit 2; }
dir=$(mktemp -d)
netns="finding$$"
pid=
ended() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; fi
    ip netns del "$netns" 2>/dev/null || true
    rm -rf "$dir"
}
trap ended EXIT

cd "$dir"
apt-get download -qq "conntrack=$VERSION" libnetfilter-conntrack3=1.0.9-3 libnfnetlink0=1.0.2-2 libmnl0=1.0.4-3 2>"$dir/why" ||
    { echo "not to be had: $(tail -n 1 "$dir/why")"; exit 2; }
for package in ./*.deb; do dpkg-deb -x "$package" root; done
LD_LIBRARY_PATH="$dir/$(dirname "$(find root -name 'libmnl.so.0' | head -n 1)")"
export LD_LIBRARY_PATH
ip netns add "$netns"
conntrack() { ip netns exec "$netns" "$dir/root/usr/sbin/conntrack" "$@"; }

python3 - "$ENTRIES" >entries <<'FILL'
import sys
for n in range(int(sys.argv[1])):
    source, port = f"10.1.{n // 50000}.{n // 250 % 200 + 1}", 1024 + n % 250
    print(f"-A -p udp -s {source} -d 10.2.0.1 --sport {port} --dport 53 -r 10.2.0.1 -q {source}",
          f"--reply-port-src 53 --reply-port-dst {port} -t 6000")
FILL
conntrack -R entries 2>"$dir/why" || { echo "the table could not be filled: $(tail -n 1 "$dir/why")"; exit 2; }
echo "$(conntrack -C) entries"

# Milliseconds of the fourth slowest of 30 lookups, while dumps with these options follow each other.
beside() {
    (while :; do conntrack -L "$@" >/dev/null 2>&1; done) &
    pid=$!
    times=$(for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        before=$(date +%s%N)
        conntrack -G -p udp -s 10.1.0.1 -d 10.2.0.1 --sport 1024 --dport 53 >/dev/null 2>&1
        echo $((($(date +%s%N) - before) / 1000000))
    done | sort -n | sed -n 27p)
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    pid=
    echo "$times"
}
plain=$(beside)
filtered=$(beside --mark 77)
echo "of 30 lookups the fourth slowest took $plain ms beside plain dumps, $filtered ms beside filtered ones"
[ "$filtered" -ge $((2 * plain + 5)) ] || { echo "changed: a filtered dump is waited for no longer than a plain one"; exit 1; }
