#!/usr/bin/env bash
# NAT for the client, and ctctl as a service. Runs as root, and may run again.
set -Eeuo pipefail

# Takes the binary that was handed over, or builds the sources.
take_or_build() {
    if [ -f /tmp/ctctl ]; then
        install -m 0755 /tmp/ctctl /usr/local/bin/ctctl
        return
    fi
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -q --yes --no-install-recommends build-essential curl ca-certificates
    # Debian's own Rust is older than Cargo.toml asks for.
    if [ ! -x /root/.cargo/bin/cargo ]; then
        curl --proto '=https' --tlsv1.2 -fsS https://sh.rustup.rs | sh -s -- -y --profile minimal
    fi
    (cd /ctctl && CARGO_TARGET_DIR=/var/tmp/ctctl-target /root/.cargo/bin/cargo build --locked --release)
    install -m 0755 /var/tmp/ctctl-target/release/ctctl /usr/local/bin/ctctl
}

outside=$(ip -o -4 address show to 192.0.2.1/32 | awk '{ print $2; exit }')
[ -n "$outside" ] || { echo "no interface has 192.0.2.1" >&2; exit 1; }
cat >/etc/nftables.conf <<RULES
#!/usr/sbin/nft -f
flush ruleset
table ip nat {
  chain post { type nat hook postrouting priority srcnat; oifname "$outside" ip saddr 10.77.0.0/24 masquerade; }
}
RULES
echo 'net.ipv4.ip_forward = 1' >/etc/sysctl.d/60-forward.conf
sysctl -q -p /etc/sysctl.d/60-forward.conf
systemctl enable nftables.service
systemctl restart nftables.service

take_or_build
install -d -m 0755 /etc/ctctl
[ -f /etc/ctctl/ctctl.toml ] || ctctl generate config >/etc/ctctl/ctctl.toml
ctctl generate unit >/etc/systemd/system/ctctl.service
install -d /usr/local/share/man/man8
ctctl generate man >/usr/local/share/man/man8/ctctl.8
systemctl daemon-reload
systemctl enable ctctl.service
systemctl restart ctctl.service
ctctl status
