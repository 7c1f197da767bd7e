"""``flopgate-sim driver``: fake GPUs that stay, for rehearsals of gate and courier by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from pathlib import Path
from typing import get_args

from flopgate_sim.nvml import BuildError, FakeDriver, FakeDriverError, Profile
from flopgate_sim.nvml.layout import MAX_GPUS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``driver``."""
    parser.add_argument(
        "--dir", type=Path, required=True, metavar="DIR", help="for its files; made if absent"
    )
    parser.add_argument(
        "--profile", choices=get_args(Profile), default="H100", help="kind of GPU (%(default)s)"
    )
    parser.add_argument(
        "--gpus", type=int, default=8, metavar="N", help=f"1 to {MAX_GPUS} (%(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; says first what a program needs in order to see the GPUs."""
    if not 1 <= arguments.gpus <= MAX_GPUS:
        print(f"flopgate-sim: --gpus must be 1 to {MAX_GPUS}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with FakeDriver(arguments.dir, profile=arguments.profile, gpus=arguments.gpus) as driver:
            print(f"export LD_LIBRARY_PATH={shlex.quote(str(driver.directory))}", flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except (BuildError, FakeDriverError, OSError) as error:
        print(f"flopgate-sim: {error}", file=sys.stderr)
        return 1
