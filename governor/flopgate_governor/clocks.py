"""The clocks of the machine that a governor runs on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flopgate_proto.errors import ConfigError

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """What a governor reads.

    Attributes:
        boot_id: differs from boot to boot.
        unix_ms: reads the wall clock.
        boot_ms: reads the time since boot, suspend included.
    """

    boot_id: bytes
    unix_ms: Callable[[], int]
    boot_ms: Callable[[], int]


def unix_ms() -> int:
    """The wall clock."""
    return time.time_ns() // _NS_PER_MS


def boot_ms() -> int:
    """Time since boot in ms: CLOCK_MONOTONIC_RAW, and what the machine was suspended.

    CLOCK_BOOTTIME alone goes with the wall clock when that is slewed, by up to a tenth.
    """
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    suspended_ns = boot_ns - time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    return (time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) + max(0, suspended_ns)) // _NS_PER_MS


def this_machine() -> Clocks:
    """The clocks of this boot of this machine.

    Raises:
        ConfigError: which boot it is cannot be read.
    """
    try:
        boot_id = bytes.fromhex(BOOT_ID.read_text(encoding="ascii").strip().replace("-", ""))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot tell this boot from others: {error}",
            code="clock.boot-id",
            remedy=f"Let the governor read {BOOT_ID} (systemd: no ProcSubset=pid).",
        ) from error
    return Clocks(boot_id=boot_id, unix_ms=unix_ms, boot_ms=boot_ms)
