"""gRPC's interop cases through the proxy: clients and servers of two makes, each
with each, over TLS and in the clear. Takes the built program and the folder of
node's modules."""

import os
import subprocess
import sys

from stage import Stage, eventually, free_port, listens

HERE = os.path.dirname(os.path.abspath(__file__))
MAKES = {"grpcio": [sys.executable, "{}.py"], "grpc-js": ["node", "{}.mjs"]}


def command(make, part, *arguments):
    runtime, script = MAKES[make]
    return [runtime, os.path.join(HERE, script.format(part)), *arguments]


def main():
    program, modules = sys.argv[1:]
    environment = dict(os.environ, MODULES=modules)
    passed = failed = 0
    for server in MAKES:
        port = free_port()
        serving = subprocess.Popen(command(server, "server", str(port)), env=environment)
        try:
            eventually(lambda: listens(port))
            with Stage(program, port, 'protocol = "h2c"') as stage:
                for client in MAKES:
                    for where, target in [
                        ("in the clear", [f"localhost:{stage.clear}"]),
                        ("over TLS", [f"localhost:{stage.secure}", stage.ca]),
                    ]:
                        told = subprocess.run(
                            command(client, "client", *target),
                            env=environment,
                            stdout=subprocess.PIPE,
                            text=True,
                            timeout=600,
                        )
                        lines = told.stdout.splitlines()
                        good = sum(line.endswith(": passed") for line in lines)
                        bad = max(len(lines) - good, 1 if told.returncode else 0)
                        passed, failed = passed + good, failed + bad
                        print(f"{client} {where} to {server}: {good} cases passed, {bad} failed")
                        if bad:
                            print(told.stdout, flush=True)
        finally:
            serving.terminate()
            serving.wait(60)
    print(f"{passed} interop cases passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
