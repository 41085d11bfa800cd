"""Real gRPC clients against real gRPC servers through the proxy.

Takes the path of the built proxy. Both ends are grpcio's, which shares no code
with the proxy; messages are bytes, so that no schema has to be compiled.
Prints how many checks passed, and exits with 1 if one failed.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "shop.Orders"
cancelled = threading.Event()


def unary(request, context):
    if request == b"fail":
        context.set_trailing_metadata((("x-detail", "seven"), ("x-blob-bin", b"\x00\xff")))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no \u00fc today")
    if request == b"wait":
        context.add_callback(cancelled.set)
        while context.is_active():
            time.sleep(0.01)
    return request * 2


def download(request, context):
    for index in range(int(request)):
        yield b"%d" % index


def upload(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield request.upper()


def server():
    server = grpc.server(futures.ThreadPoolExecutor(32))
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Download": grpc.unary_stream_rpc_method_handler(download),
        "Upload": grpc.stream_unary_rpc_method_handler(upload),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    told = health.HealthServicer()
    told.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(told, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, told, port


def free_port():
    import socket

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def eventually(condition):
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come true")


class Calls:
    def __init__(self, channel, told, admin):
        self.channel, self.told, self.admin = channel, told, admin
        path = lambda name: f"/{SERVICE}/{name}"
        self.unary = channel.unary_unary(path("Unary"))
        self.download = channel.unary_stream(path("Download"))
        self.upload = channel.stream_unary(path("Upload"))
        self.chat = channel.stream_stream(path("Chat"))

    def check_unary(self):
        for size in (0, 1, 100_000, 1_000_000):
            assert self.unary(b"x" * size, timeout=30) == b"xx" * size

    def check_server_streaming(self):
        assert list(self.download(b"1000", timeout=30)) == [b"%d" % i for i in range(1000)]

    def check_client_streaming(self):
        chunks = (b"y" * 10_000 for _ in range(200))
        assert self.upload(chunks, timeout=30) == b"2000000"

    def check_both_streaming(self):
        told = threading.Semaphore(0)

        def speak():
            for index in range(50):
                yield b"word%d" % index
                assert told.acquire(timeout=30)

        for index, answer in enumerate(self.chat(speak(), timeout=60)):
            assert answer == b"WORD%d" % index
            told.release()
        assert index == 49

    def check_many_at_once(self):
        calls = [self.unary.future(b"%d" % i, timeout=30) for i in range(300)]
        assert [call.result() for call in calls] == [b"%d%d" % (i, i) for i in range(300)]

    def check_errors(self):
        try:
            self.unary(b"fail", timeout=30)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
            assert error.details() == "no \u00fc today", error
            trailers = dict(error.trailing_metadata())
            assert trailers["x-detail"] == "seven" and trailers["x-blob-bin"] == b"\x00\xff"
        else:
            raise AssertionError("it did not fail")

    def check_unknown_method(self):
        try:
            self.channel.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=30)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
        else:
            raise AssertionError("it did not fail")

    def check_deadline(self):
        cancelled.clear()
        try:
            self.unary(b"wait", timeout=0.5)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
        else:
            raise AssertionError("it did not fail")
        assert cancelled.wait(30), "the server was not told"

    def check_cancel(self):
        cancelled.clear()
        call = self.unary.future(b"wait")
        time.sleep(0.3)
        call.cancel()
        assert cancelled.wait(30), "the server was not told"

    def check_health_through_the_proxy(self):
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

    def check_probes(self):
        def state():
            url = f"http://{self.admin}/api/v1/services/app"
            return urllib.request.urlopen(url, timeout=30).read().decode()

        eventually(lambda: '"healthy"' in state())
        self.told.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        eventually(lambda: '"unhealthy"' in state() and "NOT_SERVING" in state())
        try:
            self.unary(b"x", timeout=30)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        else:
            raise AssertionError("it did not fail")
        self.told.set("", health_pb2.HealthCheckResponse.SERVING)
        eventually(lambda: '"unhealthy"' not in state())
        assert self.unary(b"x", timeout=30) == b"xx"


def main():
    program = sys.argv[1]
    backend, told, port = server()
    listener, admin = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = os.path.join(folder, "proxy.toml")
        with open(config, "w") as file:
            file.write(
                f"""
[[listener]]
address = "127.0.0.1:{listener}"
[admin]
address = "127.0.0.1:{admin}"
[registry]
data_dir = "{folder}/data"
[service.app]
endpoints = ["127.0.0.1:{port}"]
protocol = "h2c"
health = {{ kind = "grpc", interval = "100ms", timeout = "100ms", unhealthy_after = 1 }}
[[route]]
service = "app"
"""
            )
        proxy = subprocess.Popen([program, "run", "--config", config])
        passed, failed = 0, 0
        try:
            channel = grpc.insecure_channel(f"127.0.0.1:{listener}")
            calls = Calls(channel, told, f"127.0.0.1:{admin}")
            eventually(lambda: ready(calls))
            for name in [name for name in dir(calls) if name.startswith("check_")]:
                try:
                    getattr(calls, name)()
                    passed += 1
                    print(f"{name}: passed", flush=True)
                except Exception as error:
                    failed += 1
                    print(f"{name}: failed: {error!r}", flush=True)
        finally:
            proxy.terminate()
            proxy.wait(60)
            backend.stop(None)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def ready(calls):
    try:
        return calls.unary(b"", timeout=1) == b""
    except grpc.RpcError:
        return False


if __name__ == "__main__":
    sys.exit(main())
