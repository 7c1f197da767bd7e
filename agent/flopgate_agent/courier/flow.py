"""Which reports go to one authority next: their order, their bounded queue, what to ask again for.

1. Reports leave in the order of their sequence. A gap is never sent: the rest is asked for again.
2. Nothing is kept: whatever is dropped here still stands in the gate's ledger.
3. One request to the gate at a time; it is repeated when ``resend_ms`` brought nothing.
4. Bytes count until they are written: queued and in flight together are what is bounded.
5. An authority that takes nothing for a while is asked nothing and sent nothing meanwhile, on a new
   stream neither; then the gate is asked for what was refused.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from flopgate_proto.codec.transport import parse_message
from flopgate_proto.errors import MalformedError
from flopgate_proto.limits import MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX, REPORTS_PER_MESSAGE_MAX
from flopgate_proto.v1 import flopgate_pb2 as pb

AGAIN_MS_MAX: Final = 32_000
"""Longest wait before the same place of the chain is asked for once more."""
HOLD_MS_MAX: Final = 600_000
"""Longest that an authority is believed to take nothing; it can say so again."""
_OVERHEAD_BYTES: Final = 6  # tag and length of an element of LinkUp.reports

UNACKNOWLEDGED: Final = 0
"""``Resend.from_sequence``: from what is unacknowledged on."""


class ReportFlow:
    """Reports on their way to one authority.

    Args:
        bytes_max: from here on nothing more should be read; one frame more may come.
        resend_ms: how long an asked-for report may take; doubles up to `AGAIN_MS_MAX` while an
            authority goes on expecting the same one.

    Attributes:
        held_ms: how long the authority told this host to wait so far, all told.
    """

    __slots__ = (
        "_again_ms", "_asked_until_ms", "_bytes", "_bytes_max", "_expected", "_held_until_ms",
        "_in_flight_bytes", "_lagging", "_next", "_progress", "_queue", "_resend_ms", "_wanted",
        "held_ms",
    )  # fmt: skip

    def __init__(self, bytes_max: int, resend_ms: int) -> None:
        self.held_ms = 0
        self._bytes_max = bytes_max
        self._resend_ms = resend_ms
        self._queue: deque[tuple[int, int, pb.SignedReport]] = deque()
        self._bytes = 0
        self._in_flight_bytes = 0
        self._next: int | None = None
        self._asked_until_ms = self._held_until_ms = 0
        self._expected, self._again_ms = UNACKNOWLEDGED, resend_ms
        self._wanted: int | None = None
        self._lagging = False
        self._progress = True

    @property
    def held_bytes(self) -> int:
        """Queued and in flight."""
        return self._bytes + self._in_flight_bytes

    @property
    def full(self) -> bool:
        """Whether reading from the gate should stop."""
        return self.held_bytes >= self._bytes_max

    @property
    def waiting(self) -> bool:
        """Whether something is queued."""
        return bool(self._queue)

    def start(self, now_ms: int) -> int | None:
        """A new stream is open: forget what was sent; the sequence to ask the gate for now."""
        self.clear()
        if now_ms < self._held_until_ms:
            self._wait(UNACKNOWLEDGED)
            return None
        return self._ask(UNACKNOWLEDGED, now_ms)

    def clear(self) -> None:
        """The stream is gone: what was queued or in flight is asked for again later."""
        self._queue.clear()
        self._bytes = self._in_flight_bytes = 0
        self._next = self._wanted = None
        self._lagging = False

    def put(self, report: pb.SignedReport, now_ms: int) -> int | None:
        """Take a report from the gate; a sequence to ask the gate for, if there is a gap.

        Raises:
            MalformedError: the payload is no report; ``clear`` and leave the gate.
        """
        sequence = sequence_of(report)
        if now_ms < self._held_until_ms:
            return None
        if self._next is not None and sequence > self._next:
            return self._ask_on(now_ms) if now_ms >= self._asked_until_ms else None
        # The gate went back: what is queued from there on comes once more, in order.
        while self._queue and self._queue[-1][0] >= sequence:
            self._bytes -= self._queue.pop()[1]
        size_bytes = report.ByteSize()
        self._queue.append((sequence, size_bytes, report))
        self._bytes += size_bytes
        self._next = sequence + 1
        self._progress = True
        self._lagging = False
        return None

    def expected(self, sequence: int, now_ms: int) -> int | None:
        """The authority says where its chain goes on; a sequence to ask the gate for now."""
        if sequence != self._expected:
            self._expected, self._again_ms = sequence, self._resend_ms
        if now_ms < self._asked_until_ms:
            self._wanted = sequence  # one request at a time: asked for when this one is over
            return None
        return self._ask(sequence, now_ms)

    def hold(self, sequence: int, wait_ms: int, now_ms: int) -> None:
        """The authority takes nothing for a while; then its chain goes on at ``sequence``."""
        self.clear()
        until_ms = now_ms + min(wait_ms, HOLD_MS_MAX)
        self.held_ms += max(0, until_ms - max(now_ms, self._held_until_ms))
        self._held_until_ms = until_ms
        self._wait(sequence)

    def seen(self, snapshot: pb.Snapshot, now_ms: int) -> int | None:
        """The gate says how far it is; a sequence to ask for, if its reports did not come."""
        behind = (
            snapshot.sequence > snapshot.acknowledged_sequence
            if self._next is None
            else snapshot.sequence >= self._next
        )
        # Twice in a row, so that a report right behind its snapshot is not asked for.
        was_lagging, self._lagging = self._lagging, behind
        if behind and was_lagging and now_ms >= self._asked_until_ms:
            return self._ask_on(now_ms)
        return None

    def get_timer(self) -> int | None:
        """When ``handle_timer`` has something to do."""
        return None if self._wanted is None else self._asked_until_ms

    def handle_timer(self, now_ms: int) -> int | None:
        """A sequence to ask for, if one had to wait."""
        if self._wanted is None or now_ms < self._asked_until_ms:
            return None
        return self._ask(self._wanted, now_ms)

    def take(self) -> list[pb.SignedReport]:
        """Reports for one message, now in flight; empty while the last ones are not written."""
        reports: list[pb.SignedReport] = []
        if self._in_flight_bytes:
            return reports
        while self._queue and len(reports) < REPORTS_PER_MESSAGE_MAX:
            # One report alone always fits: it came in a frame with the same overhead.
            size_bytes = self._queue[0][1] + _OVERHEAD_BYTES
            if reports and self._in_flight_bytes + size_bytes > MESSAGE_BYTES_MAX:
                break
            reports.append(self._queue.popleft()[2])
            self._bytes -= size_bytes - _OVERHEAD_BYTES
            self._in_flight_bytes += size_bytes
        return reports

    def written(self) -> None:
        """What ``take`` gave is with the transport."""
        self._in_flight_bytes = 0

    def _wait(self, sequence: int) -> None:
        # As long as one request is due nothing else is asked for.
        self._wanted = sequence
        self._asked_until_ms = self._held_until_ms

    def _ask_on(self, now_ms: int) -> int:
        # Where asking for the next one brought nothing the gate no longer has it.
        return self._ask(self._next if self._next and self._progress else UNACKNOWLEDGED, now_ms)

    def _ask(self, sequence: int, now_ms: int) -> int:
        self._next = sequence or None
        self._wanted = None
        self._progress = False
        self._lagging = False
        self._asked_until_ms = now_ms + self._resend_ms
        if sequence and sequence == self._expected:
            self._asked_until_ms = now_ms + self._again_ms
            self._again_ms = min(2 * self._again_ms, AGAIN_MS_MAX)
        return sequence


def sequence_of(report: pb.SignedReport) -> int:
    """Sequence in the payload, unverified: good for keeping order, for nothing else.

    Raises:
        MalformedError: the payload is no report.
    """
    sequence = parse_message(pb.Report(), report.envelope.payload, PAYLOAD_BYTES_MAX).sequence
    if sequence == 0:
        raise MalformedError(
            "the gate gave an envelope that holds no report",
            code="door.report.malformed",
            remedy="Install gate and courier of the same version.",
        )
    return sequence
