// eureka-js-client at a front: registers, is found, and leaves at the end of its input.
const http = require('http');
const readline = require('readline');
const { Eureka } = require('eureka-js-client');

const [front, port] = process.argv.slice(2);
const [host, frontPort] = front.split(':');
const client = new Eureka({
  instance: {
    app: 'js-eureka',
    hostName: '127.0.0.1',
    ipAddr: '127.0.0.1',
    port: { $: Number(port), '@enabled': true },
    vipAddress: 'js-eureka',
    dataCenterInfo: {
      '@class': 'com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo',
      name: 'MyOwn',
    },
  },
  eureka: {
    host,
    port: Number(frontPort),
    servicePath: '/eureka/v2/apps/',
    heartbeatInterval: 1000,
    registryFetchInterval: 1000,
  },
});
client.logger.level('error');
http
  .createServer((_, response) => response.end('js-eureka'))
  .listen(Number(port), '127.0.0.1', () =>
    client.start((error) => {
      if (error) throw error;
    }),
  );
readline
  .createInterface({ input: process.stdin })
  .on('line', () => {
    const found = client.getInstancesByVipAddress('js-eureka')[0];
    console.log(found ? found.app.toLowerCase() : 'nobody');
  })
  .on('close', () => client.stop((error) => process.exit(error ? 1 : 0)));
