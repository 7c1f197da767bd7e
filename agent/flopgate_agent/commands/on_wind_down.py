"""``flopgate-agent on-wind-down``: runs a command as the job's user when its lane winds down."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_agent.logs import log_json
from flopgate_agent.winding_down import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.usage = "%(prog)s [-h] --socket PATH PROGRAM ..."
    parser.add_argument(
        "--socket",
        type=Path,
        required=True,
        metavar="PATH",
        help="notice_socket of gate.toml; is made here",
    )
    parser.add_argument("program", metavar="PROGRAM", help="what is run, and its arguments")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> int:
    """Serve until it is told to stop."""
    log_json()
    path: Path = arguments.socket
    return process.run(path, [arguments.program, *arguments.arguments])
