"""What the scenes of `make crash` go by: the tap between gate and courier, and words of errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flopgate_agent.door import encode_frame
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState
from tests.support.crash.figures import CrashError, check_told
from tests.support.crash.tap import Tap, state_of
from tests.support.waiting import until

LANE = "run-7"
HALTED = pb.LaneSnapshot(workload=LANE, state=pb.LANE_STATE_HALTED)
RUNS = pb.LaneSnapshot(workload=LANE, state=pb.LANE_STATE_RUNNING)


def says(lane: pb.LaneSnapshot) -> bytes:
    return encode_frame(pb.FromGate(snapshot=pb.Snapshot(host_id=b"h", lanes=[lane])))


@contextmanager
def tapped(folder: Path) -> Iterator[tuple[Tap, socket.socket]]:
    """A tap, and the listening door of a gate."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(folder / "door"))
        door.listen()
        tap = Tap(folder / "tap", folder / "door")
        try:
            yield tap, door
        finally:
            tap.close()


@contextmanager
def met(folder: Path, door: socket.socket) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A gate and its courier, each with the tap before it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as courier:
        courier.connect(str(folder / "tap"))
        gate, _ = door.accept()
        with gate:
            yield gate, courier


def test_a_tap_takes_no_word_of_a_gate_that_is_gone(tmp_path: Path) -> None:
    with tapped(tmp_path) as (tap, door):
        with met(tmp_path, door) as (gate, courier):
            gate.sendall(says(HALTED))
            until(lambda: state_of(tap.snapshot, LANE) is LaneState.HALTED, "the gate's word")
            tap.forget_lanes()
            late = says(HALTED)
            gate.sendall(late)
            # Seen before it goes on.
            assert courier.recv(2 * len(late), socket.MSG_WAITALL) == 2 * late
            assert state_of(tap.snapshot, LANE) is None
        with met(tmp_path, door) as (gate, _):
            gate.sendall(says(RUNS))
            until(lambda: state_of(tap.snapshot, LANE) is LaneState.RUNNING, "the next one's word")


def test_a_tap_tells_what_it_cannot_read(tmp_path: Path) -> None:
    with tapped(tmp_path) as (tap, door), met(tmp_path, door) as (gate, _):
        gate.sendall(bytes(3) + b"\x01\xff")
        until(lambda: tap.wrong, "the tap to tell it")
        assert "cannot be read" in tap.wrong[0]


def test_an_error_is_told_by_more_than_lines_of_all_days() -> None:
    up = '{"time": "t", "level": "info", "message": "gate is up"}\n'
    check_told(up + '{"level": "error", "message": "no room"}\n', "the gate")
    check_told(up + "flopgate: ledger.failed\n", "the gate")
    with pytest.raises(CrashError, match="says nothing"):
        check_told(up, "the gate")
    with pytest.raises(CrashError, match="does not know"):
        check_told("Traceback (most recent call last)", "the gate")
