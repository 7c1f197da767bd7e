"""The command that runs one world again."""

from __future__ import annotations

import shlex

from flopgate_sim.campaign.outcome import Job


def command(job: Job) -> str:
    """For a shell, from the same checkout. It shows the timeline."""
    words = ["flopgate-sim", "run", job.scenario, "--seeds", str(job.seed)]
    if job.fault_indices is not None:
        words += ["--faults", ",".join(map(str, job.fault_indices)) or "none"]
    return shlex.join([*words, "--signatures", job.signatures, "--timeline"])
