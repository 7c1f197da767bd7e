"""A TPM's counter and clock in memory, as the reference implementation counts.

`tests/integration/test_tpm_counter.py` holds it against a real one, event by event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopgate_agent.tpm.rollback import Base, Seen
from flopgate_proto.errors import TpmError
from flopgate_proto.values import TpmState

SLACK: Final = 255
"""MAX_ORDERLY_COUNT of the reference implementation."""


class FakeTpm:
    """One TPM with a counter that was just made, on a clock that is moved from outside.

    Attributes:
        counter: ``None`` once somebody removed it.
        steps: how often it was stepped.
        reservations: the counter of those; ``None`` before it is needed.
    """

    def __init__(self) -> None:
        self.counter: int | None = 1
        self.clock_ms = 0
        self.steps = 0
        self.reservations: int | None = None
        self._resets = 1
        self._restarts = 0
        self._safe = True
        self._orderly = True

    @property
    def base(self) -> Base:
        """As it would be kept with a key that is made now."""
        return Base(counter=self.counter or 0, reset_count=self._resets)

    def seen(self) -> Seen:
        """What it says now."""
        return Seen(
            counter=self.counter,
            clock_ms=self.clock_ms,
            reset_count=self._resets,
            restart_count=self._restarts,
            safe=self._safe,
            orderly=self._orderly,
            slack=SLACK,
            spent=self.reservations,
        )

    def state(self, counter: int) -> TpmState:
        """What a report says of it."""
        return TpmState(
            counter=counter,
            clock_ms=self.clock_ms,
            reset_count=self._resets,
            restart_count=self._restarts,
            safe=self._safe,
        )

    def reach(self, counter: int) -> None:
        """Step the counter of reports."""
        if self.counter != counter - 1:
            raise _moved(self.counter)
        self.counter = counter
        self.steps += 1

    def spent(self) -> int:
        """Where the counter of reservations stands."""
        if self.reservations is None:
            # A new one goes on from the highest that the TPM ever had.
            self.reservations = (self.counter or 0) + 1
        return self.reservations

    def spend(self, counter: int) -> None:
        """Step the counter of reservations."""
        if self.reservations != counter - 1:
            raise _moved(self.reservations)
        self.reservations = counter

    def reset(self, *, orderly: bool) -> None:
        """A reboot; without an orderly shutdown the counter goes to what it can have been at most.

        The clock's last save is not modelled: time that the TPM had not written down is kept here.
        """
        self._resets += 1
        self._restarts = 0
        self._orderly = self._safe = orderly
        if not orderly and self.counter is not None:
            self.counter |= SLACK


def _moved(counter: int | None) -> TpmError:
    remedy = "Find what else steps this counter."
    return TpmError(f"stands at {counter}", code="tpm.counter.moved", remedy=remedy)


class HostTpm(FakeTpm):
    """The TPM of a host of the world: what happens to the host's disk does not happen to it.

    Args:
        now_ms: how long it has had power, as the world knows it.
        dead: whether the process that steps it died meanwhile, at a write: then nothing is stepped.
    """

    def __init__(self, now_ms: Callable[[], int], dead: Callable[[], bool]) -> None:
        super().__init__()
        self._now_ms = now_ms
        self._dead = dead

    def seen(self) -> Seen:
        """What it says now."""
        self.clock_ms = self._now_ms()
        return super().seen()

    def state(self, counter: int) -> TpmState:
        """What a report says of it."""
        self.clock_ms = self._now_ms()
        return super().state(counter)

    def reach(self, counter: int) -> None:
        """Step the counter of reports."""
        if not self._dead():
            super().reach(counter)

    def spend(self, counter: int) -> None:
        """Step the counter of reservations."""
        if not self._dead():
            super().spend(counter)
