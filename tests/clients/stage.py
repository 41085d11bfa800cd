"""A proxy between clients of other make and an origin, over TLS and in the
clear, for the tests in this folder."""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from aiohttp import WSMsgType, web

PAGE = """<!doctype html><title>begun</title><script>
const path = location.pathname;
(async () => {
  const [first] = performance.getEntriesByType('navigation');
  const text = await (await fetch('/echo', {method: 'POST', body: 'x'.repeat(100000)})).text();
  const all = await Promise.all([...Array(20).keys()].map(n => fetch('/echo?' + n)));
  const socket = new WebSocket(location.origin.replace('http', 'ws') + '/socket');
  const said = await new Promise((done, failed) => {
    socket.onopen = () => socket.send('hello');
    socket.onmessage = event => done(event.data);
    socket.onerror = () => failed('the socket failed');
  });
  socket.close();
  document.title = [first.nextHopProtocol, text.length, all.every(a => a.ok), said].join(' ');
})().catch(error => document.title = 'failed: ' + error);
</script>"""


def free_port():
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def eventually(check, patience=60):
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError):
            if check():
                return
        if time.monotonic() > deadline:
            raise AssertionError("it did not come true")
        time.sleep(0.05)


async def echo(request):
    body = await request.read()
    seen = f"{request.headers.get('X-Forwarded-Proto')} {request.headers.get('Via')}"
    return web.Response(body=body or seen.encode(), headers={"X-Seen": seen})


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(5):
        await response.write(f"{number}\n".encode())
        await asyncio.sleep(0.01)
    return response


async def ws(request):
    it = web.WebSocketResponse(max_msg_size=0)
    await it.prepare(request)
    async for message in it:
        if message.type == WSMsgType.TEXT:
            await it.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await it.send_bytes(message.data)
    return it


async def page(_):
    return web.Response(text=PAGE, content_type="text/html")


def origin(port):
    """Serves on a thread of its own until the process ends."""

    # Whoever only looks whether it is there leaves in the middle.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)

    async def serve():
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/echo", echo)
        app.router.add_get("/stream", stream)
        app.router.add_get("/socket", ws)
        app.router.add_get("/page", page)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()


class Stage:
    """The proxy, at `clear` and at `secure`; `ca` vouches for the latter."""

    def __init__(self, program, origin_port, more=""):
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
tls = {{ certificates = [{{ cert = "{folder}/localhost.pem", key = "{folder}/localhost.key" }}] }}
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
