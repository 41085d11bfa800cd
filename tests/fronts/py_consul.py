"""python-consul, or py-consul, at a front: registers with a TTL check, passes it, is taken
out for a while when it is told to, and leaves at the end of its input."""

import sys
import threading
import time

import consul
from answer import answer

front, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
threading.Thread(target=answer, args=(port, name.encode()), daemon=True).start()
host, front_port = front.split(":")
client = consul.Consul(host=host, port=int(front_port))
client.agent.service.register(
    name, service_id=f"{name}-1", address="127.0.0.1", port=port, check=consul.Check.ttl("10s")
)


def renew():
    while True:
        try:
            client.agent.check.ttl_pass(f"service:{name}-1", notes="well")
        except Exception:
            # While the proxy restarts nobody answers.
            pass
        time.sleep(0.2)


threading.Thread(target=renew, daemon=True).start()
for line in sys.stdin:
    if line == "find\n":
        index, nodes = client.health.service(name, passing=True)
        index, nodes = client.health.service(name, passing=True, index=index, wait="1s")
        print(nodes[0]["Service"]["Service"], flush=True)
    elif line == "out\n":
        client.agent.service.maintenance(f"{name}-1", "true", "for a while")
    elif line == "in\n":
        client.agent.service.maintenance(f"{name}-1", "false")
client.agent.service.deregister(f"{name}-1")
