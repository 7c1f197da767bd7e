"""Raw P-256 verification while something else runs on the same core: ``python -m bench.probe``.

What a verification costs depends on the moment: the other core may be a thread of the same physical
one, and whoever shares the machine comes and goes. So the probe wakes now and then, verifies a few
times beside the work that is measured, and reports CPU time per verification. A line on standard
input begins a stretch, the next one ends it and is answered; the end of the input ends the probe.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

VERIFICATIONS: Final = 16
WARM: Final = 4
"""Before each sample, uncounted: a busy verifier would find its caches warm."""
PAUSE_S: Final = 0.08
"""Between samples: the probe takes about 1.5% of the core."""


def verification() -> Callable[[], None]:
    """One verification, without any of our code around it."""
    algorithm, message = ec.ECDSA(hashes.SHA256()), bytes(range(256)) * 2
    key = ec.generate_private_key(ec.SECP256R1())
    signature, public = key.sign(message, algorithm), key.public_key()
    return lambda: public.verify(signature, message, algorithm)


def sample_ns(verify: Callable[[], None]) -> float:
    """CPU time of one verification, nanoseconds."""
    for _ in range(WARM):
        verify()
    start_ns = time.thread_time_ns()
    for _ in range(VERIFICATIONS):
        verify()
    return (time.thread_time_ns() - start_ns) / VERIFICATIONS


def main() -> None:
    """Answer each stretch with the median of its samples, nanoseconds."""
    verify = verification()
    # Unbuffered: a line that waits in a buffer of ours would never wake `select`.
    with os.fdopen(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as lines:
        while lines.readline():
            samples = [sample_ns(verify)]
            while not select.select([lines], [], [], PAUSE_S)[0]:
                samples.append(sample_ns(verify))
            lines.readline()
            print(median(samples), flush=True)


if __name__ == "__main__":
    main()
