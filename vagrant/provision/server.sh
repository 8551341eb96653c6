#!/usr/bin/env bash
# An echo service on port 7; what comes to port 9 is never answered. Runs as root, and may run again.
set -Eeuo pipefail

cat >/etc/systemd/system/echo.service <<'UNIT'
[Unit]
Description=Echo on TCP port 7
After=network.target

[Service]
ExecStart=/usr/local/lib/traffic/echo.py 7
Restart=always

[Install]
WantedBy=multi-user.target
UNIT
cat >/etc/nftables.conf <<'RULES'
#!/usr/sbin/nft -f
flush ruleset
table inet silent {
  chain input { type filter hook input priority 0; tcp dport 9 drop; }
}
RULES
systemctl daemon-reload
systemctl enable echo.service nftables.service
systemctl restart echo.service nftables.service
