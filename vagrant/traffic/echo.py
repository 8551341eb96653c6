#!/usr/bin/env python3
"""Gives back what it gets on a TCP port, for ever."""
import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


Server(("", int(sys.argv[1])), Echo).serve_forever()
