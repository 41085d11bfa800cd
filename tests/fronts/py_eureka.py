"""py-eureka-client at a front: registers, is found, is taken out for a while when it is
told to, and leaves at the end of its input."""

import asyncio
import os
import sys
import threading

import py_eureka_client.eureka_client as eureka
from answer import answer

front, port = sys.argv[1], int(sys.argv[2])
threading.Thread(target=answer, args=(port, b"py-eureka"), daemon=True).start()
eureka.init(
    eureka_server=f"http://{front}/eureka",
    app_name="py-eureka",
    instance_host="127.0.0.1",
    instance_ip="127.0.0.1",
    instance_port=port,
    renewal_interval_in_secs=1,
    duration_in_secs=10,
)
for line in sys.stdin:
    # What it has read of the registry, in XML.
    if line == "find\n":
        print(eureka.do_service("py-eureka", "/"), flush=True)
    elif line == "out\n":
        asyncio.run(eureka.get_client().status_update("OUT_OF_SERVICE"))
    elif line == "in\n":
        asyncio.run(eureka.get_client().status_update("UP"))
eureka.stop()
# The library's threads go on, and have crashed the interpreter as it ended.
os._exit(0)
