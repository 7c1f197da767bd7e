"""Amounts as people write and read them: FLOP, FLOP/s, spans and dates, from and to whole units.

What is signed are whole teraFLOP and milliseconds; nobody reads 10,000,000,000,000 TFLOP and sees
1e25 FLOP. Every command line takes and shows amounts through here; programs get the whole units.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from math import ceil
from typing import Final

from flopgate_proto.errors import ConfigError
from flopgate_proto.limits import COUNT_MAX

FLOP_PER_TFLOP: Final = 10**12
SPAN_MS_MAX: Final = 100 * 365 * 86_400_000
"""A hundred years: what is meant to be longer is a slip of the pen."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNIT_MS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_SPAN: Final = re.compile("".join(f"(?:([0-9]{{1,12}}){unit})?" for unit in _UNIT_MS))
_LARGEST: Final = Decimal(COUNT_MAX) * FLOP_PER_TFLOP


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 host``, ``2 hosts``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def flop_text(tflop: int) -> str:
    """A count for people, to three digits: ``1.2e25 FLOP``."""
    return f"{_scientific(tflop)} FLOP"


def flop_texts(*tflop: int) -> tuple[str, ...]:
    """Counts of one sentence, in as many digits as tell those apart that differ, three at least."""
    return tuple(f"{text} FLOP" for text in _apart(tflop))


def rate_text(tflop_per_s: int) -> str:
    """A rate for people, to three digits: ``1e18 FLOP/s``."""
    return f"{_scientific(tflop_per_s)} FLOP/s"


def rate_texts(*tflop_per_s: int) -> tuple[str, ...]:
    """Rates of one sentence, as `flop_texts` shows counts."""
    return tuple(f"{text} FLOP/s" for text in _apart(tflop_per_s))


def span_text(span_ms: int, unit: str = "ms") -> str:
    """A span for people, cut to whole ``unit``, as `parse_span_ms` takes it: ``7d``, ``1h30m``."""
    parts, left_ms = "", span_ms - span_ms % _UNIT_MS[unit]
    for name, unit_ms in _UNIT_MS.items():
        count, left_ms = divmod(left_ms, unit_ms)
        parts += f"{count}{name}" if count else ""
    return parts or "0s"


def date_text(unix_ms: int) -> str:
    """A date for people, cut to the second; past the calendar's end the milliseconds stay."""
    try:
        return f"{_EPOCH + dt.timedelta(milliseconds=unix_ms):%Y-%m-%d %H:%M:%S} UTC"
    except OverflowError:
        return f"{unix_ms} ms"


def parse_tflop(text: str) -> int:
    """Whole TFLOP from FLOP such as ``1e25 FLOP`` or ``1.5e24``, rounded down: a cap stays one.

    Raises:
        ConfigError: not a count, beyond 2^63-1 TFLOP, or one that would be rounded to none.
    """
    return _whole(_flop(text), text, "config.flop", "1e12 FLOP")


def parse_spent_tflop(text: str) -> int:
    """The same rounded up: what was spent is never made smaller.

    Raises:
        ConfigError: as `parse_tflop`.
    """
    return -(-ceil(_flop(text)) // FLOP_PER_TFLOP)


def parse_tflop_per_s(text: str) -> int:
    """Whole TFLOP/s from FLOP/s such as ``1e18 FLOP/s`` or ``1e18``, rounded up.

    Rounded up, a capacity that is declared is never made smaller.

    Raises:
        ConfigError: not a rate, or beyond 2^63-1 TFLOP/s.
    """
    return -(-ceil(_rate(text)) // FLOP_PER_TFLOP)


def parse_most_tflop_per_s(text: str) -> int:
    """The same rounded down: what officers bound is never made larger than they wrote.

    Raises:
        ConfigError: as `parse_tflop_per_s`, or a rate that would be rounded to none.
    """
    return _whole(_rate(text), text, "config.capacity", "1e12 FLOP/s")


def parse_span_ms(text: str) -> int:
    """Milliseconds from ``500ms``, ``90s``, ``24h``, ``7d`` or ``1h30m``.

    Raises:
        ConfigError: not a span, or longer than a hundred years.
    """
    match = _SPAN.fullmatch(text) if text else None
    counts = () if match is None else match.groups(default="0")
    units_ms = _UNIT_MS.values()
    span_ms = sum(int(one) * ms for one, ms in zip(counts, units_ms, strict=True)) if counts else -1
    if not 0 <= span_ms <= SPAN_MS_MAX:
        raise _none(f"{text[:40]!r} is no span", "config.span", "90s, 30m, 7d or 1h30m")
    return span_ms


def _flop(text: str) -> Decimal:
    return _parsed(text, "FLOP", "config.flop", "1e25 FLOP")


def _rate(text: str) -> Decimal:
    return _parsed(text, "FLOP/s", "config.capacity", "1e18")


def _whole(flop: Decimal, text: str, code: str, least: str) -> int:
    if 0 < flop < FLOP_PER_TFLOP:
        # Of many a bound 0 says that there is none.
        raise _none(
            f"{text[:40]!r} is less than {least}, the least there is", code, f"0, or {least}"
        )
    return int(flop) // FLOP_PER_TFLOP


def _none(problem: str, code: str, example: str) -> ConfigError:
    return ConfigError(problem, code=code, remedy=f"Write {example}.")


def _parsed(text: str, unit: str, code: str, example: str) -> Decimal:
    number = text.strip().removesuffix(unit).strip()
    try:
        value = Decimal(number)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or not 0 <= value <= _LARGEST:
        kind = "rate" if "/" in unit else "count"
        raise _none(f"{text[:40]!r} is no {kind} in {unit}", code, f"{unit}, as in {example}")
    return value


def _apart(teras: tuple[int, ...]) -> list[str]:
    decimals = 2
    while len({_scientific(one, decimals) for one in teras}) < len(set(teras)):
        decimals += 1
    return [_scientific(one, decimals) for one in teras]


def _scientific(tera: int, decimals: int = 2) -> str:
    if tera == 0:
        return "0"
    mantissa, _, exponent = f"{Decimal(tera) * FLOP_PER_TFLOP:.{decimals}e}".partition("e")
    digits = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{digits}e{int(exponent)}"
