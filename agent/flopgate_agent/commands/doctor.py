"""``flopgate-agent doctor``: what may be amiss on this host, each with its mend."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flopgate_agent.doctor.examining import examine, tell


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the configuration of both parts lies."""
    for name in ("gate", "courier"):
        parser.add_argument(
            f"--{name}-config",
            type=Path,
            default=Path(f"/etc/flopgate/{name}.toml"),
            metavar="FILE",
            help=f"configuration of the {name} (/etc/flopgate/{name}.toml)",
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_config_arguments(parser)
    parser.add_argument("--json", action="store_true", help="for programs, a line each")


def run(arguments: argparse.Namespace) -> int:
    """0 if nothing must be mended."""
    found = examine(arguments.gate_config, arguments.courier_config)
    amiss = tell(found, as_json=arguments.json)
    if amiss:
        sys.stderr.write("flopgate-agent: something must be mended\n")
    return int(amiss)
