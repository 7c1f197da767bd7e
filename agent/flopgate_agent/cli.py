"""The command line ``flopgate-agent``: one module a command, loaded only when it is asked for."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from flopgate_proto.command_line import Commands, run_program
from flopgate_proto.version import VERSION

COMMANDS: Final[Mapping[str, str]] = {
    "gate": "meter, enforce and sign on this host",
    "lockdown": "stop what a gate left running that does not come back",
    "courier": "carry what the gate signed to its authorities",
    "status": "show what this host's gate allows, and why not",
    "explain": "say in plain words why this host may or may not compute, and what to do",
    "doctor": "look for what may be amiss on this host, and say how to mend it",
    "check": "tell a job's prolog, by the exit status, whether the job may start",
    "on-wind-down": "run a command as the job's user when a lane winds down",
    "outbox": "show what leaves this host, in words and byte for byte",
    "roots": "compare what hosts keep of an authority's batches: whether it tells one history",
    "compact": "make this host's ledger as small as it can be; the gate stands still meanwhile",
    "license": "ask for, carry, install and give back permission for a host without a link",
    "retire": "take this host out of service, and tell its authorities",
    "declare": "say, from within a job, which workload it computes for",
    "join": "split a join token between gate and courier",
    "k8s-taint": "keep pods from a Kubernetes node while no job may start there",
}
"""Each command's help. The gate's process must never load the courier's modules."""


PROGRAM: Final = Commands(
    prog="flopgate-agent",
    package="flopgate_agent.commands",
    table=COMMANDS,
    description="The host side of flopgate. Begin with `flopgate-agent explain`; docs/operators.md "
    "goes from the first install to the last host that leaves.",
    epilog="Exit status: 0 done, 1 refused, unreachable or failed, 2 usage or configuration.",
    version=f"flopgate {VERSION}",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: see `run_program`."""
    return run_program(PROGRAM.prog, lambda: PROGRAM.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
