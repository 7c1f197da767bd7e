"""The option of commands that ask or read one gate: its configuration."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_gate_config(parser: argparse.ArgumentParser) -> None:
    """Where ``gate.toml`` lies."""
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/flopgate/gate.toml"),
        metavar="FILE",
        help="the gate's configuration (/etc/flopgate/gate.toml)",
    )
