"""The test service of gRPC's interop cases, by grpcio; takes a port."""

import sys
import time
from concurrent import futures

import grpc

messages, services = grpc.protos_and_services("test.proto")
ECHO_INITIAL, ECHO_TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


def echo_metadata(context):
    sent = dict(context.invocation_metadata())
    if ECHO_INITIAL in sent:
        context.send_initial_metadata(((ECHO_INITIAL, sent[ECHO_INITIAL]),))
    if ECHO_TRAILING in sent:
        context.set_trailing_metadata(((ECHO_TRAILING, sent[ECHO_TRAILING]),))


def end_as_asked(request, context):
    if request.HasField("response_status"):
        context.set_code({code.value[0]: code for code in grpc.StatusCode}[request.response_status.code])
        context.set_details(request.response_status.message)


def payload(size):
    return messages.Payload(body=bytes(size))


class TestService(services.TestServiceServicer):
    def EmptyCall(self, request, context):
        echo_metadata(context)
        return messages.Empty()

    def UnaryCall(self, request, context):
        echo_metadata(context)
        end_as_asked(request, context)
        return messages.SimpleResponse(payload=payload(request.response_size))

    def StreamingOutputCall(self, request, context):
        for wanted in request.response_parameters:
            time.sleep(wanted.interval_us / 1e6)
            yield messages.StreamingOutputCallResponse(payload=payload(wanted.size))
        end_as_asked(request, context)

    def StreamingInputCall(self, requests, context):
        size = sum(len(request.payload.body) for request in requests)
        return messages.StreamingInputCallResponse(aggregated_payload_size=size)

    def FullDuplexCall(self, requests, context):
        echo_metadata(context)
        for request in requests:
            yield from self.StreamingOutputCall(request, context)
            if request.HasField("response_status"):
                return


class Partial(grpc.GenericRpcHandler):
    """Knows all but what no server is to have."""

    def __init__(self, handler):
        self.handler = handler

    def service(self, details):
        return None if details.method.endswith("UnimplementedCall") else self.handler.service(details)


server = grpc.server(futures.ThreadPoolExecutor(16))
services.add_TestServiceServicer_to_server(TestService(), server)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
