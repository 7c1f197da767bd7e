"""``flopgate-agent gate``: the gate's process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Before anything imports hashlib, which then takes Python's own SHA-256: OpenSSL is in this process
# already, inside `cryptography`, and a second one costs 3.6 MB.
sys.modules.setdefault("_hashlib", None)  # type: ignore[arg-type]

from flopgate_agent.gate_process import process  # noqa: E402


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
