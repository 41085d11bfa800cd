// The test service of gRPC's interop cases, as grpc-js knows it.
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(path.join(process.env.MODULES, 'here.js'));
export const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const file = new URL('test.proto', import.meta.url).pathname;
const options = { keepCase: true, defaults: true };
export const { testing } = grpc.loadPackageDefinition(loader.loadSync(file, options)).grpc;

export const INITIAL = 'x-grpc-test-echo-initial';
export const TRAILING = 'x-grpc-test-echo-trailing-bin';
export const payload = size => ({ body: Buffer.alloc(size) });
