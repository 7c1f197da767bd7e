"""``flopgate-sim driver``: fake GPUs that stay, for rehearsals of gate and courier by hand."""

from __future__ import annotations

import argparse
import shlex
import signal
from pathlib import Path
from typing import get_args

from flopgate_proto.command_line import output_failed
from flopgate_proto.errors import ConfigError
from flopgate_sim.nvml import FakeDriver, Profile
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
        raise ConfigError(
            f"--gpus is {arguments.gpus}",
            code="sim.driver.option",
            remedy=f"Write 1 to {MAX_GPUS}.",
        )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with FakeDriver(arguments.dir, profile=arguments.profile, gpus=arguments.gpus) as driver:
            print(f"export LD_LIBRARY_PATH={shlex.quote(str(driver.directory))}", flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        if output_failed(error):
            raise
        raise ConfigError(
            f"--dir: cannot write {error.filename or arguments.dir}: {error.strerror}",
            code="sim.driver.dir",
            remedy="Name a folder of your own, or one that is not there.",
        ) from error
