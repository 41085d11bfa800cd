"""http-cache-tests against its own origin, direct and through the proxy: the
proxy keeps nothing and must change no result. Takes the built program and the
folder of the package."""

import json
import os
import subprocess
import sys

from stage import Stage, eventually, free_port, listens


# What a proxy has to answer in another way, and why.
OURS = {"headers-store-Transfer-Encoding": "an unknown coding of an answer is refused"}


def environment(**settings):
    return dict(os.environ, **{f"npm_package_config_{name}": value for name, value in settings.items()})


def results(folder, base):
    """By test: true, or why not."""
    told = subprocess.run(
        ["node", "--no-warnings", "cli.mjs"],
        cwd=folder,
        env=environment(base=base, id=""),
        stdout=subprocess.PIPE,
        check=True,
        timeout=900,
    ).stdout
    return json.loads(told)


def broke(result):
    """Whether the origin said nothing that is HTTP, for which a proxy has a 502."""
    return result is not True and result[0] == "FetchError"


def compared(direct, through):
    return {
        case
        for case, result in direct.items()
        if through.get(case) != result and not broke(result) and case not in OURS
    }


def main():
    program, folder = sys.argv[1:]
    port = free_port()
    with Stage(program, port) as stage:
        pidfile = os.path.join(stage.folder.name, "pid")
        origin = subprocess.Popen(
            ["node", "server/server.mjs"],
            cwd=folder,
            env=environment(protocol="http", port=str(port), pidfile=pidfile),
            stdout=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: listens(port))
            bases = [f"http://127.0.0.1:{at}" for at in (port, stage.clear)]
            direct, through = [results(folder, base) for base in bases]
            differing = compared(direct, through)
            # Dates have seconds: a difference is one that stays.
            for _ in range(2):
                if differing:
                    direct, through = [results(folder, base) for base in bases]
                    differing &= compared(direct, through)
        finally:
            origin.terminate()
            origin.wait(60)
    good = sum(result is True for result in through.values())
    broken = sum(map(broke, direct.values()))
    print(
        f"http-cache-tests: {len(through)} tests through the proxy, {good} as a cache would;"
        f" {len(differing)} unlike the origin alone"
    )
    print(f"not compared: {broken} whose origin breaks the connection, {', '.join(OURS)}")
    for case in sorted(differing):
        print(f"  {case}: direct {direct[case]}, through {through.get(case)}")
    return 1 if differing or len(through) < 300 else 0


if __name__ == "__main__":
    sys.exit(main())
