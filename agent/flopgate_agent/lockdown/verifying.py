"""Whether what was stopped without a gate stands, by the gate's own judgement of counters. Pure.

Nothing is charged here: the gate that comes back measures the time from its own counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.gate.lanes.chip_meter import ChipMeter
from flopgate_agent.gate.settings import Chip

STAND_MS: Final = 3_000
"""From the first kill to stillness: the enforcement bound of 2 s, and a look. What computes on
after that does so without permission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """What became of one lane, on host elapsed time.

    Attributes:
        workload: the lane's.
        since_ms: its first kill, or the first look at one that stood.
        stood_ms: the look at which all its chips were first seen to stand; ``None``: not yet.
        computed_ms: the last look at which one worked, more than `STAND_MS` after the start, or
            held a context where work cannot be read; ``None``: never.
    """

    workload: str
    since_ms: int
    stood_ms: int | None = None
    computed_ms: int | None = None


class Verifier:
    """Looks at chips, and keeps what became of each lane.

    Attributes:
        stopped: lanes that were to stand, by workload.
    """

    def __init__(self) -> None:
        self._chips: dict[str, Sequence[str]] = {}
        self._meters: dict[str, ChipMeter] = {}
        self.stopped: dict[str, Stopped] = {}

    def opened(self, chips: Iterable[Chip], now_ms: int) -> None:
        """The driver names its chips, again perhaps: another child reads them from here on."""
        for index, chip in enumerate(chips):
            uuid = chip.identity.uuid
            if uuid in self._meters:
                self._meters[uuid].reopened()
            else:
                self._meters[uuid] = ChipMeter(index, chip, now_ms)

    def began(self, workload: str, chips: Sequence[str], now_ms: int) -> None:
        """From now on this lane, with these chips (UUIDs), is to stand."""
        self._chips[workload] = chips
        self.stopped.setdefault(workload, Stopped(workload=workload, since_ms=now_ms))

    def look(self, samples: Iterable[ChipSample]) -> list[Stopped]:
        """Take a look at the counters; lanes of which something new is known."""
        for sample in samples:
            if sample.uuid in self._meters:
                self._meters[sample.uuid].look(sample)
        before = dict(self.stopped)
        for workload, known in before.items():
            self.stopped[workload] = self._judge(known)
        return [one for name, one in self.stopped.items() if _news(before[name], one)]

    def _judge(self, known: Stopped) -> Stopped:
        meters = [self._meters.get(uuid) for uuid in self._chips[known.workload]]
        seen = [meter for meter in meters if meter is not None]
        if not seen:
            return known
        looked_ms = min(meter.judged_until_ms for meter in seen)
        # Whatever is not shown to stand counts as work (law 1); what cannot be read at all too.
        if any(meter.active for meter in seen):
            late = looked_ms > known.since_ms + STAND_MS
            return replace(known, computed_ms=looked_ms) if late else known
        if known.stood_ms is None and len(seen) == len(meters) and looked_ms > known.since_ms:
            return replace(known, stood_ms=looked_ms)
        return known


def _news(before: Stopped, after: Stopped) -> bool:
    first = (before.computed_ms is None) != (after.computed_ms is None)
    return first or before.stood_ms != after.stood_ms
