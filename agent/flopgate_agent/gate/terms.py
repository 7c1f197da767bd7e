"""What becomes of a host's lanes without their gate: values, written down by `leasing`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RENEW_MS: Final = 1_000
"""A gate renews its terms at least that often."""
SILENT_MS_MIN: Final = 3 * RENEW_MS
"""No gate is gone before it missed some renewals, however short ``watchdog_ms`` is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneTerm:
    """What becomes of one lane without a gate, on host elapsed time.

    Attributes:
        freeze_at_ms: its processes are frozen.
        kill_at_ms: what holds its chips is ended.
        still: it was proven to stand; what is held of it stays held and lives.
    """

    workload: str
    freeze_at_ms: int
    kill_at_ms: int
    still: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """All of it, as of one moment.

    Attributes:
        renewed_ms: that moment, on host elapsed time.
        silent_ms: a gate that renews nothing for so long is gone, dead or not; sooner where a
            lane's kill is due.
        lanes: none where nothing would be stopped: no authority admitted the host, or the phase
            does not bite.
        running_ms: gate running time at that moment; 0 where it is unknown.
    """

    renewed_ms: int
    silent_ms: int
    lanes: tuple[LaneTerm, ...]
    running_ms: int = 0
