"""What one caller may take of a governor: ``[limits]`` in governor.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from flopgate_governor.core.allowance import Allowance
from flopgate_governor.service.hub import StreamLimits
from flopgate_governor.toml_files import check_keys
from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import PAYLOAD_BYTES_MAX

_RANGES: Final = {
    # One report of the largest size in each interval, or such a host could never report again.
    "host_interval_bytes": (PAYLOAD_BYTES_MAX, 2**40),
    "host_burst_bytes": (4 * PAYLOAD_BYTES_MAX, 2**50),
    # A courier that comes back has the stream that it lost beside its new one for a while.
    "streams_of_caller_max": (2, 4_096),
    "streams_max": (16, 1_000_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of hosts' additions to the store, and of open streams."""

    allowance: Allowance = field(default_factory=Allowance)
    streams: StreamLimits = field(default_factory=StreamLimits)


def limits_in(document: dict[str, Any], where: str) -> Limits:
    """The limits of a governor.toml; what it does not name is as by default.

    Raises:
        ConfigError: a key nobody knows, or a figure out of range.
    """
    given = document.get("limits", {})
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: limits is no table", code="config.limits")
    check_keys(given, tuple(_RANGES), f"{where}: limits")
    for key, value in given.items():
        least, most = _RANGES[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigError(
                f"{where}: limits.{key} is {value!r}, not a number from {least} to {most}",
                code="config.limits",
            )
    allowance, streams = Allowance(), StreamLimits()
    return Limits(
        allowance=Allowance(
            interval_bytes=given.get("host_interval_bytes", allowance.interval_bytes),
            burst_bytes=given.get("host_burst_bytes", allowance.burst_bytes),
        ),
        streams=StreamLimits(
            of_caller=given.get("streams_of_caller_max", streams.of_caller),
            in_all=given.get("streams_max", streams.in_all),
        ),
    )
