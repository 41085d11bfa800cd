"""Unmodified clients of Eureka and Consul at the fronts of a proxy: each registers, is routed to,
finds itself, survives a restart of the proxy, and leaves. Those that can are taken out and put
back by a call of their own, and some are killed.

    run.py PROGRAM CACHE [CLIENT...]
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent
# Seconds; a Java client needs many on a machine that is busy.
PATIENCE = 180


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def eventually(what, ready):
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise SystemExit(f"fronts: {what} did not come about within {PATIENCE} s")
        time.sleep(0.1)


def fetch(url):
    """Status and body of a GET; 0 if nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Proxy:
    def __init__(self, program, folder, names):
        self.program, self.folder = program, folder
        self.listener, self.admin, self.front = free_port(), free_port(), free_port()
        routes = "".join(
            f'[[route]]\npath = "/{name}"\nservice = "{name}"\nstrip_prefix = true\n'
            for name in names
        )
        (folder / "proxy.toml").write_text(
            f'[[listener]]\naddress = "127.0.0.1:{self.listener}"\n'
            f'[admin]\naddress = "127.0.0.1:{self.admin}"\n'
            f'[registry]\ndata_dir = "{folder}/data"\n'
            f'[[front]]\naddress = "127.0.0.1:{self.front}"\n'
            f"eureka = true\nconsul = true\nread = true\n{routes}"
        )
        self.start()

    def start(self):
        log = open(self.folder / "proxy.log", "ab")
        command = [self.program, "run", "--config", str(self.folder / "proxy.toml")]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually("the proxy", lambda: fetch(f"http://127.0.0.1:{self.admin}/livez")[0] == 200)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def get(self, name):
        return fetch(f"http://127.0.0.1:{self.listener}/{name}/")

    def instances(self, name):
        status, body = fetch(f"http://127.0.0.1:{self.admin}/api/v1/services/{name}")
        return json.loads(body)["instances"] if status == 200 else []


class Client:
    """A program that registers; it answers `find` with the name of its service, if it can."""

    def __init__(self, name, proxy, cache, folder):
        self.name, self.port = name, free_port()
        self.is_java = name.startswith("spring-")
        command, environment = self.command(f"127.0.0.1:{proxy.front}", proxy.front, cache)
        self.log = folder / f"{name}.log"
        log = open(self.log, "wb")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if not self.is_java else log,
            stderr=log,
            env={**os.environ, **environment},
            text=True,
        )

    def command(self, front, front_port, cache):
        port = str(self.port)
        java = ["java", "-Xmx96m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar"]
        spring = [f"--server.port={port}", f"--spring.application.name={self.name}"]
        python = lambda module, script, *more: (
            [f"{cache}/{module}/bin/python", str(HERE / script), front, port, *more],
            {},
        )
        node = lambda script: (
            ["node", str(HERE / script), front, port],
            {"NODE_PATH": f"{cache}/node/node_modules"},
        )
        return {
            "py-eureka": lambda: python("py-eureka-client", "py_eureka.py"),
            "python-consul": lambda: python("python-consul", "py_consul.py", "python-consul"),
            "py-consul": lambda: python("py-consul", "py_consul.py", "py-consul"),
            "js-eureka": lambda: node("js_eureka.cjs"),
            "js-consul": lambda: node("js_consul.cjs"),
            "go": lambda: ([f"{cache}/go-client", front, port], {}),
            "spring-eureka": lambda: (
                [*java, f"{cache}/spring-eureka.jar", *spring]
                + [f"--eureka.client.service-url.defaultZone=http://{front}/eureka"]
                + ["--eureka.instance.prefer-ip-address=true"]
                + ["--eureka.instance.ip-address=127.0.0.1"]
                + ["--eureka.instance.lease-renewal-interval-in-seconds=1"]
                + ["--eureka.client.registry-fetch-interval-seconds=1"],
                {},
            ),
            "spring-consul": lambda: (
                [*java, f"{cache}/spring-consul.jar", *spring]
                + ["--spring.cloud.consul.host=127.0.0.1"]
                + [f"--spring.cloud.consul.port={front_port}"]
                + ["--spring.cloud.consul.discovery.prefer-ip-address=true"]
                + ["--spring.cloud.consul.discovery.ip-address=127.0.0.1"]
                + ["--spring.cloud.consul.discovery.health-check-interval=1s"],
                {},
            ),
        }[self.name]()

    @property
    def says(self):
        return "spring" if self.is_java else self.name

    def is_routed_to(self, proxy):
        if self.process.poll() is not None:
            raise SystemExit(f"fronts: {self.name} has ended:\n{self.log.read_text()[-4000:]}")
        return proxy.get(self.name) == (200, self.says)

    def finds_itself(self):
        def found():
            if self.is_java:
                return fetch(f"http://127.0.0.1:{self.port}/find/{self.name}") == (200, "1")
            self.tell("find")
            return self.process.stdout.readline().strip() == self.name
        eventually(f"{self.name} finding itself", found)

    def tell(self, word):
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def goes_out_and_in(self, proxy):
        """By its own word, while it runs on."""
        self.tell("out")
        eventually(f"{self.name} out", lambda: proxy.get(self.name)[0] == 503)
        self.tell("in")
        eventually(f"{self.name} in again", lambda: self.is_routed_to(proxy))

    def dies(self, proxy):
        """By kill -9: its lease runs out."""
        self.process.kill()
        def is_over():
            of = proxy.instances(self.name)
            return [(one["state"], one["lease_left_ms"]) for one in of] == [("unhealthy", 0)]
        eventually(f"the lease of {self.name} over", is_over)
        if proxy.get(self.name)[0] != 503:
            raise SystemExit(f"fronts: {self.name} was killed, and is routed to")

    def renews(self, proxy):
        """Whether its lease becomes longer, if it has one: it has found the proxy again."""
        left = []
        def renewed():
            now = [one.get("lease_left_ms") for one in proxy.instances(self.name)]
            if now == [None]:
                return True
            left.extend(now)
            return any(later > earlier for earlier, later in zip(left, left[1:]))
        eventually(f"{self.name} renewing", renewed)

    def leave(self):
        if self.is_java:
            self.process.send_signal(signal.SIGTERM)
        else:
            self.process.stdin.close()
        code = self.process.wait(60)
        if code not in ((0, 143, -15) if self.is_java else (0,)):
            raise SystemExit(f"fronts: {self.name} left with {code}:\n{self.log.read_text()[-4000:]}")


# Those with a call for it.
TAKEN_OUT = ["py-eureka", "python-consul", "py-consul", "go"]
# One that renews a lease, and one that passes a check.
KILLED = ["py-eureka", "go"]
ALL = [
    "py-eureka",
    "js-eureka",
    "spring-eureka",
    "python-consul",
    "py-consul",
    "js-consul",
    "go",
    "spring-consul",
]


def main():
    program, cache, *names = sys.argv[1:]
    names = names or ALL
    for name in names:
        if name not in ALL:
            raise SystemExit(f"fronts: there is no {name}; there are: {' '.join(ALL)}")
    clients = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        proxy = Proxy(str(pathlib.Path(program).absolute()), folder, names)
        try:
            clients = [Client(name, proxy, cache, folder) for name in names]
            for client in clients:
                eventually(f"{client.name} routed to", lambda: client.is_routed_to(proxy))
                client.finds_itself()
            print("fronts: all are routed to, and find themselves", flush=True)
            for client in (client for client in clients if client.name in TAKEN_OUT):
                client.goes_out_and_in(proxy)
                print(f"fronts: {client.name} was out for a while", flush=True)
            proxy.stop()
            proxy.start()
            for client in clients:
                eventually(
                    f"{client.name} routed to after a restart", lambda: client.is_routed_to(proxy)
                )
                client.renews(proxy)
            print("fronts: all are routed to after a restart", flush=True)
            for client in clients:
                client.leave()
                left = proxy.instances(client.name)
                if left:
                    raise SystemExit(f"fronts: {client.name} has left, and is there: {left}")
                if proxy.get(client.name)[0] != 503:
                    raise SystemExit(f"fronts: {client.name} has left, and is routed to")
                print(f"fronts: {client.name} passed", flush=True)
            for name in (name for name in names if name in KILLED):
                client = Client(name, proxy, cache, folder)
                clients.append(client)
                eventually(f"{name} routed to", lambda: client.is_routed_to(proxy))
                client.dies(proxy)
                print(f"fronts: {name} was killed, and is out", flush=True)
        except BaseException:
            print((folder / "proxy.log").read_text()[-6000:], file=sys.stderr)
            for client in clients:
                print(f"== {client.name}\n{client.log.read_text()[-3000:]}", file=sys.stderr)
            raise
        finally:
            for client in clients:
                client.process.kill()
                client.process.wait()
            proxy.process.kill()
            proxy.process.wait()


main()
