"""The GPUs of a simulated host, which outlive its gate: what they did goes on without anybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from flopgate_agent.gate.actions import Freeze, Kill, Move, Thaw
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.values import Finding
from flopgate_sim.fleet.gpu import SimulatedGpu


class Hardware:
    """GPUs, kept in a file if one is named.

    Between two orders a GPU's counters follow from the time alone. So the file, written at each
    order, holds all there is to know, however its writer ends.
    """

    def __init__(self, gpus: Sequence[SimulatedGpu], path: Path | None = None) -> None:
        self.gpus = list(gpus)
        self._path = path
        self.keep()

    @classmethod
    def found(cls, path: Path) -> Hardware | None:
        """What an earlier run left working; ``None`` where there was none."""
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls([SimulatedGpu.restored(gpu) for gpu in kept], path)

    def keep(self) -> None:
        """Write the file: whole, or as it was."""
        if self._path is None:
            return
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps([gpu.kept() for gpu in self.gpus]), encoding="utf-8")
        draft.replace(self._path)

    def hand(self, now_ms: Callable[[], int]) -> Hand:
        """What a gate moves them with."""
        return Hand(self, now_ms)


class Hand:
    """Carries out what a gate decides, as the GPUs feel it."""

    def __init__(self, hardware: Hardware, now_ms: Callable[[], int]) -> None:
        self._hardware = hardware
        self._now_ms = now_ms

    @property
    def closed(self) -> frozenset[str]:
        """Chips open at once."""
        return frozenset()

    def protect(self, pids: Sequence[int]) -> None:
        """There are no processes."""

    def carry_out(self, action: Move) -> list[Finding]:
        """At once."""
        now_ms = self._now_ms()
        for gpu in self._hardware.gpus:
            match action:
                case Freeze():
                    gpu.freeze(now_ms)
                case Thaw() if action.until_ms == COUNT_MAX and gpu.waits:
                    # Let go, not permitted: nobody has admitted this host.
                    pass
                case Thaw():
                    gpu.thaw(now_ms)
                case Kill():
                    gpu.stop(now_ms)
                case _:
                    pass
        self._hardware.keep()
        return []

    def turn(self, now_ms: int) -> list[Finding]:  # noqa: ARG002
        """Nothing takes time."""
        return []

    def close(self, now_ms: int) -> None:
        """Nothing takes time."""
