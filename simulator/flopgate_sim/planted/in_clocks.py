"""Bugs of governor time."""

from __future__ import annotations

from typing import Any

from flopgate_governor.core import governor_time
from flopgate_governor.core.governor_time import GovernorTime
from flopgate_governor.timekeeping import Timekeeper
from flopgate_sim.planted.patching import Swap


def leap_followed() -> tuple[Swap, ...]:
    at_once = property(lambda time: time.wall_unix_ms)
    return (Swap(GovernorTime, "unix_ms", at_once),)


def stands_while_behind() -> tuple[Swap, ...]:
    borne_out = vars(GovernorTime)["unix_ms"].fget
    never_ahead = property(lambda time: min(borne_out(time), time.wall_unix_ms))
    return (Swap(GovernorTime, "unix_ms", never_ahead),)


def leap_followed_soon() -> tuple[Swap, ...]:
    return (Swap(governor_time, "SPAN_MS", 120_000),)


def leap_followed_by_restart() -> tuple[Swap, ...]:
    def forgetful(_store: Any, clocks: Any) -> Timekeeper:
        return Timekeeper(clocks)

    return (Swap(Timekeeper, "load", forgetful),)
