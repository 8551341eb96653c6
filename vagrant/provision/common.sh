#!/usr/bin/env bash
# What all three machines have. Runs as root, and may run again.
set -Eeuo pipefail

export DEBIAN_FRONTEND=noninteractive
missing=()
for pair in nft:nftables python3:python3 ip:iproute2 conntrack:conntrack; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -gt 0 ]; then
    apt-get update -q
    apt-get install -q --yes --no-install-recommends "${missing[@]}"
fi
if [ -d /tmp/traffic ]; then
    install -d /usr/local/lib/traffic
    install -m 0755 /tmp/traffic/*.py /usr/local/lib/traffic/
fi
