"""The cases of the Autobahn WebSocket suite against an echo server, direct and
through the proxy, which must change no result. Takes the built program and, if
not the quick ones, which cases: `*` is all."""

import asyncio
import collections
import sys
import time
import urllib.request

import kosoku
from origin import origin
from stage import Stage, eventually, free_port

# Megabytes in pieces of a few bytes, and compression, a thousand messages each:
# minutes, of which the echo takes most.
SLOW = ["9.*", "12.*", "13.*"]


async def results(url, cases):
    """By case: how it went, how the connection ended, and with which code."""
    try:
        chosen = {"cases": cases} if cases else {"exclude_cases": SLOW}
        found = await kosoku.run_fuzzingclient(url, concurrency=4, **chosen)
    except kosoku.FailureError as error:
        found = error.results
    return {
        one.case_id: (word(one.behavior), word(one.behavior_close), one.remote_close_code)
        for one in found
    }


def word(behavior):
    return str(behavior).rpartition(".")[2]


def main():
    program, cases = sys.argv[1], sys.argv[2:]
    port = free_port()
    origin(port)
    with Stage(program, port) as stage:
        eventually(lambda: urllib.request.urlopen(f"http://localhost:{stage.clear}/page").status)
        urls = [f"ws://127.0.0.1:{at}/socket" for at in (port, stage.clear)]
        begun = time.monotonic()
        direct, through = [asyncio.run(results(url, cases)) for url in urls]
        # Some are judged by what comes first, which is chance: a difference is
        # one that stays.
        differing = [case for case in direct if direct[case] != through[case]]
        for _ in range(3):
            if differing:
                again = [asyncio.run(results(url, differing)) for url in urls]
                differing = [case for case in differing if again[0][case] != again[1][case]]
        took = time.monotonic() - begun
    counted = collections.Counter(behavior for behavior, *_ in through.values())
    said = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counted.items()))
    print(f"autobahn: {len(through)} cases through the proxy: {said}; {took:.0f} s")
    for case in differing:
        print(f"  {case}: direct {direct[case]}, through {through[case]}")
    return 1 if differing or not through else 0


if __name__ == "__main__":
    sys.exit(main())
