"""Governor time: the wall clock, as far as the machine's boot clock bears it out.

Within one boot both clocks move on alike, but for steps of the wall clock. So the moment at which
the boot began, by the wall clock, is what stays, and whoever sets that clock moves it. A wall clock
that tells another moment than is believed has leapt. Time goes on with the boot clock, and the leap
is followed once it stood for `SPAN_MS` of boot time. Both ways alike: a time that stands while the
clock is behind leaps when that comes back, and what was dated meanwhile would be too old.

The least that is signed is the caller's: here time goes back where a step back is followed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

SPAN_MS: Final = 600_000
"""Boot time for which a wall clock must stand where it leapt to: a permit's lifetime, by default.
Where it leaps in earnest, silence is charged so much later, and what waits comes due."""

SLACK_MS: Final = 1_000
"""By so much a wall clock may part from the boot clock: a leap second, and what a daemon steps
instead of slewing. Two that differ by 500 ppm, which can be slewed, part by 300 ms in the span."""

LOOK_MS: Final = 60_000
"""Time since the look before counts up to this: however rare, ten looks make a span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernorTime:
    """What one look at both clocks told.

    Attributes:
        began_unix_ms: when the boot clock stood at 0, as believed.
        rival_unix_ms: the same as the wall clock has had it for `stood_ms` of boot time.
        wall_unix_ms, boot_ms: what the clocks showed.
    """

    began_unix_ms: int
    rival_unix_ms: int
    stood_ms: int
    wall_unix_ms: int
    boot_ms: int

    @classmethod
    def first(cls, wall_unix_ms: int, boot_ms: int, began_unix_ms: int | None = None) -> Self:
        """The first look of a process; ``began_unix_ms``: what is believed in this boot already."""
        told = wall_unix_ms - boot_ms
        return cls(
            began_unix_ms=told if began_unix_ms is None else began_unix_ms,
            rival_unix_ms=told,
            stood_ms=0,
            wall_unix_ms=wall_unix_ms,
            boot_ms=boot_ms,
        )

    def seen(self, wall_unix_ms: int, boot_ms: int) -> Self:
        """After another look."""
        # Its parts are read one after the other: it may seem to go back by a moment.
        boot_ms = max(boot_ms, self.boot_ms)
        told = wall_unix_ms - boot_ms
        began, rival, stood_ms = self.began_unix_ms, self.rival_unix_ms, self.stood_ms
        if abs(told - rival) > SLACK_MS:
            rival, stood_ms = told, 0
        else:
            stood_ms += min(boot_ms - self.boot_ms, LOOK_MS)
        if stood_ms >= SPAN_MS:
            began, rival, stood_ms = told, told, 0
        return type(self)(
            began_unix_ms=began,
            rival_unix_ms=rival,
            stood_ms=stood_ms,
            wall_unix_ms=wall_unix_ms,
            boot_ms=boot_ms,
        )

    @property
    def unix_ms(self) -> int:
        """Governor time: the wall clock, or what the boot clock bears out where they parted."""
        borne_out_ms = self.began_unix_ms + self.boot_ms
        apart_ms = self.wall_unix_ms - borne_out_ms
        return self.wall_unix_ms if abs(apart_ms) <= SLACK_MS else borne_out_ms

    @property
    def held_ms(self) -> int:
        """How far the wall clock is ahead, or behind below 0, and not believed; 0: it is."""
        return self.wall_unix_ms - self.unix_ms

    @property
    def follows_in_ms(self) -> int:
        """Boot time after which the wall clock is followed if it stays; 0 where it is believed."""
        return SPAN_MS - self.stood_ms if self.held_ms else 0
