#!/usr/bin/env bash
# The client reaches the server through the gateway. Runs as root, and may run again.
set -Eeuo pipefail

cat >/etc/systemd/system/route.service <<'UNIT'
[Unit]
Description=The server's network lies behind the gateway
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/env ip route replace 192.0.2.0/24 via 10.77.0.1

[Install]
WantedBy=multi-user.target
UNIT
systemctl daemon-reload
systemctl enable route.service
systemctl restart route.service
