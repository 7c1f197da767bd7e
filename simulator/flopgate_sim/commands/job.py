"""``flopgate-sim job``: GEMMs on the GPUs of a running ``flopgate-sim driver``."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from pathlib import Path

from flopgate_proto.errors import ConfigError
from flopgate_sim.nvml import Workload, build


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``job``."""
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="--dir of `flopgate-sim driver`"
    )
    parser.add_argument(
        "--share",
        type=float,
        default=0.5,
        metavar="S",
        help="part of the 16-bit peak that it reaches, above 0 to 1 (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run it; as a shell tells it, 128 and more stands for the signal that ended it."""
    directory: Path = arguments.dir.absolute()
    state, devices = directory / "state", directory / "dev"
    gpus = range(len(list(devices.glob("nvidia[0-9]*"))))
    if not state.exists() or not gpus:
        raise ConfigError(
            f"no `flopgate-sim driver` has run in {directory}",
            code="sim.job.dir",
            remedy="Start one, and name its --dir.",
        )
    if not 0 < arguments.share <= 1:
        raise ConfigError(
            f"--share is {arguments.share}",
            code="sim.job.option",
            remedy="Write more than 0, and at most 1.",
        )
    program = str(build().workload)
    workload = Workload(gpus=gpus, share=arguments.share)
    environment = {**os.environ, "FLOPGATE_FAKE_NVML_STATE": str(state)}
    with subprocess.Popen([program, *workload.arguments(devices)], env=environment) as job:
        print(f"job {job.pid} on {len(gpus)} GPUs; Ctrl-C ends it", flush=True)
        try:
            status = job.wait()
        except KeyboardInterrupt:
            job.terminate()
            status = job.wait()
    if status < 0:
        print(f"job {job.pid} was ended by {signal.Signals(-status).name}", flush=True)
    return status if status >= 0 else 128 - status
