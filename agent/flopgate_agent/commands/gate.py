"""``flopgate-agent gate``: the gate's process."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="gate.toml")


def run(arguments: argparse.Namespace) -> int:
    """Run the gate until it is told to stop."""
    status: int = importlib.import_module("flopgate_agent.gate_process").run(arguments.config)
    return status
