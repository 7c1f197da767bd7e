"""Laws that can be checked from outside, by what hosts tell, what GPUs did and what is in store.

Law 1: no kernel runs beyond the lifetime of the last permit. 2: settled and outstanding stay below
the cap. 3: what GPUs did is in the books. 4: a host stays the same, its chain never goes back.
7: nothing that a gate was sent is forged. 8: who stands still says why. 9: what is acknowledged
stays so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from flopgate_proto.amounts import counted
from flopgate_sim.live.governor import DRIFT_PPM, Budget
from flopgate_sim.live.hosts import CHIPS, SAMPLE_INTERVAL_MS, HostView, Refused

PEAK_TFLOP_PER_S = 990
"""Of an H100, 16 bit, rounded up."""
SLACK_TFLOP = 2 * CHIPS * PEAK_TFLOP_PER_S * SAMPLE_INTERVAL_MS // 1000
"""What one host can do between two looks at its counters, twice over."""
EVIDENCE = {"ForgedError": "7", "HistoryError": "4"}
"""Errors that no honest governor causes, with the law."""


@dataclass(slots=True)
class _Host:
    """What was seen of one host."""

    view: HostView
    expires_ms: int = 0
    permits: int = 0
    gateless: bool = False


class Watch:
    """Remembers what was seen.

    Attributes:
        broken: a sentence for each breach, each law and host once.
        refused: what gates did not believe, by code.
    """

    def __init__(self, lifetime_ms: int) -> None:
        self.broken: dict[tuple[str, str], str] = {}
        self.refused: Counter[str] = Counter()
        self._drift_ms = -(-lifetime_ms * DRIFT_PPM // 10**6)
        self._hosts: dict[str, _Host] = {}

    @property
    def views(self) -> list[HostView]:
        """Every host as it was seen last."""
        return [host.view for host in self._hosts.values()]

    @property
    def permits(self) -> int:
        """Permits that were seen in force; one that came and went between two looks is missed."""
        return sum(host.permits for host in self._hosts.values())

    def look(self, views: Iterable[HostView]) -> None:
        """Check every host as it is now."""
        for view in views:
            host = self._hosts.setdefault(view.name, _Host(view))
            if view.expires_ms is not None and view.expires_ms > host.expires_ms:
                host.expires_ms = view.expires_ms
                host.permits += 1
            self._check(host.view, view, host)
            host.view = view

    def _check(self, before: HostView, now: HostView, host: _Host) -> None:
        name = now.name
        if not host.gateless and now.last_work_ms > host.expires_ms + self._drift_ms:
            late_ms = now.last_work_ms - host.expires_ms
            self._break("1", name, f"worked {late_ms} ms beyond its last permit")
        booked = now.allotted_tflop + now.unaccounted_tflop
        if now.truth_tflop > booked + SLACK_TFLOP:
            self._break("3", name, f"did {now.truth_tflop} TFLOP, {booked} are in its books")
        if now.sequence < before.sequence:
            self._break("4", name, f"its chain went from {before.sequence} to {now.sequence}")
        if now.host_id != before.host_id:
            self._break("4", name, "came back as another host")
        if now.sequence and not now.runs and not now.reason:
            self._break("8", name, f"is {now.state} and does not say why")
        if now.acknowledged < before.acknowledged:
            acknowledged = f"{counted(before.acknowledged, 'report')}, now {now.acknowledged}"
            self._break("9", name, f"was acknowledged {acknowledged}")

    def gates_killed(self, names: Iterable[str]) -> None:
        """Until ``gates_back`` no gate of these hosts can stop anything: that time is charged."""
        for name in names:
            self._hosts[name].gateless = True

    def gates_back(self, now_ms: int) -> None:
        """From now on every host has a gate again."""
        for host in self._hosts.values():
            if host.gateless:
                host.gateless = False
                host.expires_ms = max(host.expires_ms, now_ms)

    def books(self, budget: Budget) -> None:
        """Check the governor's store."""
        granted = budget.settled_tflop + budget.outstanding_tflop
        if granted > budget.cap_tflop:
            self._break("2", "budget", f"{granted} of {budget.cap_tflop} TFLOP")

    def refusals(self, refused: Iterable[Refused]) -> None:
        """Count what gates did not believe since the last call."""
        for one in refused:
            self.refused[one.code] += 1
            if one.error in EVIDENCE:
                self._break(EVIDENCE[one.error], one.host, f"{one.code}: {one.detail}")

    def _break(self, law: str, subject: str, text: str) -> None:
        self.broken.setdefault((law, subject), f"law {law}: {subject} {text}")
