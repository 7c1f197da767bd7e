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
    parser.add_argument(
        "--boot-lease",
        type=Path,
        required=True,
        metavar="FILE",
        help="boot.lease in the gate's state_dir: denied after a boot until a gate is there",
    )


def run(arguments: argparse.Namespace) -> int:
    """Watch until it is told to stop."""
    lease: Path = arguments.lease
    boot_lease: Path = arguments.boot_lease
    return process.run(lease, boot_lease)
