"""What a host key in the TPM costs a report: ``python -m bench.tpm_cost --tcti TCTI``.

Makes keys that it does not keep, and the counter of a host where there is none: the counter stays,
and goes up. Not on a host that is enrolled with its key in this TPM: its ledger would be older.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Callable
from statistics import median

from bench.harness import machine, table
from flopgate_agent.counters.client import child_environment
from flopgate_agent.tpm.client import TpmClient
from flopgate_proto.keys import SigningKey

MESSAGE = bytes(range(256)) * 2


def median_us(work: Callable[[], object], times: int) -> float:
    """Wall time of one call."""
    took = []
    for _ in range(times):
        began_ns = time.perf_counter_ns()
        work()
        took.append(time.perf_counter_ns() - began_ns)
    return median(took) / 1000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tcti", required=True, help="where the TPM is, as the TSS names it")
    parser.add_argument("--times", type=int, default=200)
    arguments = parser.parse_args()
    tpm = TpmClient(arguments.tcti, env=child_environment(os.environ))
    tpm.load(tpm.make())
    stands = tpm.define().counter or 0
    key, digest = SigningKey.generate(), hashlib.sha256(MESSAGE).digest()

    def step() -> None:
        nonlocal stands
        stands += 1
        tpm.reach(stands)

    def report() -> None:
        tpm.state(stands + 1)
        tpm.sign(digest)
        step()

    print(machine())
    software_us = median_us(lambda: key.sign(MESSAGE), arguments.times)
    measured = {
        "signature, key in a file": software_us,
        "signature, key in the TPM": median_us(lambda: tpm.sign(digest), arguments.times),
        "clock": median_us(lambda: tpm.state(0), arguments.times),
        "step of the counter": median_us(step, arguments.times),
        "all of a report: clock, signature, step": median_us(report, arguments.times),
    }
    rows = [(name, f"{us:,.0f}", f"{us / software_us:.0f}") for name, us in measured.items()]
    table("A report of a gate with a TPM", ("", "wall us", "of the first"), rows)
    tpm.close()


if __name__ == "__main__":
    main()
