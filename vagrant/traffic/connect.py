#!/usr/bin/env python3
"""COUNT new connections to ADDRESS PORT, one after the other; exit code 1 unless all are answered."""
import socket
import sys

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
answered = 0
for _ in range(count):
    try:
        with socket.create_connection((address, port), timeout=3) as connection:
            connection.sendall(b"?")
            answered += connection.recv(1) == b"?"
    except OSError as error:
        print(error)
print(f"{answered} of {count} answered")
sys.exit(answered != count)
