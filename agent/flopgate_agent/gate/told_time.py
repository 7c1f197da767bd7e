"""What time it is, as far as signed answers of one authority tell (DESIGN section 4, Time).

The host's wall clock is believed by nobody. An answer names the authority's time at some moment
between the making of the request and the answer's receipt: from then on the true time lies in an
interval. It never moves back: whoever holds an authority's online key cannot undo a date that has
passed.
"""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_agent.gate.memory import StoredTime
from flopgate_proto.quick import quick


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTime:
    """Offsets from host elapsed time to the earliest and latest time that it can be."""

    earliest_after_ms: int
    latest_after_ms: int

    @classmethod
    def heard(
        cls, unix_ms: int, *, made_ms: int, received_ms: int, before: ToldTime | None
    ) -> ToldTime:
        """Told by an answer, in host elapsed time, on top of what was told before."""
        earliest_ms, latest_ms = unix_ms - received_ms, unix_ms - made_ms
        if before is not None:
            earliest_ms = max(earliest_ms, before.earliest_after_ms)
        return cls(earliest_after_ms=earliest_ms, latest_after_ms=max(earliest_ms, latest_ms))

    @classmethod
    def resumed(cls, stored: StoredTime, *, now_ms: int, running_ms: int) -> ToldTime:
        """After a restart or reboot: at least the time that gates ran since has passed.

        How long none ran, nothing on the host tells; the next answer does.
        """
        ran_ms = max(0, running_ms - stored.running_ms)
        return cls(
            earliest_after_ms=stored.earliest_unix_ms + ran_ms - now_ms,
            latest_after_ms=stored.latest_unix_ms + ran_ms - now_ms,
        )

    def earliest_unix_ms(self, now_ms: int) -> int:
        """It is no earlier."""
        return now_ms + self.earliest_after_ms

    def latest_unix_ms(self, now_ms: int) -> int:
        """It is no later, as far as this host's clock knows."""
        return now_ms + self.latest_after_ms

    def stored(self, *, now_ms: int, running_ms: int) -> StoredTime:
        """As it is kept over restarts."""
        return StoredTime(
            earliest_unix_ms=self.earliest_unix_ms(now_ms),
            latest_unix_ms=self.latest_unix_ms(now_ms),
            running_ms=running_ms,
        )
