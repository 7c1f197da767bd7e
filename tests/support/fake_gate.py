"""A gate's two doors with a ledger in memory, on the real ``GateDoor``, in a thread of the test."""

from __future__ import annotations

import os
import selectors
import threading
import time
from pathlib import Path

from flopgate_agent.gate_process.gate_door import GateDoor
from flopgate_proto.v1 import flopgate_pb2 as pb

HOST_ID = bytes(range(32))


def signed_report(sequence: int, padding_bytes: int = 0) -> pb.SignedReport:
    """A report that nobody verifies; ``padding_bytes`` make it large."""
    report = pb.Report(host_id=HOST_ID, sequence=sequence, chip_root=bytes(padding_bytes))
    envelope = pb.Envelope(payload=report.SerializeToString(), payload_type="test")
    return pb.SignedReport(envelope=envelope)


class FakeGate:
    """Answers couriers as a gate does; what it got is there to look at.

    Everything public is safe from the test's thread.
    """

    def __init__(self, path: Path, *, host_id: bytes = HOST_ID, snapshot_s: float = 0.05) -> None:
        self.reports: list[pb.SignedReport] = []
        self.hellos: list[pb.CourierHello] = []
        self.resends: list[int] = []
        self.admissions: list[pb.EnrollReply] = []
        self.orders: list[pb.SignedOrder] = []
        self.acknowledged: dict[str, int] = {}
        self.dropped = 0
        self.mute = False
        """No snapshots while set."""
        self._host_id = host_id
        self._snapshot_s = snapshot_s
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._door = GateDoor(path, {os.getuid()}, clients_max=4)
        self._door.register(self._selector)
        self._known: dict[int, str | None] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def measure(self, count: int = 1, padding_bytes: int = 0) -> None:
        """Write reports into the ledger and offer them to everybody."""
        with self._lock:
            for _ in range(count):
                report = signed_report(len(self.reports) + 1, padding_bytes)
                self.reports.append(report)
                reached = self._door.broadcast(pb.FromGate(report=report))
                self.dropped += len(self._door.clients) - reached

    def snapshot(self) -> pb.Snapshot:
        """What couriers are told."""
        last = min(self.acknowledged.values(), default=0)
        return pb.Snapshot(
            host_id=self._host_id, sequence=len(self.reports), acknowledged_sequence=last
        )

    def say(self, message: pb.FromGate) -> None:
        """Send something by hand."""
        with self._lock:
            self._door.broadcast(message)

    def close(self) -> None:
        """Shut the door."""
        self._stop.set()
        self._thread.join()
        self._door.close()
        self._selector.close()

    def _serve(self) -> None:
        snapshot_at = 0.0
        while not self._stop.is_set():
            ready = self._selector.select(0.02)
            with self._lock:
                for key, _ in ready:
                    for client_id, message in self._door.on_ready(key):
                        self._take(client_id, message)
                now = time.monotonic()
                if now >= snapshot_at and not self.mute:
                    self._door.broadcast(pb.FromGate(snapshot=self.snapshot()))
                    snapshot_at = now + self._snapshot_s

    def _take(self, client_id: int, message: pb.ToGate) -> None:
        match message.WhichOneof("message"):
            case "hello":
                self.hellos.append(message.hello)
                self._enrol(client_id, message.hello)
            case "resend":
                self._resend(client_id, message.resend)
            case "admission":
                self.admissions.append(message.admission)
            case "order":
                self.orders.append(message.order)
            case "answers":
                for leaf in message.answers.answers:
                    answer = pb.Answer.FromString(leaf.payload)
                    self.acknowledged[answer.authority] = answer.acknowledged_sequence

    def _enrol(self, client_id: int, hello: pb.CourierHello) -> None:
        enrolment = pb.Enrolment(authority=hello.authority, courier_spki=hello.courier_spki)
        envelope = pb.Envelope(payload=enrolment.SerializeToString(), payload_type="test")
        self._door.send(client_id, pb.FromGate(enrolment=pb.Enrollable(enrolment=envelope)))

    def _resend(self, client_id: int, resend: pb.Resend) -> None:
        self.resends.append(resend.from_sequence)
        acknowledged = self.acknowledged.get(resend.authority, 0)
        first = resend.from_sequence or acknowledged + 1
        for report in self.reports[first - 1 :]:
            # What the buffer does not take is asked for again.
            if not self._door.send(client_id, pb.FromGate(report=report)):
                self.dropped += 1
                return
