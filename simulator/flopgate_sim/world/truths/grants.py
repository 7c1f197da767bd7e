"""Ceilings that left authorities, and how far they reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flopgate_sim.world.truths.licenses import LicenseTruth


@dataclass(slots=True, kw_only=True)
class GrantTruth:
    """What left a governor, for the request of the report with ``sequence``.

    ``told_tflop``: a ceiling, or by ``reserve`` an amount on top of all ceilings. ``request``: of a
    license, which no newer grant ends; empty for a permit.
    """

    authority: str
    sequence: int
    workload: str
    told_tflop: int
    until_us: int
    request: bytes = b""
    reserve: bool = False


def reach_tflop(grants: Iterable[GrantTruth], licenses: LicenseTruth, allotted_tflop: int) -> int:
    """Highest total of a lane by these grants: the highest ceiling, and reserves on top."""
    highest_tflop, beside_tflop = allotted_tflop, 0
    for one in grants:
        if one.reserve:
            drawn_tflop = licenses.drawn_tflop(one.authority, one.request, one.workload)
            beside_tflop += max(0, one.told_tflop - drawn_tflop)
        else:
            highest_tflop = max(highest_tflop, one.told_tflop)
    return highest_tflop + beside_tflop
