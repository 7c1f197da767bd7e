"""``flopgate-agent retire``: takes this host out of service, in the eyes of its authorities."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.commands.gate_config import add_gate_config
from flopgate_agent.config import load_gate
from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_agent.local_door import ask_gate
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb

WAIT_S: Final = 600
_POLL_S: Final = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_gate_config(parser)
    parser.add_argument(
        "--wait",
        type=int,
        default=WAIT_S,
        metavar="SECONDS",
        help=f"how long to wait for its authorities ({WAIT_S}); it goes on without this command",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the gate, then wait until every authority has acknowledged it.

    Raises:
        EnvironmentFault: the gate refuses, was started again meanwhile, or waits still.
    """
    config = load_gate(arguments.config)
    question = pb.ToGate(retire=pb.Retire())
    ask_gate(config.door_path, question, if_silent="Start the gate, or name its own gate.toml.")
    path, asked_ms = str(status_path(config.door_path)), elapsed_ms()
    end_s, told = time.monotonic() + arguments.wait, ""
    while time.monotonic() < end_s:
        status = read_status(path)
        states = {lane["state"] for lane in status["lanes"]}
        now = "its lanes come to a stand" if states - {"halted"} else "its authorities are told"
        if status["host_state"] == "retired":
            sys.stdout.write("retired: stop its services; nothing is metered or stopped any more\n")
            return 0
        if status["host_state"] != "retiring" and int(status["written_ms"]) > asked_ms:
            raise EnvironmentFault(
                "the gate was started again before its last report, which calls it off",
                code="retire.called-off",
                remedy="Run `flopgate-agent retire` again.",
            )
        if status["host_state"] == "retiring" and now != told:
            told = now
            sys.stdout.write(f"retiring: {now}\n")
            sys.stdout.flush()
        time.sleep(_POLL_S)
    raise EnvironmentFault(
        f"not acknowledged after {arguments.wait} s",
        code="retire.waiting",
        remedy="Leave gate and courier running; `flopgate-agent explain` says what is awaited.",
    )
