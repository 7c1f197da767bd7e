"""Curves and marks of one world, for people to look at."""

from __future__ import annotations

from statistics import median

from flopgate_agent.gate.states import MAY_COMPUTE
from flopgate_sim.campaign.outcome import Curve, Mark, Recording, Stop
from flopgate_sim.world.engine import US_PER_S
from flopgate_sim.world.plan import Act
from flopgate_sim.world.world import World

LOOKS = 720
"""Points of each curve at most."""
WATCHED_S = 3600
"""After a pause hosts are watched for so long."""


class Recorder:
    """Looks at a world in a steady rhythm and keeps what it sees."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._every_us = max(US_PER_S, world.plan.duration_ms * 1000 // LOOKS)
        self._capacity: list[tuple[float, float]] = []
        self._permits: list[tuple[float, float]] = []
        self._spent: list[tuple[float, float]] = []
        self._cap: list[tuple[float, float]] = []
        self._marks: list[Mark] = []
        self._pauses: list[tuple[float, str, dict[str, float]]] = []
        self._stops: list[tuple[float, str, dict[str, float]]] = []
        world.watch(self._act, self._mark)
        world.engine.at(0, "recorder", self._look)

    def _look(self) -> None:
        world, at_s = self._world, self._world.engine.now_us / US_PER_S
        running = permits = spent = 0
        for host in world.hosts:
            host.hardware.advance(world.engine.now_us)
            computing = host.computing_chips
            running += computing * host.plan.spec.peak_8bit_up_flop_per_s
            if host.runner is not None:
                lanes = host.runner.core.lanes.values()
                permits += any(lane.state in MAY_COMPUTE for lane in lanes)
                spent += sum(
                    lane.book.allotted_tflop + lane.book.unaccounted_tflop for lane in lanes
                )
        self._capacity.append((at_s, float(running)))
        self._permits.append((at_s, float(permits)))
        self._spent.append((at_s, float(spent)))
        caps = world.governors[0].truth.caps_tflop
        self._cap.append((at_s, float(sum(v for k, v in caps.items() if k.startswith("cluster:")))))
        self._note_stops(at_s)
        world.engine.after(self._every_us, "recorder", self._look)

    def _note_stops(self, at_s: float) -> None:
        for since_s, _, stopped in self._pauses:
            for host in self._world.hosts:
                if host.name not in stopped and not host.computing_chips:
                    last_s = max(chip.last_work_us for chip in host.hardware.chips) / US_PER_S
                    stopped[host.name] = max(0.0, last_s - since_s)
        self._pauses = [one for one in self._pauses if at_s - one[0] < WATCHED_S]

    def _act(self, act: Act) -> None:
        at_s = self._world.engine.now_us / US_PER_S
        kind = "resume" if act.act.startswith("resume") else "pause"
        self._marks.append(Mark(at_s=at_s, kind=kind, text=f"{act.act} {act.scope}"))
        if act.act in {"pause", "emergency"}:
            still = {host.name: 0.0 for host in self._world.hosts if not host.computing_chips}
            self._pauses.append((at_s, act.scope, dict.fromkeys(still, -1.0)))
            self._stops.append(self._pauses[-1])

    def _mark(self, kind: str, text: str) -> None:
        at_s = self._world.engine.now_us / US_PER_S
        self._marks.append(Mark(at_s=at_s, kind=kind, text=text))

    def recording(self) -> Recording:
        """What was seen."""
        stops = []
        for at_s, scope, stopped in self._stops:
            times = sorted(value for value in stopped.values() if value >= 0)
            if times:
                stops.append(
                    Stop(
                        at_s=at_s,
                        text=scope,
                        hosts=len(times),
                        first_s=times[0],
                        median_s=median(times),
                        last_s=times[-1],
                    )
                )
        curves = (
            Curve(name="capacity running", unit="FLOP/s", points=tuple(self._capacity)),
            Curve(name="hosts with permission", unit="hosts", points=tuple(self._permits)),
            Curve(name="FLOP consumed", unit="TFLOP", points=tuple(self._spent)),
            Curve(name="cap", unit="TFLOP", points=tuple(self._cap)),
        )
        return Recording(curves=curves, marks=tuple(self._marks), stops=tuple(stops))
