"""gRPC's interop cases by grpcio; takes a target and, for TLS, the file of a
CA. Prints a line for each case, and exits with 1 if one failed."""

import sys

import grpc

messages, services = grpc.protos_and_services("test.proto")
PATIENCE = 60
INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"


def fails(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it did not fail")


def payload(size):
    return messages.Payload(body=bytes(size))


def large():
    return messages.SimpleRequest(response_size=314159, payload=payload(271828))


def wanted(size, sent, **more):
    parameters = [messages.ResponseParameters(size=size)]
    return messages.StreamingOutputCallRequest(
        response_parameters=parameters, payload=payload(sent), **more
    )


class Cases:
    def __init__(self, channel):
        self.stub = services.TestServiceStub(channel)
        self.nobody = services.UnimplementedServiceStub(channel)

    def empty_unary(self):
        assert self.stub.EmptyCall(messages.Empty(), timeout=PATIENCE) == messages.Empty()

    def large_unary(self):
        answer = self.stub.UnaryCall(large(), timeout=PATIENCE)
        assert answer.payload.body == bytes(314159)

    def client_streaming(self):
        requests = (
            messages.StreamingInputCallRequest(payload=payload(size))
            for size in (27182, 8, 1828, 45904)
        )
        answer = self.stub.StreamingInputCall(requests, timeout=PATIENCE)
        assert answer.aggregated_payload_size == 74922

    def server_streaming(self):
        sizes = [31415, 9, 2653, 58979]
        parameters = [messages.ResponseParameters(size=size) for size in sizes]
        request = messages.StreamingOutputCallRequest(response_parameters=parameters)
        answers = self.stub.StreamingOutputCall(request, timeout=PATIENCE)
        assert [len(answer.payload.body) for answer in answers] == sizes

    def ping_pong(self):
        pairs = [(31415, 27182), (9, 8), (2653, 1828), (58979, 45904)]
        with Talk(self.stub, PATIENCE) as talk:
            for size, sent in pairs:
                talk.say(wanted(size, sent))
                assert len(next(talk.call).payload.body) == size
            talk.close()
            assert next(talk.call, None) is None

    def empty_stream(self):
        assert not list(self.stub.FullDuplexCall(iter(()), timeout=PATIENCE))

    def custom_metadata(self):
        _, call = self.stub.UnaryCall.with_call(large(), PATIENCE, (INITIAL, TRAILING))
        assert INITIAL in tuple(call.initial_metadata()), call.initial_metadata()
        assert TRAILING in tuple(call.trailing_metadata()), call.trailing_metadata()
        with Talk(self.stub, PATIENCE, (INITIAL, TRAILING)) as talk:
            talk.say(wanted(314159, 271828))
            assert len(next(talk.call).payload.body) == 314159
            talk.close()
            assert next(talk.call, None) is None
            assert INITIAL in tuple(talk.call.initial_metadata())
            assert TRAILING in tuple(talk.call.trailing_metadata())

    def status_code_and_message(self):
        status = messages.EchoStatus(code=2, message="test status message")
        request = messages.SimpleRequest(response_status=status)
        error = fails(lambda: self.stub.UnaryCall(request, timeout=PATIENCE))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, status.message)
        with Talk(self.stub, PATIENCE) as talk:
            talk.say(messages.StreamingOutputCallRequest(response_status=status))
            talk.close()
            error = fails(lambda: next(talk.call))
            assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, status.message)

    def special_status_message(self):
        status = messages.EchoStatus(code=2, message=SPECIAL)
        request = messages.SimpleRequest(response_status=status)
        error = fails(lambda: self.stub.UnaryCall(request, timeout=PATIENCE))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, SPECIAL)

    def unimplemented_method(self):
        error = fails(lambda: self.stub.UnimplementedCall(messages.Empty(), timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    def unimplemented_service(self):
        error = fails(lambda: self.nobody.UnimplementedCall(messages.Empty(), timeout=PATIENCE))
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error

    def cancel_after_begin(self):
        never = Never()
        call = self.stub.StreamingInputCall.future(iter(never), timeout=PATIENCE)
        call.cancel()
        assert call.cancelled() and call.code() == grpc.StatusCode.CANCELLED
        never.end()

    def cancel_after_first_response(self):
        with Talk(self.stub, PATIENCE) as talk:
            talk.say(wanted(31415, 27182))
            assert len(next(talk.call).payload.body) == 31415
            talk.call.cancel()
            assert fails(lambda: next(talk.call)).code() == grpc.StatusCode.CANCELLED

    def timeout_on_sleeping_server(self):
        with Talk(self.stub, 0.001) as talk:
            talk.say(messages.StreamingOutputCallRequest(payload=payload(27182)))
            error = fails(lambda: next(talk.call))
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error


class Never:
    """Requests of a stream that says nothing."""

    def __init__(self):
        import queue

        self.queue = queue.Queue()

    def __iter__(self):
        return iter(self.queue.get, None)

    def end(self):
        self.queue.put(None)


class Talk:
    """A stream both ways, of which one side says what the other answers."""

    def __init__(self, stub, patience, metadata=()):
        self.said = Never()
        self.call = stub.FullDuplexCall(iter(self.said), timeout=patience, metadata=metadata)

    def say(self, request):
        self.said.queue.put(request)

    def close(self):
        self.said.end()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.said.end()


def main():
    target, *ca = sys.argv[1:]
    if ca:
        with open(ca[0], "rb") as file:
            trust = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(target, trust)
    else:
        channel = grpc.insecure_channel(target)
    failed = 0
    with channel:
        cases = Cases(channel)
        for name in [name for name in dir(cases) if hasattr(getattr(cases, name), "__func__")]:
            if name.startswith("_"):
                continue
            try:
                getattr(cases, name)()
                print(f"{name}: passed", flush=True)
            except Exception as error:
                failed += 1
                print(f"{name}: failed: {error!r}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
