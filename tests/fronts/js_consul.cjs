// node-consul at a front: registers with a TTL check, passes it, and leaves at the end of its input.
const http = require('http');
const readline = require('readline');
const found = require('consul');

const Consul = found.default || found;
const [front, port] = process.argv.slice(2);
const [host, frontPort] = front.split(':');
const client = new Consul({ host, port: Number(frontPort) });
let answers = 0;

async function main() {
  http.createServer((_, response) => response.end('js-consul')).listen(Number(port), '127.0.0.1');
  await client.agent.service.register({
    id: 'js-consul-1',
    name: 'js-consul',
    address: '127.0.0.1',
    port: Number(port),
    check: { ttl: '10s' },
  });
  // While the proxy restarts nobody answers.
  setInterval(() => client.agent.check.pass('service:js-consul-1').catch(() => {}), 200);
  const watch = client.watch({
    method: client.health.service,
    options: { service: 'js-consul', passing: true },
  });
  watch.on('change', () => (answers += 1)).on('error', () => {});
  readline
    .createInterface({ input: process.stdin })
    .on('line', async () => {
      const all = await client.health.service({ service: 'js-consul', passing: true });
      console.log(answers < 50 && all.length === 1 ? all[0].Service.Service : `${answers} answers`);
    })
    .on('close', async () => {
      await client.agent.service.deregister('js-consul-1');
      process.exit(0);
    });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
