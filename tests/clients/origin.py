"""What the clients of this folder ask: an echo, a stream, a page and a
WebSocket, by aiohttp."""

import asyncio
import logging
import threading

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
