"""The command line ``flopgate-sim``: rehearsal on one machine, without a GPU."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from flopgate_proto.command_line import Commands, run_program
from flopgate_proto.version import VERSION

COMMANDS: Final[Mapping[str, str]] = {
    "demo": "the whole path, from a GPU counter to a stopped GPU, in two to three minutes",
    "list": "list the scenarios of the simulated cluster that are shipped",
    "run": "simulate a scenario for one seed or thousands, every law checked after every event",
    "campaign": "simulate all scenarios in turns with ever new seeds, for an hour or so",
    "replay": "simulate a recorded cluster under governance",
    "live": "rehearse with real processes in real time, under cuts, losses and kills",
    "driver": "fake GPUs for a gate that is started by hand",
    "job": "run a job on the GPUs of `driver`",
}
"""Each command's help."""

PROGRAM: Final = Commands(
    prog="flopgate-sim",
    package="flopgate_sim.commands",
    table=COMMANDS,
    description="Rehearsal of flopgate on one machine, without a GPU. Begin with "
    "`flopgate-sim demo`; docs/simulator.md says more.",
    epilog="Exit status: 0 all held, 1 a law was broken or a world did not come to its end, "
    "2 usage or configuration, 130 interrupted.",
    version=f"flopgate {VERSION}",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: see `run_program`."""
    return run_program(PROGRAM.prog, lambda: PROGRAM.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
