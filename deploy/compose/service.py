#!/usr/bin/env python3
"""A service that registers itself, in nothing but Python's standard library.

It tells Portolan its port when it starts, renews its lease while it runs, and
on SIGTERM leaves in the safe order: first it asks Portolan to send nothing
more, and waits until the requests that it has are answered; then it exits.

    service.py               serve
    service.py healthcheck   ask the one that serves whether it is routable
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADMIN = os.environ.get("PORTOLAN_ADMIN", "http://127.0.0.1:9900").rstrip("/")
TOKEN_FILE = os.environ.get("PORTOLAN_TOKEN_FILE")
SERVICE = os.environ.get("SERVICE", "catalog")
PORT = int(os.environ.get("PORT", "8000"))
INSTANCE = os.environ.get("INSTANCE", socket.gethostname())
TTL = 10  # seconds

# Where this instance is in the registry.
SELF = f"/api/v1/services/{SERVICE}/instances/{INSTANCE}"

# No detour through a proxy for the Internet.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

leaving = threading.Event()
routable = threading.Event()


def log(message):
    print(f"{INSTANCE}: {message}", flush=True)


def call(method, path, body=None, timeout=5):
    """Calls the admin API; the status and the JSON of the answer."""
    request = urllib.request.Request(ADMIN + path, method=method)
    if TOKEN_FILE:
        with open(TOKEN_FILE, encoding="ascii") as file:
            request.add_header("Authorization", f"Bearer {file.read().strip()}")
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with OPENER.open(request, timeout=timeout) as response:
            return response.status, json.loads(response.read() or "null")
    except urllib.error.HTTPError as error:
        text = error.read()
        problem = error.headers.get_content_type() == "application/problem+json"
        return error.code, json.loads(text) if problem else {"title": text.decode(errors="replace")}


def register():
    """Registers, and waits until requests come in. Returns whether it did."""
    status, answer = call(
        "PUT",
        SELF + "?wait=routable&timeout=5s",
        {
            "port": PORT,  # at the address that this call comes from
            "ttl": f"{TTL}s",
            "health": {"path": "/healthz", "interval": "1s"},
        },
        timeout=10,
    )
    if status not in (200, 201):
        # 202 is registered as well, but not routable yet: asking again waits on.
        log(f"registering answered {status}: {json.dumps(answer)}")
        return False
    log("registered and routable")
    return True


def stay():
    """Registers, and renews the lease until it is time to leave."""
    while not leaving.is_set():
        try:
            if not routable.is_set():
                if register():
                    routable.set()
                else:
                    leaving.wait(1)
                continue
            status, answer = call("POST", SELF + "/heartbeat")
            if status == 404:
                log("not known any more, registering again")
                routable.clear()
                continue
            if status != 200:
                log(f"heartbeat answered {status}: {json.dumps(answer)}")
        except OSError as error:
            # Portolan is not there. It will be, and it keeps what it knew.
            log(f"cannot reach {ADMIN}: {error}")
            leaving.wait(1)
            continue
        leaving.wait(TTL / 3)


def leave():
    """Deregisters, and returns once nothing is on its way here."""
    began = time.monotonic()
    try:
        status, answer = call("DELETE", SELF + "?wait=drained&timeout=10s", timeout=12)
        log(f"left after {time.monotonic() - began:.2f} s, {status}: {json.dumps(answer)}")
    except OSError as error:
        log(f"left without a word, cannot reach {ADMIN}: {error}")


class Handler(BaseHTTPRequestHandler):
    """/healthz and /ready for probes; everything else says who answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/healthz":
            self.answer(200, "ok\n")
        elif url.path == "/ready":
            self.answer(200 if routable.is_set() else 503, "")
        else:
            # ?delay=0.5 takes half a second, to see what becomes of it.
            query = urllib.parse.parse_qs(url.query)
            time.sleep(min(float(query.get("delay", ["0"])[0]), 30))
            self.answer(200, f"{INSTANCE} answers {url.path}\n")

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    """Threads end with the process: leave() has waited for the requests."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):  # a client that hung up is none
            log(f"request from {client_address[0]} failed: {error!r}")


def serve():
    server = Server(("", PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: leaving.set())
    stay()
    leave()
    server.shutdown()


def healthcheck():
    try:
        with OPENER.open(f"http://127.0.0.1:{PORT}/ready", timeout=3):
            return 0
    except OSError:
        return 1


if __name__ == "__main__":
    if sys.argv[1:] == ["healthcheck"]:
        sys.exit(healthcheck())
    serve()
