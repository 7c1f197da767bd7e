"""A ledger whose age the TPM knows: a report is kept, the counter stepped, and then it leaves.

So with licenses: what is reserved is kept, the other counter stepped, and then it runs (law 5).
"""

from __future__ import annotations

from typing import Protocol

from flopgate_agent.gate.actions import Keep, KeepLicenses, KeepReport
from flopgate_agent.gate.memory import Memory
from flopgate_agent.tpm.rollback import Base, Judged, Seen, judge, judge_spent
from flopgate_agent.tpm.watch import RATE
from flopgate_proto.v1 import flopgate_pb2 as pb
from flopgate_proto.values import Finding, TpmState


class Keeper(Protocol):
    """A ledger."""

    def keep(self, action: Keep) -> None:
        """Make one thing durable."""

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        """Reports as they leave."""


class Counting(Protocol):
    """A TPM. Every method raises ``TpmError`` where it does not answer."""

    def seen(self) -> Seen:
        """What it says at the start."""

    def state(self, counter: int) -> TpmState:
        """What a report says of it that has this value of the counter."""

    def reach(self, counter: int) -> None:
        """Have the counter stand there by one step."""

    def spent(self) -> int:
        """Where the counter of reservations stands; made where there is none."""

    def spend(self, counter: int) -> None:
        """Have that one stand there by one step."""


class AnchoredLedger:
    """Keeps in ``ledger``, and steps the counter for each report.

    Attributes:
        findings: what the authorities should know of the start.
        off_ms: so much time passed since the last report, at least, by the TPM's clock.

    Raises:
        TpmError: the ledger is not the newest that this TPM knows.
    """

    def __init__(self, ledger: Keeper, tpm: Counting, base: Base, memory: Memory) -> None:
        last = None if memory.last is None else memory.last.report.tpm
        seen = tpm.seen()
        judged: Judged = judge(last, base, seen, reports=memory.last is not None)
        self._ledger = ledger
        self._tpm = tpm
        self._counter = judged.counter
        self.findings: tuple[Finding, ...] = () if judged.finding is None else (judged.finding,)
        # A crash came between the last report and its step: the next one would find two missing.
        if seen.counter != judged.counter:
            tpm.reach(judged.counter)
        row = None if memory.licenses is None else memory.licenses.number
        if judge_spent(row, last, seen.spent) and row is not None:
            tpm.spend(row)
        self.off_ms = off_ms(last, seen)

    def next(self) -> TpmState:
        """What the next report says."""
        return self._tpm.state(self._counter + 1)

    def spent(self) -> int:
        """Where the counter of reservations stands; made where there is none."""
        return self._tpm.spent()

    def keep(self, action: Keep) -> None:
        """Make one thing durable.

        Raises:
            StorageError, HistoryError: as the ledger's.
            TpmError: it is kept and its step is not sure; the next start sees to it.
        """
        self._ledger.keep(action)
        if isinstance(action, KeepLicenses):
            self._tpm.spend(action.number)
        if isinstance(action, KeepReport):
            self._tpm.reach(self._counter + 1)
            self._counter += 1

    def reports(self, from_sequence: int, limit: int) -> list[tuple[int, pb.SignedReport]]:
        """As the ledger's."""
        return self._ledger.reports(from_sequence, limit)


def off_ms(last: TpmState | None, seen: Seen) -> int:
    """Time since the last report by the TPM's clock, as far as that is surely not too much.

    It counts while the TPM has power, off by a third at most.
    """
    if last is None:
        return 0
    return max(0, seen.clock_ms - last.clock_ms) * RATE[1] // RATE[0]
