"""A proxy between clients and an origin of other make, over TLS and in the
clear."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
import urllib.request


def free_port():
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def listens(port):
    with contextlib.closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def eventually(check, patience=60):
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError):
            if check():
                return
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true")
        time.sleep(0.05)


class Stage:
    """The proxy, at `clear` and at `secure`; `ca` vouches for the latter. `more`
    is said of the service, and `tls` of the listener."""

    def __init__(self, program, origin_port, more="", tls=""):
        self.folder = tempfile.TemporaryDirectory()
        folder = self.folder.name
        make = [program, "cert", "dev", "localhost", "127.0.0.1", "--dir", folder]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        self.clear, self.secure, self.admin = free_port(), free_port(), free_port()
        self.ca = os.path.join(folder, "ca.pem")
        config = os.path.join(folder, "proxy.toml")
        with open(config, "w") as file:
            file.write(
                f"""
[[listener]]
address = "127.0.0.1:{self.clear}"
[[listener]]
address = "127.0.0.1:{self.secure}"
[listener.tls]
certificates = [{{ cert = "{folder}/localhost.pem", key = "{folder}/localhost.key" }}]
{tls}
[admin]
address = "127.0.0.1:{self.admin}"
[registry]
data_dir = "{folder}/data"
[telemetry.access_log]
mode = "off"
[service.app]
endpoints = ["127.0.0.1:{origin_port}"]
health = {{ kind = "none" }}
{more}
[[route]]
service = "app"
"""
            )
        self.log = open(os.path.join(folder, "log"), "w")
        self.proxy = subprocess.Popen([program, "run", "--config", config], stderr=self.log)
        url = f"http://127.0.0.1:{self.admin}/readyz"
        eventually(lambda: urllib.request.urlopen(url, timeout=5).status == 200)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.terminate()
        self.proxy.wait(60)
        self.log.close()
        self.folder.cleanup()
