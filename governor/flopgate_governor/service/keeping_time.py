"""Looks at the governor's clocks, also while nobody reports, and says when they part."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

import structlog

from flopgate_governor.commit import Committer
from flopgate_governor.core.governor_time import LOOK_MS, GovernorTime
from flopgate_governor.state import State
from flopgate_proto.errors import StorageError

EVERY_S: Final = LOOK_MS / 2_000
"""Twice as often as a look counts for: a late one costs nothing."""


async def keep_time(committer: Committer) -> None:
    """Look at the clocks from time to time, until it is cancelled."""
    log, told = structlog.get_logger("clock"), False
    while True:
        time = await committer.call(_look)
        if time.held_ms and not told:
            log.warning(
                "clock.held",
                wall_clock_ahead_ms=time.held_ms,
                follows_in_ms=time.follows_in_ms,
                detail="the wall clock leapt, and is not followed yet: time goes by the boot clock",
            )
        elif told and not time.held_ms:
            log.info("clock.agrees", detail="governor time is that of the wall clock again")
        told = bool(time.held_ms)
        await asyncio.sleep(EVERY_S)


def _look(state: State) -> GovernorTime:
    # What cannot be written, whoever commits next is told.
    with suppress(StorageError):
        state.keep_time()
    return state.keeper.time
