"""One rehearsal: plays faults on a running cluster and measures what follows."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from flopgate_proto.amounts import counted, flop_text
from flopgate_sim.live.cluster import Cluster
from flopgate_sim.live.faults import Fault, Kind
from flopgate_sim.live.governor import DRIFT_PPM, Governor, tolerated_ms
from flopgate_sim.live.hosts import SAMPLE_INTERVAL_MS, FleetProcess, HostView
from flopgate_sim.live.line import Line
from flopgate_sim.live.network import Network
from flopgate_sim.live.processes import POLL_S, WAIT_S, elapsed_ms
from flopgate_sim.live.telling import Teller, spread
from flopgate_sim.live.watch import Watch

CAP_TFLOP: Final = 10**12
METER_ERROR_MAX: Final = 0.01


class Rehearsal:
    """Everything that takes part; ``times`` are the policy's."""

    def __init__(
        self,
        *,
        governor: Governor,
        racks: Sequence[FleetProcess],
        network: Network,
        teller: Teller,
        line: Line,
        times: Mapping[str, int],
    ) -> None:
        self.watch = Watch(times["lifetime_ms"])
        self.faults: Counter[Kind] = Counter()
        self.longest_ms: int | None = None
        self._governor = governor
        self._racks = racks
        self._network = network
        self._teller = teller
        self._line = line
        self._times = times
        self._cluster = Cluster(racks, self._tick)
        self._started_s = time.monotonic()
        self._stopped: set[str] = set()

    @property
    def size(self) -> int:
        """Hosts in all."""
        return self._cluster.size

    @property
    def held(self) -> bool:
        """Whether every law held, and everything that was expected came."""
        return self._teller.all_held and not self.watch.broken

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._started_s

    @property
    def _lifetime_ms(self) -> int:
        return self._times["lifetime_ms"]

    # ------------------------------------------------------------------ time passes

    def _tick(self) -> None:
        views = self._cluster.views()
        self.watch.look(views)
        self._stopped |= {view.name for view in views if not view.runs}
        for rack in self._racks:
            refused, rack.refused = rack.refused, []
            self.watch.refusals(refused)
        if self._line.due:
            self._line.show(self._standing(views))

    def _standing(self, views: Sequence[HostView]) -> str:
        minutes, seconds = divmod(int(self.seconds), 60)
        running = sum(view.runs for view in views)
        seen = self.watch.views
        reports = sum(view.acknowledged for view in seen)
        flop = flop_text(sum(view.metered_tflop for view in seen))
        broken = f"  LAWS BROKEN {len(self.watch.broken)}" if self.watch.broken else ""
        said, given = counted(reports, "report"), counted(self.watch.permits, "permit")
        return (
            f"   {minutes}:{seconds:02d}  {running} of {self.size} run  {said}  {given}"
            f"  {flop}{broken}"
        )

    def rest(self, seconds: float) -> None:
        """Let time pass, and watch.

        Raises:
            RehearsalError: a process has ended by itself.
        """
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._cluster.check()
            self._tick()
            time.sleep(POLL_S)

    def _all_run(self) -> float:
        return self._cluster.wait("every host to run", lambda view: view.runs)

    def begin(self) -> None:
        """Wait until every host is admitted, then grant.

        Raises:
            RehearsalError: a host is not admitted, or does not run.
        """
        self._cluster.wait("every host to enrol", lambda view: view.sequence > 0)
        self._teller.say(f"{counted(self.size, 'host')} admitted; officers sign a budget.")
        self._governor.apply(CAP_TFLOP)
        seconds = self._all_run()
        self._teller.say(f"all run {seconds:.1f} s later.")

    def check_books(self) -> None:
        """Ask the governor for its books (law 2)."""
        self.watch.books(self._governor.budget())

    # ------------------------------------------------------------------ faults

    def play(self, fault: Fault) -> None:
        """Do it, wait for what must follow, mend it, and wait until all run again.

        Raises:
            RehearsalError: what must follow does not.
        """
        self.rest(fault.calm_s)
        hit = {view.name for rack in fault.racks for view in self._racks[rack].views()}
        self._teller.scene(fault.title)
        self._teller.say(f"expected: {fault.expected(len(hit), self._lifetime_ms / 1000)}")
        self.faults[fault.kind] += 1
        self._stopped.clear()
        match fault.kind:
            case Kind.GOVERNOR_KILL:
                self._kill_governor()
            case Kind.HOST_KILL:
                self._kill_hosts(fault, hit)
            case Kind.LOSS:
                self._lose(fault)
            case _:
                self._cut(fault, hit)
        self.check_books()

    def _cut(self, fault: Fault, hit: set[str]) -> None:
        self._trouble(fault)
        cut_ms = elapsed_ms()
        self._cluster.wait(
            "standstill",
            lambda view: view.halted or view.name not in hit,
            timeout_s=self._lifetime_ms / 1000 + WAIT_S,
        )
        views = [view for view in self._cluster.views() if view.name in hit]
        times_ms = [max(0, view.last_work_ms - cut_ms) for view in views]
        last_ms = max(times_ms)
        self.longest_ms = max(last_ms, self.longest_ms or 0)
        self._teller.check(
            f"{counted(len(views), 'host')} stopped without being told, as their GPUs show",
            spread(times_ms),
            held=last_ms * 10**6 <= self._lifetime_ms * (10**6 + DRIFT_PPM),
            law="1",
        )
        others = self._stopped - hit
        if self.size > len(hit):
            whole = self.size - len(hit)
            self._teller.check(
                "the others run on", f"{whole - len(others)} of {whole}", held=not others
            )
        self._heal(fault)

    def _lose(self, fault: Fault) -> None:
        before = self.watch.permits
        self._trouble(fault)
        self.rest(self._lifetime_ms / 1000)
        self._teller.say(
            f"{counted(self.watch.permits - before, 'permit')} got through,"
            f" {counted(len(self._stopped), 'host')} stopped by themselves."
        )
        self._heal(fault)

    def _trouble(self, fault: Fault) -> None:
        for rack in fault.racks:
            if fault.trouble is not None:
                self._network.trouble(rack, fault.trouble)

    def _heal(self, fault: Fault) -> None:
        lost = sum(self._network.heal(rack) for rack in fault.racks)
        packets = f" after {counted(lost, 'lost packet')}" if lost else ""
        self._teller.say(f"mended{packets}: all run {self._all_run():.1f} s later, by themselves.")

    def _kill_governor(self) -> None:
        acknowledged = {view.host_id: view.acknowledged for view in self._cluster.views()}
        self._governor.kill()
        killed_ms = elapsed_ms()
        self._governor.start()
        away_ms = elapsed_ms() - killed_ms
        known = self._governor.sequences()
        lost = [host for host, count in acknowledged.items() if known.get(host, 0) < count]
        self._teller.check(
            "every acknowledged report is in the store of the restarted governor",
            f"{len(lost)} of {self.size} hosts lost any; back in {away_ms / 1000:.1f} s",
            held=not lost,
            law="9",
        )
        self._cluster.wait(
            "permits asked for after its return",
            lambda view: (view.expires_ms or 0) - self._lifetime_ms > killed_ms + away_ms,
            timeout_s=self._lifetime_ms / 1000 + WAIT_S,
        )
        borne_ms = tolerated_ms(self._times)
        self._teller.check(
            "no host stops",
            f"{len(self._stopped)} stopped; "
            f"hosts outlast {borne_ms / 1000:.1f} s without a governor",
            held=not self._stopped or away_ms > borne_ms,
        )
        self._all_run()

    def _kill_hosts(self, fault: Fault, hit: set[str]) -> None:
        racks = [self._racks[rack] for rack in fault.racks]
        before = {view.name: view for view in self._cluster.views() if view.name in hit}
        self.watch.gates_killed(hit)
        for rack in racks:
            rack.kill()
        killed_ms = elapsed_ms()
        for rack in racks:
            rack.restart()
        self._all_run()
        self.watch.gates_back(elapsed_ms())
        after = {view.name: view for view in self._cluster.views() if view.name in hit}
        gone = [
            name
            for name, view in before.items()
            if after[name].host_id != view.host_id or after[name].sequence <= view.sequence
        ]
        self._teller.check(
            f"{counted(len(hit), 'host')} went on with their chains",
            f"{len(hit) - len(gone)}; all run {(elapsed_ms() - killed_ms) / 1000:.1f} s later",
            held=not gone,
            law="4",
        )
        growth = sum(
            view.unaccounted_tflop - before[name].unaccounted_tflop for name, view in after.items()
        )
        self._teller.say(f"{flop_text(growth)} done without a gate went to the unaccounted book.")

    # ------------------------------------------------------------------ the end

    def finish(self) -> None:
        """Compare what gates metered with what GPUs did, once every gate has looked."""
        self.rest(2 * SAMPLE_INTERVAL_MS / 1000)
        metered, truth = self._flop()
        error = metered / truth - 1 if truth else 0.0
        self._teller.scene("The books")
        self._teller.check(
            "FLOP metered against FLOP done",
            f"{flop_text(metered)} against {flop_text(truth)}, {error:+.2%}",
            held=error >= -METER_ERROR_MAX,
            law="3",
        )

    def _flop(self) -> tuple[int, int]:
        views = self.watch.views
        return sum(view.metered_tflop for view in views), sum(view.truth_tflop for view in views)

    def rows(self) -> list[tuple[str, str]]:
        """What the closing table says."""
        metered, truth = self._flop()
        acknowledged = sum(view.acknowledged for view in self.watch.views)
        faults = ", ".join(f"{kind.value} {count}" for kind, count in self.faults.items())
        longest = "no cut" if self.longest_ms is None else f"{self.longest_ms / 1000:.2f} s"
        refused = ", ".join(f"{code} {count}" for code, count in self.watch.refused.items())
        return [
            ("hosts", str(self.size)),
            ("time", f"{self.seconds:.0f} s"),
            ("reports acknowledged", str(acknowledged)),
            ("permits", str(self.watch.permits)),
            ("faults", faults or "none"),
            ("longest time to standstill after a cut", longest),
            ("lifetime of a permit", f"{self._lifetime_ms / 1000:.0f} s"),
            ("FLOP metered against FLOP done", f"{flop_text(metered)} against {flop_text(truth)}"),
            ("what gates were sent and did not take", refused or "nothing"),
        ]
