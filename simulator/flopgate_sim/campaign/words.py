"""Figures as people read them."""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = "-"


def clock(at_s: float) -> str:
    """World time in hours, minutes and seconds, as ``1:02:03.400``, after days if there are any."""
    total_ms = round(at_s * 1000)
    minutes, ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{hours}:{minutes:02}:{ms / 1000:06.3f}"
    return f"{days} d {text}" if days else text


def count(number: float, noun: str, plural: str = "") -> str:
    """``1 seed``, ``1,000 seeds``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def hours(number: float) -> str:
    """Three figures below a thousand, whole above."""
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"  # noqa: PLR2004


def speed(per_cpu_s: float | None) -> str:
    """Host-hours a second of CPU."""
    return UNKNOWN if per_cpu_s is None else f"{per_cpu_s:.3g}"
