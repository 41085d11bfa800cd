"""What sslyze finds at a listener with TLS: it has to be Mozilla's intermediate
configuration, and the modern one without TLS 1.2, but for the certificate,
which is for development. Takes the built program and sslyze."""

import re
import subprocess
import sys

from stage import Stage

# About the certificate, which the user brings.
THEIRS = {"certificate_path_validation", "maximum_certificate_lifespan"}


def scanned(sslyze, stage, level):
    """The cipher suites that are accepted, and what is against `level`."""
    address = f"localhost:{stage.secure}"
    told = subprocess.run(
        [sslyze, f"--mozilla_config={level}", address],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=600,
    ).stdout
    verdict = told.rpartition("COMPLIANCE AGAINST")[2]
    assert f"{address}: " in verdict, told
    against = [] if f"{address}: OK" in verdict else re.findall(r"\* (\w+): (.*)", verdict)
    assert against or "Compliant" in verdict, verdict
    accepted = re.findall(r"^ +(TLS_\w+) ", told, re.MULTILINE)
    return accepted, [(rule, why) for rule, why in against if rule not in THEIRS]


def main():
    program, sslyze = sys.argv[1:]
    failed = False
    for level, tls in [("intermediate", ""), ("modern", 'min_version = "1.3"')]:
        with Stage(program, 1, tls=tls) as stage:
            accepted, against = scanned(sslyze, stage, level)
        print(f"sslyze, {level}: {len(accepted)} cipher suites, {len(against)} findings")
        print("  " + ", ".join(accepted))
        for rule, why in against:
            print(f"  {rule}: {why}")
        failed |= bool(against) or not accepted
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
