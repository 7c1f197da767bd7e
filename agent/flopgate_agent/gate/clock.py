"""Host elapsed time as the core counts it: it never goes back.

The wall clock is only written down. Where it leaves host elapsed time, that is a finding (law 8).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flopgate_agent.gate.findings import FindingLog
from flopgate_agent.gate.settings import Now
from flopgate_proto.errors import ClockError
from flopgate_proto.quick import maker
from flopgate_proto.values import Severity

make_now = maker(Now)

WALL_STEPPED: Final = "clock.wall.stepped"
WALL_SLACK_MS: Final = 1_000
"""A leap second is no step."""
WALL_DRIFT_PPM: Final = 500
"""A kernel slews the wall clock by no more; host elapsed time can follow a clock not slewed."""
WALL_SPAN_MS: Final = 3_600_000
"""They are compared over an hour at most: drift excuses a step of seconds, never of minutes."""


def backwards(before_ms: int, now_ms: int) -> ClockError:
    """The boot clock went back: no time can be told any more (law 8)."""
    return ClockError(
        f"boot clock stepped back from {before_ms} to {now_ms} ms",
        code="clock.boot.backwards",
        remedy="Find what sets the boot clock back; compute stays stopped until then.",
    )


class HostClock:
    """The latest moment heard of.

    Where the host's clock steps back, nothing tells how much time passed since. The host had to
    call by a certain moment (``due``): it goes on from there. Time that a clock hides is not free.

    Args:
        now: the first moment.
        due: by when the host must call, as things stand.
        findings: where a wall clock that steps is told.

    Attributes:
        now: that moment.
        behind_ms: how far the host's clock has been set back in all; added to what it tells.
    """

    def __init__(self, now: Now, due: Callable[[], int], findings: FindingLog) -> None:
        self.now = now
        self.behind_ms = 0
        self._due = due
        self._findings = findings
        self._wall_since = now

    def resume(self, made_ms: int, made_wall_unix_ms: int) -> ClockError | None:
        """Go on within the boot in which the last report was made; a conflict, if there is one.

        Where the clock stands before that report, only the wall clock says how long ago it was.
        """
        told = self.now
        if told.elapsed_ms >= made_ms:
            self._wall_since = make_now(elapsed_ms=made_ms, wall_unix_ms=made_wall_unix_ms)
            self._watch_wall()
            return None
        away_ms = max(0, told.wall_unix_ms - made_wall_unix_ms)
        self.now = make_now(elapsed_ms=made_ms + away_ms, wall_unix_ms=told.wall_unix_ms)
        self.behind_ms = self.now.elapsed_ms - told.elapsed_ms
        self._wall_since = self.now
        return backwards(made_ms, told.elapsed_ms)

    def note(self, told: Now) -> None:
        """Take a moment of the host's clock; one that stepped back goes on from what was due."""
        elapsed_ms = told.elapsed_ms + self.behind_ms
        if elapsed_ms < self.now.elapsed_ms:
            went_on_ms = max(self.now.elapsed_ms, self._due())
            self.behind_ms += went_on_ms - elapsed_ms
            # What passed meanwhile is not known, so the wall clock proves nothing of itself.
            self.now = self._wall_since = make_now(
                elapsed_ms=went_on_ms, wall_unix_ms=told.wall_unix_ms
            )
            return
        self.now = make_now(elapsed_ms=elapsed_ms, wall_unix_ms=told.wall_unix_ms)
        self._watch_wall()

    def _watch_wall(self) -> None:
        """Tell of a step once: what comes after it is compared with the clock as it was set."""
        now, since = self.now, self._wall_since
        passed_ms = now.elapsed_ms - since.elapsed_ms
        moved_ms = now.wall_unix_ms - since.wall_unix_ms - passed_ms
        stepped = abs(moved_ms) > WALL_SLACK_MS + passed_ms * WALL_DRIFT_PPM // 1_000_000
        if stepped:
            detail = f"moved_ms={moved_ms} elapsed_ms={passed_ms}"
            self._findings.add(WALL_STEPPED, Severity.WARNING, detail=detail)
        if stepped or passed_ms >= WALL_SPAN_MS:
            self._wall_since = now

    def advance(self, told: Now) -> Now:
        """The same; gives the moment as the core counts it.

        Raises:
            ClockError: the clock stepped back. The next call goes on from there: what must be
                killed is not spared until the host's clock has caught up.
        """
        before_ms, behind_ms = self.now.elapsed_ms, self.behind_ms
        self.note(told)
        if self.behind_ms > behind_ms:
            raise backwards(before_ms, told.elapsed_ms + behind_ms)
        return self.now
