// gRPC's interop cases by grpc-js; takes a target and, for TLS, the file of a
// CA. Prints a line for each case, and exits with 1 if one failed.
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { INITIAL, TRAILING, grpc, payload, testing } from './service.mjs';

const [target, ca] = process.argv.slice(2);
const credentials = ca
  ? grpc.credentials.createSsl(readFileSync(ca))
  : grpc.credentials.createInsecure();
const stub = new testing.TestService(target, credentials);
const nobody = new testing.UnimplementedService(target, credentials);

const patience = () => ({ deadline: Date.now() + 60_000 });
const SPECIAL = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n';
const large = { response_size: 314159, payload: payload(271828) };
const wanted = (size, sent) => ({ response_parameters: [{ size }], payload: payload(sent) });

const unary = (to, method, request) => new Promise((done, failed) => {
  to[method](request, patience(), (error, answer) => error ? failed(error) : done(answer));
});

// What a stream says, one by one; undefined at its end.
function answers(call) {
  const from = call[Symbol.asyncIterator]();
  return async () => (await from.next()).value;
}

async function fails(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('it did not fail');
}

function metadata() {
  const sent = new grpc.Metadata();
  sent.add(INITIAL, 'test_initial_metadata_value');
  sent.add(TRAILING, Buffer.from([0xab, 0xab, 0xab]));
  return sent;
}

function holds(first, last) {
  assert.deepEqual(first.get(INITIAL), ['test_initial_metadata_value']);
  assert.deepEqual(last.get(TRAILING), [Buffer.from([0xab, 0xab, 0xab])]);
}

const cases = {
  async empty_unary() {
    assert.deepEqual(await unary(stub, 'EmptyCall', {}), {});
  },
  async large_unary() {
    assert.equal((await unary(stub, 'UnaryCall', large)).payload.body.length, 314159);
  },
  async client_streaming() {
    const answer = await new Promise((done, failed) => {
      const call = stub.StreamingInputCall(patience(), (error, it) => error ? failed(error) : done(it));
      for (const size of [27182, 8, 1828, 45904]) call.write({ payload: payload(size) });
      call.end();
    });
    assert.equal(answer.aggregated_payload_size, 74922);
  },
  async server_streaming() {
    const sizes = [31415, 9, 2653, 58979];
    const request = { response_parameters: sizes.map(size => ({ size })) };
    const found = [];
    for await (const answer of stub.StreamingOutputCall(request, patience())) {
      found.push(answer.payload.body.length);
    }
    assert.deepEqual(found, sizes);
  },
  async ping_pong() {
    const call = stub.FullDuplexCall(patience());
    const next = answers(call);
    for (const [size, sent] of [[31415, 27182], [9, 8], [2653, 1828], [58979, 45904]]) {
      call.write(wanted(size, sent));
      assert.equal((await next()).payload.body.length, size);
    }
    call.end();
    assert.equal(await next(), undefined);
  },
  async empty_stream() {
    const call = stub.FullDuplexCall(patience());
    call.end();
    assert.equal(await answers(call)(), undefined);
  },
  async custom_metadata() {
    let [first, last] = [];
    await new Promise((done, failed) => {
      const call = stub.UnaryCall(large, metadata(), patience(), error => { if (error) failed(error); });
      call.on('metadata', it => { first = it; });
      call.on('status', it => { last = it.metadata; done(); });
    });
    holds(first, last);
    const call = stub.FullDuplexCall(metadata(), patience());
    call.on('metadata', it => { first = it; });
    const status = new Promise(done => call.on('status', done));
    const next = answers(call);
    call.write(wanted(314159, 271828));
    assert.equal((await next()).payload.body.length, 314159);
    call.end();
    assert.equal(await next(), undefined);
    holds(first, (await status).metadata);
  },
  async status_code_and_message() {
    const response_status = { code: 2, message: 'test status message' };
    const told = ({ code, details }) => assert.deepEqual([code, details], [2, response_status.message]);
    told(await fails(unary(stub, 'UnaryCall', { response_status })));
    const call = stub.FullDuplexCall(patience());
    call.write({ response_status });
    call.end();
    told(await fails(answers(call)()));
  },
  async special_status_message() {
    const response_status = { code: 2, message: SPECIAL };
    const { code, details } = await fails(unary(stub, 'UnaryCall', { response_status }));
    assert.deepEqual([code, details], [2, SPECIAL]);
  },
  async unimplemented_method() {
    const error = await fails(unary(stub, 'UnimplementedCall', {}));
    assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    const error = await fails(unary(nobody, 'UnimplementedCall', {}));
    assert.equal(error.code, grpc.status.UNIMPLEMENTED);
  },
  async cancel_after_begin() {
    const error = await new Promise(done => {
      const call = stub.StreamingInputCall(patience(), done);
      setImmediate(() => call.cancel());
    });
    assert.equal(error.code, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const call = stub.FullDuplexCall(patience());
    const next = answers(call);
    call.write(wanted(31415, 27182));
    assert.equal((await next()).payload.body.length, 31415);
    call.cancel();
    assert.equal((await fails(next())).code, grpc.status.CANCELLED);
  },
  async timeout_on_sleeping_server() {
    const call = stub.FullDuplexCall({ deadline: Date.now() + 1 });
    call.write({ payload: payload(27182) });
    assert.equal((await fails(answers(call)())).code, grpc.status.DEADLINE_EXCEEDED);
  },
};

let failed = 0;
for (const [name, perform] of Object.entries(cases)) {
  try {
    await perform();
    console.log(`${name}: passed`);
  } catch (error) {
    failed += 1;
    console.log(`${name}: failed: ${error.stack}`);
  }
}
stub.close();
nobody.close();
process.exit(failed ? 1 : 0);
