"""Spans of time as people write them."""

from __future__ import annotations

import re
from typing import Final

from flopgate_proto.errors import ConfigError

_SPAN: Final = re.compile(r"(\d+)([smhd])")
SPAN_MS_MAX: Final = 36_500 * 86_400_000
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_span_ms(text: str) -> int:
    """Milliseconds from ``30m``, ``24h`` or ``7d``.

    Raises:
        ConfigError: not a span.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"{text!r} is no span", code="config.span", remedy="Write 90s, 30m, 24h or 7d."
        )
    span_ms = int(match[1]) * _UNIT_MS[match[2]]
    if span_ms > SPAN_MS_MAX:
        raise ConfigError(
            f"{text!r} is a span beyond {SPAN_MS_MAX // _UNIT_MS['d']}d",
            code="config.span",
            remedy="Write 90s, 30m, 24h or 7d.",
        )
    return span_ms
