"""The option of commands that ask or read one gate: its configuration."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

GATE_CONFIG: Final = Path("/etc/flopgate/gate.toml")


def add_gate_config(parser: argparse.ArgumentParser) -> None:
    """Where ``gate.toml`` lies."""
    parser.add_argument(
        "--config",
        type=Path,
        default=GATE_CONFIG,
        metavar="FILE",
        help=f"the gate's configuration ({GATE_CONFIG})",
    )
