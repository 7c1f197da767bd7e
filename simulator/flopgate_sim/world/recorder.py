"""Curves, marks and stop times of one world, for people to look at.

It only reads: a world with a recorder goes its way as one without, to the last bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from flopgate_agent.gate.lanes.states import MAY_COMPUTE
from flopgate_sim.campaign.outcome import (
    CAP,
    CAPACITY,
    CONSUMED,
    PERMITTED,
    Curve,
    Mark,
    Recording,
    Stop,
)
from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_S
from flopgate_sim.world.plan import Act
from flopgate_sim.world.world import World

LOOKS = 720
"""Points of each curve at most, but for the last."""
FLOP_PER_TFLOP = 1e12


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A pause, and the hosts that computed under its scope when it was ordered.

    Attributes:
        chips: by host name: those under the scope.
        stopped_s: by host name: from the order to its last work.
    """

    act: Act
    at_us: int
    chips: dict[str, frozenset[int]]
    stopped_s: dict[str, float] = field(default_factory=dict)
    standing: bool = True


class Recorder:
    """Looks at a world in a steady rhythm and keeps what it sees."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._curves: dict[str, list[tuple[float, float]]] = {
            name: [] for name in (CAPACITY, PERMITTED, CONSUMED, CAP)
        }
        self._marks: list[Mark] = []
        self._pauses: list[_Watched] = []
        self._booked: dict[str, int] = {}
        world.watch(self._act, self._mark)
        every_us = max(US_PER_S, world.plan.duration_ms * 1000 // LOOKS)
        world.engine.observe(every_us, self._look)

    def _look(self) -> None:
        running = permitted = 0
        for host in self._world.hosts:
            running += len(host.computing) * host.plan.spec.peak_8bit_up_flop_per_s
            if host.runner is not None:
                lanes = host.runner.core.lanes.values()
                permitted += any(lane.state in MAY_COMPUTE for lane in lanes)
                booked = sum(
                    lane.book.allotted_tflop + lane.book.unaccounted_tflop for lane in lanes
                )
                # A gate that is down, or starts anew, has not forgotten what it booked.
                self._booked[host.name] = max(booked, self._booked.get(host.name, 0))
        caps = self._world.governors[0].truth.caps_tflop
        cap = sum(value for scope, value in caps.items() if scope.startswith("cluster:"))
        self._point(CAPACITY, float(running))
        self._point(PERMITTED, float(permitted))
        self._point(CONSUMED, sum(self._booked.values()) * FLOP_PER_TFLOP)
        self._point(CAP, cap * FLOP_PER_TFLOP)
        for pause in self._pauses:
            if pause.standing:
                self._look_for_stops(pause)

    def _point(self, name: str, value: float) -> None:
        points = self._curves[name]
        if not points or points[-1][1] != value:
            points.append((self._world.engine.now_us / US_PER_S, value))

    def _look_for_stops(self, pause: _Watched) -> None:
        for host in self._world.hosts:
            chips = pause.chips.get(host.name)
            if chips is None or host.name in pause.stopped_s or host.computing & chips:
                continue
            # The chips tell of their last work once somebody has looked at them since.
            if host.hardware.now_us < host.ended_us(chips):
                continue
            last_us = max(host.hardware.chips[index].last_work_us for index in chips)
            pause.stopped_s[host.name] = max(0, last_us - pause.at_us) / US_PER_S
        if len(pause.stopped_s) == len(pause.chips) and pause.chips:
            pause.standing = False
            last_s = max(pause.stopped_s.values())
            text = f"the last of {len(pause.chips)} hosts stands after {_words(pause.act)}"
            at_s = pause.at_us / US_PER_S + last_s
            self._marks.append(Mark(at_s=at_s, kind="stop", text=text))

    def _act(self, act: Act) -> None:
        at_us = self._world.engine.now_us
        resume = act.act.startswith("resume")
        self._mark("resume" if resume else "pause" if _pauses(act) else act.act, _words(act))
        if resume:
            for pause in self._pauses:
                if pause.standing and pause.act.authority == act.authority:
                    self._look_for_stops(pause)
                    pause.standing = False
        elif _pauses(act):
            under = {host.name: _under(host, act.scope) for host in self._world.hosts}
            chips = {name: found for name, found in under.items() if found}
            self._pauses.append(_Watched(act=act, at_us=at_us, chips=chips))

    def _mark(self, kind: str, text: str) -> None:
        at_s = self._world.engine.now_us / US_PER_S
        self._marks.append(Mark(at_s=at_s, kind=kind, text=text))

    def recording(self) -> Recording:
        """What was seen, up to now."""
        self._look()
        units = {CAPACITY: "FLOP/s", PERMITTED: "hosts", CONSUMED: "FLOP", CAP: "FLOP"}
        return Recording(
            end_s=self._world.engine.now_us / US_PER_S,
            curves=tuple(
                Curve(name=name, unit=units[name], points=tuple(points))
                for name, points in self._curves.items()
            ),
            marks=tuple(sorted(self._marks, key=lambda mark: mark.at_s)),
            stops=tuple(map(_stop, self._pauses)),
        )


def _pauses(act: Act) -> bool:
    return act.act in {"pause", "emergency"}


def _words(act: Act) -> str:
    return f"{act.act} of all that stands" if act.act == "resume" else f"{act.act} of {act.scope}"


def _under(host: Host, scope: str) -> frozenset[int]:
    """Chips of a host that compute under a scope."""
    plan = host.plan
    lanes = (lane for lane in plan.lanes if scope in plan.scopes_of(lane.workload))
    return host.computing & frozenset(chip for lane in lanes for chip in lane.chips)


def _stop(pause: _Watched) -> Stop:
    times_s = sorted(pause.stopped_s.values())
    return Stop(
        at_s=pause.at_us / US_PER_S,
        text=_words(pause.act),
        hosts=len(pause.chips),
        still=len(times_s),
        first_s=times_s[0] if times_s else None,
        median_s=median(times_s) if times_s else None,
        last_s=times_s[-1] if times_s else None,
    )
