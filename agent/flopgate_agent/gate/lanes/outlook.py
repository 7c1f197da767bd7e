"""Whether a lane that is allowed must end nevertheless: its time or its ceiling runs out. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from flopgate_agent.gate.lanes.allowance import NEXT_LICENSE, Allowed, Denied
from flopgate_proto.quick import maker, quick

LOOK_MS_MAX = 3_600_000
"""Longest time between two looks at a lane that nothing presses."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How far a permission carries.

    Attributes:
        why: why the lane must end; ``None`` while it need not.
        at_once: nothing is left for a wind-down.
        left_tflop: what the ceiling still covers.
        orderly_tflop: what an orderly stop can cost at most.
    """

    why: Denied | None
    at_once: bool
    freeze_at_ms: int
    wind_down_at_ms: int
    left_tflop: int
    orderly_tflop: int


make_outlook = maker(Outlook)


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldStop:
    """What would have stopped a lane, had the phase been `enforce`.

    Attributes:
        since_ms: host elapsed time at which it would have begun to wind down.
        freeze_at_ms: when its processes would have been frozen at the latest.
    """

    why: Denied
    since_ms: int
    freeze_at_ms: int


def outlook(
    allowed: Allowed,
    *,
    left_tflop: int,
    at_once_tflop: int,
    orderly_tflop: int,
    stop_ms: int,
    now_ms: int,
) -> Outlook:
    """What holds now, in host elapsed time.

    Args:
        allowed: the permission.
        left_tflop: what its ceiling still covers.
        at_once_tflop: most that a stop without wind-down can cost.
        orderly_tflop: the same with a wind-down.
        stop_ms: from the freeze until the last process is gone.
        now_ms: this moment.
    """
    freeze_at_ms = allowed.until_ms - stop_ms
    wind_down_at_ms = freeze_at_ms - allowed.wind_down_ms
    why = None
    at_once = now_ms >= freeze_at_ms or left_tflop <= at_once_tflop
    if at_once:
        why = _expiring(allowed) if now_ms >= freeze_at_ms else _spent(allowed)
    elif now_ms >= wind_down_at_ms or left_tflop <= orderly_tflop:
        why = _expiring(allowed) if now_ms >= wind_down_at_ms else _spent(allowed)
    return make_outlook(
        why=why,
        at_once=at_once,
        freeze_at_ms=freeze_at_ms,
        wind_down_at_ms=wind_down_at_ms,
        left_tflop=left_tflop,
        orderly_tflop=orderly_tflop,
    )


def _kind(allowed: Allowed, authority: str) -> str:
    return "reserve license" if authority in allowed.reserve_by else "license"


def _expiring(allowed: Allowed) -> Denied:
    if allowed.until_by in allowed.licensed_by:
        return Denied(
            reason="license.ending",
            detail=f"the {_kind(allowed, allowed.until_by)} runs out",
            way_back=NEXT_LICENSE,
            authority=allowed.until_by,
            wind_down_ms=0,
        )
    return Denied(
        reason="permit.expiring",
        detail="the permit runs out and was not renewed",
        way_back="Check that the courier reaches the authority.",
        authority=allowed.until_by,
        wind_down_ms=0,
    )


def _spent(allowed: Allowed) -> Denied:
    return Denied(
        reason="ceiling.reached",
        detail="what is left of the ceiling is needed to stop in time",
        way_back=NEXT_LICENSE
        if allowed.ceiling_by in allowed.licensed_by
        else "The next grant lifts it, if the budget allows.",
        authority=allowed.ceiling_by,
        wind_down_ms=0,
    )
