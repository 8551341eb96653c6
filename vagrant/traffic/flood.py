#!/usr/bin/env python3
"""Begins COUNT connections to ADDRESS PORT that nobody answers, and gives them up: dead entries on the gateway."""
import resource
import socket
import sys
import time

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 100), hard))
begun = []
for _ in range(count):
    attempt = socket.socket()
    attempt.setblocking(False)
    attempt.connect_ex((address, port))
    begun.append(attempt)
time.sleep(2)
print(f"{len(begun)} connections begun and given up")
