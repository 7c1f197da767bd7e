"""``flopgate-agent gate``: the gate's process."""

from __future__ import annotations

import argparse
from pathlib import Path

from flopgate_agent.gate_process import process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="FILE",
        help="gate.toml, as docs/configuration.md describes it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the gate until it is told to stop."""
    config: Path = arguments.config
    return process.run(config)
