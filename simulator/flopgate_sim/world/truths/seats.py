"""Whose permission a host rightly does without: the judge's own count, from orders and answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from flopgate_proto.values.common import Standing
from flopgate_proto.values.orders import Seats

_RECIPIENT = Standing.RECIPIENT
_SLACK_PPM = 1_000
"""A gate counts its running time by a clock that drifts."""


@dataclass(slots=True)
class SeatTruth:
    """Of one host.

    Attributes:
        said: the newest order of seats of each authority that a quorum signed and the gate kept.
        heard_us: when the gate took the last signed word of each authority.
        back_us: when one that had rightly lost its say by its fallback was heard again.
        ever_out: who was ever rightly done without; the gate went beyond its ceilings meanwhile.
    """

    said: dict[str, Seats] = field(default_factory=dict)
    heard_us: dict[str, int] = field(default_factory=dict)
    back_us: int = 0
    ever_out: set[str] = field(default_factory=set)

    def order(self, seats: Seats) -> None:
        """The gate kept this order, which its authority's quorum signed."""
        self.said[seats.authority] = seats

    def heard(self, name: str, now_us: int) -> None:
        """The gate took an answer or admission of this authority."""
        if name in self.ever_out and self._silent(name, now_us):
            self.back_us = now_us
        self.heard_us[name] = now_us

    def needed(self, joined: Iterable[str], pausing: Collection[str], now_us: int) -> list[str]:
        """Authorities whose permission the host needs; ``pausing``: those whose pause stands."""
        names = list(joined)
        needed = [
            name
            for name in names
            if name in pausing
            or not self._silent(name, now_us)
            or not self._all_say(name, [other for other in names if other != name])
        ]
        if not needed:
            return names
        self.ever_out.update(set(names).difference(needed))
        return needed

    def _silent(self, name: str, now_us: int) -> bool:
        span_ms = self.said[name].fallback_ms if name in self.said else 0
        least_us = span_ms * (1_000_000 - _SLACK_PPM) // 1_000
        return bool(span_ms) and now_us - self.heard_us.get(name, now_us) >= least_us

    def _all_say(self, name: str, others: list[str]) -> bool:
        recipients = [
            {seat.authority for seat in self.said[other].seats if seat.standing is _RECIPIENT}
            for other in others
            if other in self.said
        ]
        return 0 < len(others) == sum(name in said for said in recipients)
