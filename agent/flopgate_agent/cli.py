"""The command line ``flopgate-agent``: one module a command, loaded only when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from flopgate_proto.command_line import run_program
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
    "compact": "make this host's ledger as small as it can be; the gate stands still meanwhile",
    "license": "ask for, carry, install and give back permission for a host without a link",
    "retire": "take this host out of service, and tell its authorities",
    "declare": "say, from within a job, which workload it computes for",
    "join": "split a join token between gate and courier",
    "k8s-taint": "keep pods from a Kubernetes node while no job may start there",
}
"""Each command's help; its module is ``flopgate_agent.commands.NAME``, ``_`` for ``-``, with
``add_arguments`` and ``run``. The gate's process must never load the courier's modules."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: see `run_program`."""
    return run_program("flopgate-agent", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    first = _parser().parse_args(arguments)
    command: str = first.command
    module = importlib.import_module(f"flopgate_agent.commands.{command.replace('-', '_')}")
    parser = argparse.ArgumentParser(
        prog=f"flopgate-agent {command}", description=COMMANDS[command]
    )
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(first.arguments))
    return status


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<14}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="flopgate-agent",
        description="The host side of flopgate.",
        epilog=f"commands:\n{listed}\n\n`flopgate-agent COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flopgate {VERSION}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    rest = parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    rest.required = False  # else the complaint about a missing COMMAND names it, too
    return parser


if __name__ == "__main__":
    sys.exit(main())
