"""A door between a gate and its courier that sees all that goes through."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.door import FrameDecoder, parse_from_gate, parse_to_gate
from flopgate_proto.codec import decode_report, envelope_from_wire
from flopgate_proto.envelope import Envelope
from flopgate_proto.errors import FlopgateError
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import LaneState, Report

CHUNK_BYTES: Final = 65_536
LOOK_S: Final = 5.0
"""For a gate to say how its lanes stand; whoever asks asks again."""


def state_of(snapshot: pb.Snapshot, workload: str) -> LaneState | None:
    """Of a lane, as a gate tells."""
    for lane in snapshot.lanes:
        if lane.workload == workload:
            return LaneState(lane.state)
    return None


def state_at(door: Path, workload: str) -> LaneState | None:
    """Of a lane, as a gate says at its door; `None` where it does not."""
    decoder = FrameDecoder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, suppress(OSError):
        sock.settimeout(LOOK_S)
        sock.connect(str(door))
        while data := sock.recv(CHUNK_BYTES):
            for frame in decoder.feed(data):
                message = parse_from_gate(frame)
                if message.HasField("snapshot"):
                    return state_of(message.snapshot, workload)
    return None


class Tap:
    """Listens where couriers look for the gate.

    Args:
        path: of its socket.
        door: of the gate's, which may come and go.

    Attributes:
        reports: all that left the gate, by sequence.
        answers: what the gate was told of each report, by sequence.
        snapshot: of the gate that stands now, its last.
        granted_ms: when permission came last, on the gate's clock.
        wrong: what may never be: two reports of one sequence, two answers to one report, what
            nobody can read.
    """

    def __init__(self, path: Path, door: Path) -> None:
        self.reports: dict[int, Envelope] = {}
        self.answers: dict[int, bytes] = {}
        self.snapshot = pb.Snapshot()
        self.granted_ms = 0
        self.wrong: list[str] = []
        self._door = door
        self._gates = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads: list[threading.Thread] = []
        self._begin(self._serve)

    def chain(self) -> list[Report]:
        """What left, in the order of its sequence."""
        reports = dict(self.reports)
        return [decode_report(reports[sequence].payload) for sequence in sorted(reports)]

    def forget_lanes(self) -> None:
        """The gate is gone: what is waited for is said by the next one.

        Its last words may be on their way still, and count for nothing that is waited for.
        """
        self._gates += 1
        self.snapshot = pb.Snapshot(host_id=self.snapshot.host_id)

    def close(self) -> None:
        """Nobody is served any more."""
        for sock in (self._listener, *list(self._open)):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in (self._listener, *self._open):
            sock.close()

    def _begin(self, work: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=work, args=given)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                courier, _ = self._listener.accept()
                gate = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    gate.connect(str(self._door))
                except OSError:
                    courier.close()
                    gate.close()
                    continue
                self._open |= {courier, gate}
                self._begin(self._carry, gate, courier, partial(self._from_gate, self._gates))
                self._begin(self._carry, courier, gate, self._to_gate)

    def _carry(
        self, source: socket.socket, sink: socket.socket, look: Callable[[bytes], None]
    ) -> None:
        decoder = FrameDecoder()
        try:
            while data := source.recv(CHUNK_BYTES):
                # Seen before it goes on: nothing is taken that was not seen.
                for frame in decoder.feed(data):
                    look(frame)
                sink.sendall(data)
        except OSError:
            pass
        except FlopgateError as error:
            self.wrong.append(f"what goes through the door cannot be read: {error}")
        for sock in (source, sink):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _from_gate(self, gate: int, frame: bytes) -> None:
        message = parse_from_gate(frame)
        match message.WhichOneof("message"):
            case "snapshot" if gate == self._gates:
                self.snapshot = message.snapshot
            case "report":
                envelope = envelope_from_wire(message.report.envelope)
                sequence = decode_report(envelope.payload).sequence
                if self.reports.setdefault(sequence, envelope).digest != envelope.digest:
                    self.wrong.append(f"two reports {sequence} left the gate (law 4)")
            case _:
                pass

    def _to_gate(self, frame: bytes) -> None:
        message = parse_to_gate(frame)
        for leaf in message.answers.answers:
            answer = pb.Answer.FromString(leaf.payload)
            sequence = answer.acknowledged_sequence
            if self.answers.setdefault(sequence, leaf.payload) != leaf.payload:
                self.wrong.append(f"report {sequence} has two answers (law 9)")
            if any(verdict.HasField("ceiling") for verdict in answer.verdicts):
                self.granted_ms = elapsed_ms()
