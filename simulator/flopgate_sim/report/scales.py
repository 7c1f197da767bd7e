"""From values to places on a chart, and round numbers for its axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TIMES: Final = "\N{MULTIPLICATION SIGN}"
_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_ROUND_WHOLE: Final = (1.0, 2.0, 5.0, 10.0)
_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_DAY: Final = 86_400.0
_TIME_STEPS_S: Final = (
    0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0,
    _MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 15 * _MINUTE, 30 * _MINUTE,
    _HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR,
    _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY,
)  # fmt: skip
TICKS_MAX: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight line from values to pixels; values outside stay at the edge."""

    low: float
    high: float
    from_px: float
    to_px: float

    def __call__(self, value: float) -> float:
        """Where a value lies."""
        if self.high <= self.low:
            return self.from_px
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return self.from_px + part * (self.to_px - self.from_px)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Ticks (value, label) and what the labels count."""

    top: float
    ticks: tuple[tuple[float, str], ...]
    unit: str


def value_axis(most: float, unit: str, *, whole: bool = False) -> Axis:
    """From 0 to a round number at or above ``most``, a power of ten taken out of the labels.

    ``whole`` is for what comes in whole numbers only.
    """
    if not 0 < most < math.inf:
        return Axis(top=1.0, ticks=((0.0, "0"), (1.0, "1")), unit=unit)
    rough = max(most / 4, 1.0) if whole else most / 4
    rounds = _ROUND_WHOLE if whole and rough < 10 else _ROUND  # noqa: PLR2004  # 2.5 is not whole
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(one for one in rounds if one * power >= rough * (1 - 1e-9))
    steps = math.ceil(most / step * (1 - 1e-9))
    exponent = power_of_thousand(step * steps)
    ticks = tuple((step * one, f"{step * one / 10.0**exponent:.6g}") for one in range(steps + 1))
    shown = unit if not exponent else f"{ten_to(exponent)} {unit}".strip()
    return Axis(top=step * steps, ticks=ticks, unit=shown)


def time_axis(start_s: float, end_s: float) -> Axis:
    """Round moments between two of world time."""
    span_s = end_s - start_s
    step_s = next((one for one in _TIME_STEPS_S if span_s / one <= TICKS_MAX), span_s or 1.0)
    first = math.ceil(start_s / step_s - 1e-9)
    last = math.floor(end_s / step_s + 1e-9)
    moments = [one * step_s for one in range(first, min(last, first + TICKS_MAX) + 1)]
    if span_s >= 3 * _DAY:
        return Axis(top=end_s, ticks=tuple((at, f"{at / _DAY:g}") for at in moments), unit="days")
    if span_s >= 2 * _HOUR or end_s >= 10 * _HOUR:
        ticks = tuple((at, _sixties(at / _MINUTE)) for at in moments)
        return Axis(top=end_s, ticks=ticks, unit="h:mm")
    if span_s >= 2 * _MINUTE:
        ticks = tuple((at, _sixties(at)) for at in moments)
        return Axis(top=end_s, ticks=ticks, unit="m:ss")
    return Axis(top=end_s, ticks=tuple((at, f"{at:g}") for at in moments), unit="s")


def _sixties(number: float) -> str:
    whole, rest = divmod(round(number), 60)
    return f"{whole}:{rest:02}"


def power_of_thousand(value: float) -> int:
    """Exponent to take out of labels: 0 below ten thousand."""
    if not 1e4 <= value < math.inf:  # noqa: PLR2004
        return 0
    return 3 * math.floor(math.log10(value) / 3 + 1e-12)


def ten_to(exponent: int) -> str:
    """``10`` with a raised exponent."""
    return f"10{str(exponent).translate(_SUPERSCRIPT)}"


def quantity(value: float, unit: str) -> str:
    """A value with its unit, four figures, a power of a thousand taken out."""
    exponent = power_of_thousand(abs(value))
    scaled = f"{value / 10.0**exponent:.4g}"
    return f"{scaled} {_TIMES} {ten_to(exponent)} {unit}" if exponent else f"{scaled} {unit}"


def seconds(span_s: float) -> str:
    """A span for people: ``53 ms``, ``3.25 s``, ``2 min``, ``125.3 s``, ``12 min 5 s``."""
    if abs(span_s) < 1:
        return f"{span_s * 1000:.0f} ms" if span_s else "0 s"
    whole = span_s >= _MINUTE and span_s % _MINUTE == 0
    if abs(span_s) < 10 * _MINUTE and not whole:
        return f"{span_s:.4g} s"
    minutes, rest = divmod(round(span_s), 60)
    return f"{minutes:,} min {rest} s" if rest else f"{minutes:,} min"
