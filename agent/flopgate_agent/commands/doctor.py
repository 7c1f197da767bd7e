"""``flopgate-agent doctor``: what may be amiss on this host, each with its mend."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flopgate_agent.config import load_courier, load_gate
from flopgate_agent.doctor import driver, on_host, reach
from flopgate_agent.doctor.verdict import State, Verdict, Verdicts, good, note, told
from flopgate_agent.gate_process.status_file import status_path
from flopgate_agent.host_status import read_status
from flopgate_proto.errors import EnvironmentFault

_MARKS: Final = {State.GOOD: "ok  ", State.NOTE: "note", State.MEND: "MEND"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    for name in ("gate", "courier"):
        parser.add_argument(
            f"--{name}-config",
            type=Path,
            default=Path(f"/etc/flopgate/{name}.toml"),
            metavar="FILE",
            help=f"configuration of the {name} (/etc/flopgate/{name}.toml)",
        )
    parser.add_argument("--json", action="store_true", help="for programs, a line each")


def run(arguments: argparse.Namespace) -> int:
    """0 if nothing must be mended."""
    worst = State.GOOD
    for one in examine(arguments.gate_config, arguments.courier_config):
        worst = State.MEND if State.MEND in {worst, one.state} else worst
        if arguments.json:
            fields = {"subject": one.subject, "state": one.state.value, "found": one.found}
            text = json.dumps(fields | {"mend": one.mend})
        else:
            text = f"{_MARKS[one.state]}  {one.subject}: {one.found}"
            text += f"\n      {one.mend}" if one.mend else ""
        # One by one: a driver that hangs takes half a minute.
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    if worst is State.MEND:
        sys.stderr.write("flopgate-agent: something must be mended\n")
    return int(worst is State.MEND)


def examine(gate_config: Path, courier_config: Path) -> Iterator[Verdict]:
    """Everything, in the order in which it would be mended."""
    yield from told("clock", on_host.clock)
    yield from told("tpm", on_host.tpm)
    yield from told("gate.toml", lambda: _of_gate(gate_config))
    yield from told("courier.toml", lambda: _of_courier(courier_config))


def _of_gate(path: Path) -> Verdicts:
    config = load_gate(path)
    yield from told("rights", lambda: on_host.rights(config))
    yield from told("state_dir", lambda: on_host.disk(config))
    yield from told("driver", lambda: driver.driver(config, os.environ))
    yield from told("trust", lambda: reach.trust(config))
    try:
        status = read_status(str(status_path(config.door_path)))
    except EnvironmentFault as error:
        yield note("gate", error.detail, error.remedy)
    else:
        yield good("gate", f"it runs, {status['host_state']}; see `flopgate-agent explain`")


def _of_courier(path: Path) -> Verdicts:
    config = load_courier(path)
    yield from told("network", lambda: reach.authorities(config))
