"""What time it is, as far as signed answers of one authority tell (DESIGN section 4, Time).

The host's wall clock is believed by nobody. An answer names the authority's time at some moment
between the making of the request and the answer's receipt: from then on the true time lies in an
interval. By that key it never moves back: whoever holds it cannot undo a date that has passed. He
can tell a time that has not come; officers' approval of a license puts that right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from flopgate_agent.gate.memory import Moment, StoredTime
from flopgate_proto.limits import COUNT_MAX
from flopgate_proto.quick import maker, quick

make_stored_time = maker(StoredTime)

OLD_MS: Final = 60_000
"""An answer to a report that is older tells the time badly. A newer report is on its way then, and
its answer is waited for so long, once."""

LAST_UNIX_MS: Final = COUNT_MAX // 2
"""No clock tells a later time, whatever is signed: sums with it fit what keeps them."""

BEHIND: Final = "clock.boot.behind"
BEHIND_SLACK_MS: Final = 10_000
"""An authority whose clock is set right by seconds says nothing of its hosts."""
BEHIND_PPM: Final = 1_000
"""Five times the drift that a policy allows a host by default, and more than a kernel slews."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ClockBound:
    """The latest that the time could be, as an answer of this boot told it.

    An honest boot clock leaves it no later. Where an answer proves more, the boot clock was held
    back (stopped, slowed, or put back with the memory of a virtual machine), or the authority's
    clock was set forward: nothing here can tell which, so nothing is stopped by it.

    Attributes:
        after_ms: from host elapsed time to that latest time.
        at_ms: host elapsed time since when it holds.
    """

    after_ms: int
    at_ms: int

    def latest_after_ms(self, now_ms: int) -> int:
        """The same now, with what drift may have added."""
        return self.after_ms + (now_ms - self.at_ms) * BEHIND_PPM // 1_000_000

    def behind_ms(self, earliest_after_ms: int, now_ms: int) -> int:
        """By how much the boot clock is behind, where an answer tells of no earlier time; or 0."""
        behind_ms = earliest_after_ms - self.latest_after_ms(now_ms)
        return behind_ms if behind_ms > BEHIND_SLACK_MS else 0


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTime:
    """Offsets from host elapsed time to the earliest and latest time that it can be.

    Attributes:
        waits_until_ms: 0, or the host elapsed time from which an answer to an old report counts
            as it stands. Until then it is no later than by ``meanwhile_after_ms``: after an outage
            the answers to what piled up would else bring every date forward by its length.
    """

    earliest_after_ms: int
    latest_after_ms: int
    waits_until_ms: int = 0
    meanwhile_after_ms: int = 0

    @classmethod
    def heard(
        cls, unix_ms: int, *, made_ms: int, received_ms: int, before: ToldTime | None
    ) -> ToldTime:
        """Told by an answer, in host elapsed time, on top of what was told before."""
        unix_ms = min(unix_ms, LAST_UNIX_MS)
        earliest_ms, latest_ms = unix_ms - received_ms, unix_ms - made_ms
        if before is not None:
            earliest_ms = max(earliest_ms, before.earliest_after_ms)
        latest_ms = max(earliest_ms, latest_ms)
        if received_ms - made_ms <= OLD_MS:
            return make_told_time(earliest_after_ms=earliest_ms, latest_after_ms=latest_ms)
        waits_until_ms, meanwhile_ms = received_ms + OLD_MS, earliest_ms
        if before is not None:
            # Only a good answer ends the wait: bad ones, one after the other, prolong nothing.
            waits_until_ms = before.waits_until_ms or waits_until_ms
            meanwhile_ms = max(earliest_ms, before.latest_unix_ms(received_ms) - received_ms)
        return cls(
            earliest_after_ms=earliest_ms,
            latest_after_ms=latest_ms,
            waits_until_ms=waits_until_ms,
            meanwhile_after_ms=meanwhile_ms,
        )

    @classmethod
    def raised(cls, unix_ms: int, now_ms: int, before: ToldTime | None) -> ToldTime:
        """It is no earlier, and nothing else is known; what was told before is never undone."""
        after_ms = min(unix_ms, LAST_UNIX_MS) - now_ms
        if before is None:
            return cls(earliest_after_ms=after_ms, latest_after_ms=after_ms)
        return replace(
            before,
            earliest_after_ms=max(before.earliest_after_ms, after_ms),
            latest_after_ms=max(before.latest_after_ms, after_ms),
            meanwhile_after_ms=max(before.meanwhile_after_ms, after_ms),
        )

    @classmethod
    def resumed(cls, stored: StoredTime, now: Moment, least_running_ms: int = 0) -> ToldTime:
        """After a restart or reboot: at least the time that gates ran since has passed.

        In the same boot the host's clock tells how long none ran; after a reboot nothing on the
        host does but a TPM, as long as it had power; the next answer will.

        ``least_running_ms``: what the gate running time would be, had a gate run while the TPM's
        clock did.
        """
        passed_ms = max(0, max(now.running_ms, least_running_ms) - stored.at.running_ms)
        if stored.at.boot_id == now.boot_id:
            passed_ms = max(passed_ms, now.elapsed_ms - stored.at.elapsed_ms)
        return cls(
            earliest_after_ms=stored.earliest_unix_ms + passed_ms - now.elapsed_ms,
            latest_after_ms=stored.latest_unix_ms + passed_ms - now.elapsed_ms,
        )

    def earliest_unix_ms(self, now_ms: int) -> int:
        """It is no earlier."""
        return now_ms + self.earliest_after_ms

    def latest_unix_ms(self, now_ms: int) -> int:
        """It is no later, as far as this host's clock knows."""
        waits = now_ms < self.waits_until_ms
        return now_ms + (self.meanwhile_after_ms if waits else self.latest_after_ms)

    def changes_ms(self, unix_ms: int) -> tuple[int, ...]:
        """Host elapsed times at which this time may begin to have come."""
        ends = (self.earliest_after_ms, self.latest_after_ms, self.meanwhile_after_ms)
        return (self.waits_until_ms, *(unix_ms - after_ms for after_ms in ends))

    def stored(self, now: Moment) -> StoredTime:
        """As it is kept over restarts; what was waited for is not waited for again."""
        return make_stored_time(
            earliest_unix_ms=self.earliest_unix_ms(now.elapsed_ms),
            latest_unix_ms=now.elapsed_ms + self.latest_after_ms,
            at=now,
        )


make_told_time = maker(ToldTime)
