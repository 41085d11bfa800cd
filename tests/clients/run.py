"""What real clients get through the proxy: curl, httpx, aiohttp, undici and
Chromium, in the clear and over TLS, by HTTP/1.1, HTTP/2 and WebSocket."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.request

import aiohttp
import httpx
from origin import origin
from stage import Stage, eventually, free_port

BODY = b"b" * 300_000


class Clients:
    def __init__(self, stage, modules):
        self.stage, self.modules = stage, modules
        self.http = f"http://localhost:{stage.clear}"
        self.https = f"https://localhost:{stage.secure}"

    def curl(self, *arguments):
        command = ["curl", "-sS", "--max-time", "60", "--cacert", self.stage.ca, *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    def check_curl(self):
        version = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
        for arguments, url, expected in [
            (["--http1.1"], self.http, b"1.1 200"),
            (["--http1.0"], self.http, b"1 200"),
            (["--http2-prior-knowledge"], self.http, b"2 200"),
            (["--http1.1"], self.https, b"1.1 200"),
            (["--http2"], self.https, b"2 200"),
            (["--tlsv1.3", "--http2"], self.https, b"2 200"),
            (["--tls-max", "1.2", "--http2"], self.https, b"2 200"),
        ]:
            seen = self.curl(*arguments, *version, f"{url}/echo")
            assert seen == expected, (arguments, url, seen)
        for arguments, url in [
            (["--http1.1"], self.http),
            (["--http1.1", "-H", "transfer-encoding: chunked"], self.https),
            (["--http2"], self.https),
        ]:
            with tempfile.NamedTemporaryFile() as file:
                file.write(BODY)
                file.flush()
                sent = ["--data-binary", f"@{file.name}", "-H", "expect: 100-continue"]
                assert self.curl(*arguments, *sent, f"{url}/echo") == BODY, (arguments, url)
            assert self.curl(*arguments[:1], f"{url}/stream") == b"0\n1\n2\n3\n4\n"
        # Asks for h2c by Upgrade, and has to go on without it.
        assert self.curl("--http2", *version, f"{self.http}/echo") == b"1.1 200"
        # Many at once over one connection.
        urls = [f"{self.https}/echo?{number}" for number in range(50)]
        found = self.curl("--http2", "--parallel", "-w", "%{http_code}\n", "-o", "/dev/null", *urls)
        assert found.count(b"200\n") == 50, found

    def check_httpx(self):
        trust = ssl.create_default_context(cafile=self.stage.ca)
        for http2, url, version in [
            (False, self.http, "HTTP/1.1"),
            (False, self.https, "HTTP/1.1"),
            (True, self.https, "HTTP/2"),
        ]:
            with httpx.Client(http1=True, http2=http2, verify=trust, timeout=60) as client:
                for _ in range(5):
                    answer = client.post(f"{url}/echo", content=BODY)
                    assert answer.http_version == version, answer.http_version
                    assert answer.content == BODY
                with client.stream("GET", f"{url}/stream") as answer:
                    assert b"".join(answer.iter_bytes()) == b"0\n1\n2\n3\n4\n"
        with httpx.Client(http1=False, http2=True, timeout=60) as client:
            answer = client.get(f"{self.http}/echo")
            assert answer.http_version == "HTTP/2", "with prior knowledge"

        async def at_once():
            async with httpx.AsyncClient(http2=True, verify=trust, timeout=60) as client:
                asked = (client.get(f"{self.https}/echo?{number}") for number in range(200))
                answers = await asyncio.gather(*asked)
                assert all(answer.status_code == 200 for answer in answers)

        asyncio.run(at_once())

    def check_aiohttp(self):
        trust = ssl.create_default_context(cafile=self.stage.ca)

        async def speak():
            async with aiohttp.ClientSession() as session:
                for url in [self.http, self.https]:
                    async with session.post(f"{url}/echo", data=BODY, ssl=trust) as answer:
                        assert await answer.read() == BODY
                    async with session.ws_connect(f"{url}/socket", ssl=trust, max_msg_size=0) as ws:
                        for text in ["hello", "x" * 100_000]:
                            await ws.send_str(text)
                            assert await ws.receive_str() == text
                        await ws.send_bytes(BODY)
                        assert await ws.receive_bytes() == BODY

        asyncio.run(speak())

    def check_undici(self):
        script = os.path.join(os.path.dirname(__file__), "undici.mjs")
        environment = dict(os.environ, NODE_EXTRA_CA_CERTS=self.stage.ca)
        command = ["node", script, self.http, self.https]
        # It looks for modules from where its script is.
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(os.path.join(self.modules, "node_modules"), f"{folder}/node_modules")
            shutil.copy(script, f"{folder}/undici.mjs")
            command[1] = f"{folder}/undici.mjs"
            subprocess.run(command, check=True, env=environment, timeout=120)

    def check_chromium(self):
        port = free_port()
        driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def call(method, path, body=None):
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
            request.add_header("Content-Type", "application/json")
            return json.load(urllib.request.urlopen(request, timeout=120))["value"]

        with tempfile.TemporaryDirectory() as profile:
            try:
                eventually(lambda: call("GET", "/status")["ready"])
                flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"]
                flags += ["--no-first-run", "--disable-background-networking", "--disable-sync"]
                flags += ["--disable-component-update", f"--user-data-dir={profile}"]
                options = {"args": flags, "binary": "/usr/bin/chromium"}
                wanted = {"goog:chromeOptions": options, "acceptInsecureCerts": True}
                session = call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                here = f"/session/{session['sessionId']}"
                for url, protocol in [(self.http, "http/1.1"), (self.https, "h2")]:
                    call("POST", f"{here}/url", {"url": f"{url}/page"})
                    expected = f"{protocol} 100000 true hello"
                    title = ["begun"]

                    def told():
                        title[0] = call("GET", f"{here}/title")
                        return title[0] != "begun"

                    eventually(told)
                    assert title[0] == expected, title[0]
                call("DELETE", here)
            finally:
                driver.terminate()
                driver.wait(60)


def main():
    program, modules = sys.argv[1:3]
    only = sys.argv[3:]
    port = free_port()
    origin(port)
    passed, failed = 0, 0
    with Stage(program, port) as stage:
        eventually(lambda: urllib.request.urlopen(f"http://localhost:{stage.clear}/stream").status)
        clients = Clients(stage, modules)
        names = [name for name in dir(clients) if name.startswith("check_")]
        for name in names:
            name = name.removeprefix("check_")
            if only and name not in only:
                continue
            try:
                getattr(clients, f"check_{name}")()
                passed += 1
                print(f"{name}: passed", flush=True)
            except Exception as error:
                failed += 1
                told = getattr(error, "stderr", b"") or b""
                print(f"{name}: failed: {error!r} {told!r}", flush=True)
    print(f"{passed} clients passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
