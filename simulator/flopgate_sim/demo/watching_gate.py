"""The gate on a machine with real GPUs, reading only: ``python -m ...watching_gate gate.toml``.

Meters and decides as always, but the hand that would stop processes only writes down what it was
told. For rehearsal only: `flopgate-agent gate` has no such switch.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from flopgate_agent.gate.actions import Move
from flopgate_agent.gate_process.process import run
from flopgate_proto.values import Finding

_LOG = logging.getLogger("flopgate.demo")


class WatchingHand:
    """Does nothing and says what it would have done."""

    @property
    def closed(self) -> frozenset[str]:
        """Chips open at once."""
        return frozenset()

    def protect(self, pids: Sequence[int]) -> None:
        """Nobody is touched anyway."""

    def carry_out(self, action: Move) -> tuple[Finding, ...]:
        """Write it down."""
        _LOG.info("would %s %s", type(action).__name__.lower(), action.workload)
        return ()

    def turn(self, now_ms: int) -> tuple[Finding, ...]:  # noqa: ARG002
        """Nothing takes time."""
        return ()

    def close(self, now_ms: int) -> None:
        """Nothing takes time."""


def main() -> int:
    """Run until told to stop."""
    return run(Path(sys.argv[1]), hand_maker=lambda *_: WatchingHand())


if __name__ == "__main__":
    sys.exit(main())
