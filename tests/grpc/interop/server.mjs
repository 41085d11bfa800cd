// The test service of gRPC's interop cases, by grpc-js; takes a port.
import { INITIAL, TRAILING, grpc, payload, testing } from './service.mjs';

// Sends the first metadata, and returns the last.
function echo(call) {
  const [first, last] = [new grpc.Metadata(), new grpc.Metadata()];
  for (const value of call.metadata.get(INITIAL)) first.add(INITIAL, value);
  for (const value of call.metadata.get(TRAILING)) last.add(TRAILING, value);
  call.sendMetadata(first);
  return last;
}

const failure = status => ({ code: status.code, details: status.message });

async function respond(call, request) {
  for (const { size, interval_us } of request.response_parameters) {
    if (interval_us) await new Promise(done => setTimeout(done, interval_us / 1000));
    call.write({ payload: payload(size) });
  }
}

const server = new grpc.Server();
// Without those that no server is to have.
const { UnimplementedCall, ...known } = testing.TestService.service;
server.addService(known, {
  EmptyCall: (call, done) => done(null, {}, echo(call)),
  UnaryCall: (call, done) => {
    const last = echo(call);
    const { response_size, response_status } = call.request;
    if (response_status?.code) return done({ ...failure(response_status), metadata: last });
    done(null, { payload: payload(response_size) }, last);
  },
  StreamingOutputCall: async call => {
    await respond(call, call.request);
    call.end();
  },
  StreamingInputCall: (call, done) => {
    let size = 0;
    call.on('data', request => { size += request.payload.body.length; });
    call.on('end', () => done(null, { aggregated_payload_size: size }));
  },
  FullDuplexCall: call => {
    const last = echo(call);
    let turn = Promise.resolve();
    call.on('data', request => {
      turn = turn.then(async () => {
        await respond(call, request);
        if (request.response_status?.code) call.emit('error', failure(request.response_status));
      });
    });
    call.on('end', () => { turn.then(() => call.end(last)); });
    call.on('cancelled', () => {});
  },
});
server.bindAsync(`127.0.0.1:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), error => {
  if (error) throw error;
});
