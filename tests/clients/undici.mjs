// What undici gets through the proxy, by HTTP/1.1, HTTP/2 and WebSocket.
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { Agent, WebSocket, fetch, request } from 'undici';

const [http, https] = process.argv.slice(2);
const ca = readFileSync(process.env.NODE_EXTRA_CA_CERTS);
const body = 'b'.repeat(300000);
for (const [url, allowH2] of [[http, false], [https, false], [https, true]]) {
  const dispatcher = new Agent({ allowH2, connect: { ca } });
  for (let turn = 0; turn < 5; turn++) {
    const answer = await request(`${url}/echo`, { method: 'POST', body, dispatcher });
    assert.equal(answer.statusCode, 200);
    assert.equal(await answer.body.text(), body);
  }
  const seen = (await request(`${url}/echo`, { dispatcher })).headers['x-seen'];
  assert.match(seen, new RegExp(`${allowH2 ? '2' : '1.1'} portolan$`));
  const many = await Promise.all([...Array(50).keys()].map(
    async number => (await fetch(`${url}/stream?${number}`, { dispatcher })).text()));
  assert(many.every(text => text === '0\n1\n2\n3\n4\n'));
  await dispatcher.close();
}
for (const url of [http, https]) {
  const dispatcher = new Agent({ connect: { ca } });
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket`, { dispatcher });
  const said = await new Promise((done, failed) => {
    socket.onopen = () => socket.send('hello');
    socket.onmessage = event => done(event.data);
    socket.onerror = event => failed(event.error ?? event);
  });
  assert.equal(said, 'hello');
  socket.close();
  await new Promise(done => { socket.onclose = done; });
  await dispatcher.close();
}
