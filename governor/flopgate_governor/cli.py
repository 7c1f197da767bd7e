"""``flopgate-governor``: argument parsing, and a table of subcommands.

Exit codes: 0 done, 1 refused or unreachable, 2 usage or configuration. A command whose answer has
further ones returns its own.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

import structlog

from flopgate_governor.commands import (
    budget,
    certificate,
    clock,
    cluster,
    delegate,
    heads,
    host,
    init,
    order,
    pause,
    policy,
    reconcile,
    resume,
    serve,
    status,
    token,
    workload,
)
from flopgate_governor.commands import license as license_
from flopgate_proto.command_line import run_program
from flopgate_proto.version import VERSION

COMMANDS: Final[dict[str, ModuleType]] = {
    "init": init,
    "serve": serve,
    "token": token,
    "pause": pause,
    "resume": resume,
    "order": order,
    "heads": heads,
    "policy": policy,
    "budget": budget,
    "workload": workload,
    "host": host,
    "license": license_,
    "delegate": delegate,
    "reconcile": reconcile,
    "status": status,
    "cluster": cluster,
    "certificate": certificate,
    "clock": clock,
}
"""Subcommand to module; each has ``add_arguments(parser)`` and ``run(arguments)``, which returns an
exit status or nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit status: see `run_program`."""
    return run_program("flopgate-governor", lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="flopgate-governor",
        description="The oversight side of flopgate: what officers look at, decide and sign. "
        "Begin with `flopgate-governor status --dir DIR`; docs/governor.md is an officer's day.",
        epilog="`flopgate-governor COMMAND --help` says more. "
        "Exit status: 0 done, 1 refused or unreachable, 2 usage or configuration.",
    )
    parser.add_argument("--version", action="version", version=f"flopgate {VERSION}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        module.add_arguments(subcommands.add_parser(name, help=summary, description=summary))
    parsed = parser.parse_args(arguments)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    return int(COMMANDS[parsed.command].run(parsed) or 0)


if __name__ == "__main__":
    sys.exit(main())
