"""``flopgate-agent lockdown``: the process that stops what a gate left that does not come back."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_agent.lockdown import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--lease",
        type=Path,
        required=True,
        metavar="FILE",
        help="the gate's lease: its door_path with the suffix .lease",
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch until it is told to stop."""
    lease: Path = arguments.lease
    return process.run(lease)
