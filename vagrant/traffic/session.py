#!/usr/bin/env python3
"""One TCP session: a line a second, each answered within 5 s. ADDRESS PORT SECONDS; exit code 1 as soon as it is cut."""
import socket
import sys
import time

address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + seconds
with socket.create_connection((address, port), timeout=5) as session:
    print("begun", flush=True)
    number = 0
    while time.monotonic() < end:
        line = b"%d\n" % number
        session.sendall(line)
        answer = b""
        while len(answer) < len(line):
            got = session.recv(len(line) - len(answer))
            if not got:
                sys.exit(f"cut after {number} answers")
            answer += got
        if answer != line:
            sys.exit(f"a wrong answer: {answer!r}")
        number += 1
        time.sleep(1)
print(f"{number} answers, none missing")
