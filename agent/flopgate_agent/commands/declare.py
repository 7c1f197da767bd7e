"""``flopgate-agent declare``: a job says which workload it computes for."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from flopgate_agent.gate_process.declaring import door_path
from flopgate_agent.local_door import ask_gate
from flopgate_proto.v1 import flopgate_pb2 as pb

IF_SILENT: Final = (
    "Jobs may declare where gate.toml has the key declarable and its gate runs; --door names its "
    "door_path."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("workload", metavar="WORKLOAD", help="as gate.toml lists it in declarable")
    parser.add_argument(
        "--door",
        type=Path,
        default=Path("/run/flopgate/gate.sock"),
        metavar="FILE",
        help="door_path of gate.toml (/run/flopgate/gate.sock)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Declare it for the chips that processes of this job's cgroup hold."""
    question = pb.ToGate(declare=pb.Declare(workload=arguments.workload))
    ask_gate(door_path(arguments.door), question, if_silent=IF_SILENT)
    sys.stdout.write(f"declared: {arguments.workload}; the job goes on once that is permitted\n")
    return 0
