"""``flopgate-agent compact``: the ledger without what every authority has, on a host at rest."""

from __future__ import annotations

import argparse
import sys

from flopgate_agent.commands.gate_config import add_gate_config
from flopgate_agent.config import load_gate
from flopgate_agent.ledger import Ledger
from flopgate_agent.outbox.ledger_copy import NAME
from flopgate_proto.errors import StorageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_gate_config(parser)
    parser.add_argument(
        "--keep",
        type=int,
        default=0,
        metavar="COUNT",
        help="so many acknowledged reports stay for `outbox`, the newest (0)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it, and say what came of it."""
    config = load_gate(arguments.config)
    path = config.state_dir / NAME
    if not path.exists():
        raise StorageError(
            f"no ledger at {path}",
            code="compact.none",
            remedy="Name the gate's own gate.toml; a gate that never started has none.",
        )
    before = path.stat().st_size
    ledger = Ledger(path, config.ledger_bytes_max)
    try:
        ledger.compact(max(0, arguments.keep))
        memory = ledger.load()
    finally:
        ledger.close()
    newest = 0 if memory.last is None else memory.last.report.sequence
    kept = f"reports {memory.oldest_sequence} to {newest} are kept" if newest else "no reports"
    sys.stdout.write(f"{path}: {before} bytes before, {path.stat().st_size} now; {kept}\n")
    return 0
