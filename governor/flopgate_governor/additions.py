"""What one batch adds for each host, and whose reports must wait with it: `core.allowance`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from flopgate_governor.core.allowance import (
    NAME_BYTES,
    ROW_BYTES,
    WORKLOADS_OF_HOST_MAX,
    Volumes,
    interval_ms,
)
from flopgate_governor.core.facts import HostFacts, LaneFacts
from flopgate_governor.receive import Received
from flopgate_governor.replies import Replies, notice
from flopgate_governor.state import State
from flopgate_governor.store.prepared import Row
from flopgate_governor.store.records import joined
from flopgate_proto.batches import ProvenAnswer
from flopgate_proto.errors import HistoryError, OversizedError
from flopgate_proto.values.reports import LaneReport


@dataclass(slots=True, kw_only=True)
class Additions:
    """Of one batch.

    Attributes:
        volumes: what hosts added before.
        every_ms: the interval in which the allowance is given.
        unix_ms: governor time of the batch.
    """

    volumes: Volumes
    every_ms: int
    unix_ms: int
    _added: dict[bytes, int] = field(default_factory=dict)
    _told: set[tuple[int, bytes]] = field(default_factory=set)

    @classmethod
    def of(cls, state: State, unix_ms: int) -> Additions:
        """Nothing yet."""
        every_ms = interval_ms(state.book.orders.policy)
        return cls(volumes=state.volumes, every_ms=every_ms, unix_ms=unix_ms)

    def hold_back(self, position: int, item: Received, facts: HostFacts, replies: Replies) -> bool:
        """Whether this report must wait; the first one of its message is told until when.

        What is on record already never waits, nor does what officers brought, nor a last report.
        """
        report = item.report
        if report.sequence <= facts.sequence or item.carried or item.final:
            return False
        added = self._added.get(item.host_id, 0)
        wait_ms = self.volumes.wait_ms(item.host_id, added, self.every_ms, self.unix_ms)
        if not wait_ms:
            return False
        if (position, item.host_id) not in self._told:
            self._told.add((position, item.host_id))
            self.volumes.hold(item.host_id, wait_ms, self.unix_ms)
            held = HistoryError(
                f"this host added more to the record than its allowance; what comes within "
                f"{-(-wait_ms // 1000)} s is not taken",
                code="host.held-back",
                remedy="Send it again then; what the gate has made stays with it.",
            )
            goes_on = 0 if facts.refused_reason else facts.sequence + 1
            told = notice(item.host_id, item.digest, held, goes_on, wait_ms)
            replies.notices[position].append(told)
        return True

    def count(self, item: Received, answer_bytes: int, findings: int, names: int) -> None:
        """A report goes on record: with its answer, evidence for each finding, names used first."""
        if not item.carried:
            wire_bytes = item.signed.envelope.ByteSize()
            self._added[item.host_id] = (
                self._added.get(item.host_id, 0)
                + wire_bytes * (1 + findings)
                + answer_bytes
                + ROW_BYTES
                + names * NAME_BYTES
            )

    def settle(self) -> None:
        """All of it is durable."""
        self.volumes.charge(self._added, self.every_ms, self.unix_ms)


def report_row(item: Received, answer: ProvenAnswer, digest: bytes, number: int) -> Row:
    """A report on record and its answer, which has this digest, in the batch of this number."""
    return {
        "host_id": item.host_id,
        "sequence": item.report.sequence,
        "digest": item.digest,
        "envelope": item.signed.envelope.SerializeToString(),
        "answer": answer.payload,
        "answer_digest": digest,
        "answer_index": answer.index,
        "answer_path": joined(answer.path),
        "batch_number": number,
    }


def evidence_row(item: Received, kind: str, detail: str, unix_ms: int) -> Row:
    """What a report is kept for beside the record."""
    return {
        "host_id": item.host_id,
        "kind": kind,
        "digest": item.digest,
        "detail": detail,
        "envelope": item.signed.envelope.SerializeToString(),
        "unix_ms": unix_ms,
    }


def new_names(told: Collection[LaneReport], lanes: Mapping[str, LaneFacts]) -> int:
    """How many workloads a report names that its host never named before.

    Raises:
        OversizedError: the host's books have no room for them.
    """
    count = 0
    for lane in told:
        if lane.workload not in lanes:
            count += 1
    if count and len(lanes) + count > WORKLOADS_OF_HOST_MAX:
        raise OversizedError(
            f"this host has used {len(lanes)} names of workloads, at most "
            f"{WORKLOADS_OF_HOST_MAX} are kept",
            code="report.workloads",
            remedy="Ask the oversight body to close its chain, and enrol it anew.",
        )
    return count
