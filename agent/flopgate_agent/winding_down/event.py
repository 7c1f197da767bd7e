"""What the gate says of a wind-down, and whom it concerns. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flopgate_proto.limits import COUNT_MAX

BYTES_MAX: Final = 256 * 1024
PIDS_MAX: Final = 4096
_PID_MAX: Final = 2**22
_TEXT_MAX: Final = 4096


class EventError(Exception):
    """It is no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindDown:
    """One lane has so long.

    Attributes:
        deadline_ms: CLOCK_BOOTTIME.
        pids: with a context on its chips, at most `PIDS_MAX`.
    """

    workload: str
    deadline_ms: int
    pids: tuple[int, ...]

    def environment(self, pids: tuple[int, ...], now_ms: int) -> dict[str, str]:
        """For a command that is to save these of them; ``now_ms``: CLOCK_BOOTTIME."""
        return {
            "FLOPGATE_WORKLOAD": self.workload,
            "FLOPGATE_LEFT_MS": str(max(0, self.deadline_ms - now_ms)),
            "FLOPGATE_DEADLINE_BOOTTIME_MS": str(self.deadline_ms),
            "FLOPGATE_PIDS": " ".join(map(str, pids)),
        }


def parse(data: bytes) -> WindDown | None:
    """One datagram; ``None`` for an event of another kind.

    Raises:
        EventError: it is malformed; never any other error.
    """
    try:
        found = json.loads(data)
        if found["event"] != "wind-down":
            return None
        pids = found["pids"]
        if not isinstance(pids, list) or len(pids) > PIDS_MAX:
            raise EventError("pids")
        return WindDown(
            workload=_text(found["workload"]),
            deadline_ms=_number(found["deadline_boottime_ms"], COUNT_MAX),
            pids=tuple(_number(pid, _PID_MAX) for pid in pids),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EventError(f"malformed: {error}") from error


def by_user(
    event: WindDown, owner_of: Callable[[int], int | None]
) -> Mapping[int, tuple[int, ...]]:
    """Pids by their users; who is gone belongs to nobody."""
    found: dict[int, tuple[int, ...]] = {}
    for pid in event.pids:
        uid = owner_of(pid)
        if uid is not None:
            found[uid] = (*found.get(uid, ()), pid)
    return found


def _text(found: Any) -> str:
    if isinstance(found, str) and 0 < len(found) <= _TEXT_MAX and "\0" not in found:
        return found
    raise ValueError("no text")


def _number(found: Any, most: int) -> int:
    # `type` and not `isinstance`: JSON's true is no number.
    if type(found) is int and 0 <= found <= most:
        return found
    raise ValueError("no number")
