"""``flopgate-agent status``: what the gate on this host says of itself, at its door."""

from __future__ import annotations

import argparse
import socket
import sys
from pathlib import Path
from typing import Final

from google.protobuf.json_format import MessageToJson

from flopgate_agent.config import load_gate
from flopgate_agent.door import FrameDecoder, parse_from_gate
from flopgate_proto.errors import EnvironmentFault
from flopgate_proto.v1 import flopgate_pb2 as pb

ANSWER_S: Final = 10.0
"""A gate shows itself every second."""
_READ_BYTES: Final = 65_536


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="gate.toml, for its door_path"
    )
    parser.add_argument(
        "--json", action="store_true", help="for programs: protobuf JSON, bytes in base64"
    )


def run(arguments: argparse.Namespace) -> int:
    """Wait for one snapshot and print it."""
    snapshot = _read(load_gate(arguments.config).door_path)
    if arguments.json:
        text = MessageToJson(snapshot, preserving_proto_field_name=True)
    else:
        text = "\n".join(_lines(snapshot))
    sys.stdout.write(f"{text}\n")
    return 0


def _read(door: Path) -> pb.Snapshot:
    decoder = FrameDecoder()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.settimeout(ANSWER_S)
            sock.connect(str(door))
            while data := sock.recv(_READ_BYTES):
                for frame in decoder.feed(data):
                    message = parse_from_gate(frame)
                    if message.HasField("snapshot"):
                        return message.snapshot
    except OSError as error:
        raise EnvironmentFault(
            f"no gate answers at {door}: {error.strerror or error}",
            code="status.gate",
            remedy="Check that the gate runs, and has found its GPUs, in its log.",
        ) from error
    raise EnvironmentFault(
        f"the gate closed its door {door}",
        code="status.closed",
        remedy="Run this as a user listed in courier_uids of gate.toml, or see the gate's log.",
    )


def _lines(snapshot: pb.Snapshot) -> list[str]:
    lines = [
        f"host {snapshot.host_id.hex()}  {snapshot.host_state}",
        f"reports {snapshot.sequence}  acknowledged {snapshot.acknowledged_sequence}",
    ]
    enrolled = snapshot.host_state == "enrolled"
    if not enrolled:
        lines.append("nothing is stopped before an authority admits this host: join one; if it was")
        lines.append("joined, the courier's log says what is amiss")
    elif snapshot.phase:
        phase = pb.Phase.Name(snapshot.phase).removeprefix("PHASE_").lower()
        lines.append(f"phase {phase}  {snapshot.phase_reason}")
    for lane in snapshot.lanes:
        # Before enrolment a lane's state is where it starts from, not what is done to its jobs.
        name = pb.LaneState.Name(lane.state).removeprefix("LANE_STATE_").lower()
        state = name if enrolled else "watched"
        left = f"{lane.left_ms // 1000} s and {lane.left_tflop} TFLOP left" if lane.left_ms else ""
        said = lane.stop_reason or left
        if lane.HasField("would_stop"):
            said = f"would be stopped: {said}"
        lines.append(f"lane {lane.workload}  {state}  {said}".rstrip())
        if lane.HasField("would_stop"):
            lines.append(f"  {_would(lane.would_stop, snapshot.elapsed_ms)}")
        if lane.way_back:
            lines.append(f"  way back: {lane.way_back}")
        lines.append(
            f"  TFLOP: reported {lane.total.nominal_tflop} "
            f"(low {lane.total.low_tflop}, high {lane.total.high_tflop})  "
            f"allotted {lane.allotted_tflop}  unaccounted {lane.unaccounted_tflop}"
        )
    return lines


def _would(would: pb.WouldStop, now_ms: int) -> str:
    """Since when, by whom, and when its processes would have been frozen."""
    by = f"  by {would.authority}" if would.authority else ""
    order = f"  order {would.order_digest.hex()}" if would.order_digest else ""
    left_s = (would.freeze_at_ms - now_ms) // 1000
    frozen = f"frozen in {left_s} s" if left_s > 0 else f"frozen {-left_s} s ago"
    return f"since {(now_ms - would.since_ms) // 1000} s{by}{order}  {frozen}, were it enforced"
