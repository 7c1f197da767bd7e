"""``flopgate-agent explain``: why this host may or may not compute, in plain words."""

from __future__ import annotations

import argparse
import sys
from textwrap import fill

from flopgate_agent.host_status import (
    Status,
    add_file_argument,
    is_ruled,
    lanes_of,
    read_status,
)
from flopgate_proto.amounts import flop_text, span_text

_STANDS = {
    "halted": "stands still: its chips were seen to compute nothing",
    "frozen": "is being stopped: its processes are held, its chips are watched until they stand",
    "winding_down": "is about to be stopped: it may still write a checkpoint",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    add_file_argument(parser)
    parser.add_argument("--workload", metavar="NAME", help="only the lane of this workload")


def run(arguments: argparse.Namespace) -> int:
    """Tell it of every lane."""
    status = read_status(arguments.file)
    told = [_of_lane(lane, status) for lane in lanes_of(status, arguments.workload)]
    sys.stdout.write("\n\n".join(told) + "\n")
    return 0


def _of_lane(lane: Status, status: Status) -> str:
    if not is_ruled(status):
        return _tell(
            f"Workload {lane['workload']} may compute: {lane['stop_detail']}. Nothing is stopped "
            "here.",
            what_to_do=lane["way_back"],
        )
    if lane["would_stop"]:
        return _tell(
            f"Workload {lane['workload']} computes without permission, and is let: the phase is "
            f"{status['phase']} ({status['phase_reason']}). Were it enforced, it would be stopped.",
            why=_why(lane),
            by=_by(lane),
            what_to_do=lane["way_back"],
        )
    if lane["stop_reason"]:
        return _tell(
            f"Workload {lane['workload']} {_STANDS.get(lane['state'], 'may not compute')}.",
            why=_why(lane),
            by=_by(lane),
            what_to_do=lane["way_back"],
        )
    if lane["state"] not in {"running", "exempt"}:
        return _tell(f"Workload {lane['workload']} is {lane['state']}: it was just permitted.")
    exempt = (
        " Its cluster is below the threshold: it is metered, and needs no budget of its own."
        if lane["state"] == "exempt"
        else ""
    )
    if lane["licensed"]:
        return _tell(
            f"Workload {lane['workload']} runs on a "
            f"{'reserve license that was opened' if lane['on_reserve'] else 'license'}.{exempt}",
            until=(
                f"{span_text(lane['left_ms'], 's')} of running time from now, by the license of "
                f"{lane['until_by']}; or {flop_text(lane['left_tflop'])} from now, by that of "
                f"{lane['ceiling_by']}."
            ),
            what_to_do="before it ends, ask for the next one: `flopgate-agent license request`.",
        )
    opening = "" if lane["may_start"] else " Its chips are being opened for new jobs."
    return _tell(
        f"Workload {lane['workload']} may compute.{exempt}{opening}",
        until=(
            f"{span_text(lane['left_ms'], 's')} from now, by the permit of {lane['until_by']}; or "
            f"{flop_text(lane['left_tflop'])} from now, by the ceiling of {lane['ceiling_by']}. "
            "Both are renewed by themselves while the courier reaches the authority and the budget "
            "lasts."
        ),
    )


def _why(lane: Status) -> str:
    return f"{lane['stop_detail']} ({lane['stop_reason']})."


def _by(lane: Status) -> str:
    order = f", order {lane['stop_order_digest']}" if lane["stop_order_digest"] else ""
    return f"{lane['stop_authority']}{order}." if lane["stop_authority"] else "this host itself."


def _tell(first: str, **rest: str) -> str:
    """A sentence, and labelled ones under it; empty ones are left out."""
    lines = [fill(first, 88)]
    for name, text in rest.items():
        if text:
            label = f"  {name.replace('_', ' ')}: "
            lines.append(fill(label + text, 88, subsequent_indent=" " * len(label)))
    return "\n".join(lines)
