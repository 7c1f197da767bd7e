"""The scenes. Each does one thing, waits for what must follow, and checks it by the hardware."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flopgate_proto.amounts import counted, flop_text
from flopgate_sim.demo.real_host import RealHost
from flopgate_sim.live.cluster import Cluster
from flopgate_sim.live.governor import Governor, tolerated_ms
from flopgate_sim.live.hosts import FleetProcess, HostView
from flopgate_sim.live.network import Network, Trouble
from flopgate_sim.live.processes import RehearsalError, elapsed_ms, wait_until
from flopgate_sim.live.telling import Teller, spread

CAP_TFLOP = 10**12
RUN_S = 4.0
METER_ERROR_MAX = 0.01
SETTLE_MS = 1500
"""Hosts tell of themselves every half second, real ones every second."""
SPENT = "are spent already"
"""Words of `flopgate-governor policy apply` for a cap that is too low."""
LATE_MS = 10_000
"""How late a machine may be that others want, too: still well within the lifetime of a permit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """Everything that takes part; ``times`` are the policy's, the network has one cable."""

    governor: Governor
    cluster: Cluster
    reals: Sequence[RealHost]
    fleets: Sequence[FleetProcess]
    network: Network
    teller: Teller
    times: Mapping[str, int]

    def all_run(self) -> float:
        """Wait until every host runs."""
        return self.cluster.wait("every host to run", lambda view: view.runs)

    def all_halted(self, workload: str | None = None) -> float:
        """Wait until every host (of a workload) is verified to stand still."""
        return self.cluster.wait("standstill", lambda view: view.halted, workload)


def no_permit(play: Play) -> None:
    """Nothing was granted yet: nothing computes, and no job can begin to."""
    play.teller.scene("No permit: nothing computes")
    play.all_halted()
    asked = [real for real in play.reals if real.driver]
    for real in asked:
        # Another process sets the mode; the gate waits for nothing of it.
        wait_until("the driver to refuse jobs", real.refuses_jobs)
    given = [real for real in asked if real.start_job()]
    if asked:
        play.teller.check(
            "the driver gives a job that starts now no context",
            f"{len(asked) - len(given)} of {len(asked)} jobs refused",
            held=not given,
            law="8",
        )
    before = {view.name: view.truth_tflop for view in play.cluster.views()}
    time.sleep(SETTLE_MS / 1000)
    views = play.cluster.views()
    moved = [view for view in views if view.truth_tflop != before[view.name]]
    reasons = sorted({view.reason for view in views})
    play.teller.check(
        f"{counted(len(views), 'host')} without permission stood still",
        f"{len(moved)} computed in {SETTLE_MS / 1000:.1f} s; reason given: {', '.join(reasons)}",
        held=not moved and all(view.reason for view in views),
        law="8",
    )


def permit(play: Play) -> None:
    """A quorum sets a budget; every host gets its permit and runs."""
    play.teller.scene("Two of three officers sign a budget: every host gets a permit and runs")
    started_ms = play.governor.apply(CAP_TFLOP)
    play.all_run()
    seconds = (elapsed_ms() - started_ms) / 1000
    play.teller.say(f"all run {seconds:.1f} s after the officers' command was entered (Enter)")
    for real in play.reals:
        if real.driver:
            # As a job's launcher would: the gate opens the chips a moment after it says so.
            wait_until("the driver to take jobs", real.start_job)
    time.sleep(RUN_S)


def pause(play: Play, scope: str, workload: str | None, reason: str) -> None:
    """One officer pauses; how long until the last host stands still, by the hardware."""
    wind_down_ms = play.times["wind_down_ms"]
    play.teller.scene(f"One officer pauses {scope}")
    running = [view.name for view in play.cluster.of(workload) if view.runs]
    started_ms = play.governor.pause(scope, reason)
    sent_ms = elapsed_ms()
    play.all_halted(workload)
    paused = [view for view in play.cluster.of(workload) if view.name in running]
    times_ms = [max(0, view.last_work_ms - started_ms) for view in paused]
    bound_ms = sent_ms - started_ms + wind_down_ms + play.times["drain_ms"] + LATE_MS
    play.teller.check(
        f"{counted(len(paused), 'host')} stood still after Enter "
        f"(wind-down {wind_down_ms / 1000:.0f} s)",
        spread(times_ms),
        held=len(paused) == len(running)
        and max(times_ms, default=0) <= bound_ms
        and {view.reason for view in paused} <= {"pause.latched"},
        law="1, 6",
    )
    others = [view for view in play.cluster.views() if workload and view.workload != workload]
    if others:
        stopped = [view for view in others if not view.runs]
        why = ", ".join(sorted({view.reason or "no reason" for view in stopped}))
        play.teller.check(
            "every other workload goes on",
            f"{len(others) - len(stopped)} of {len(others)} hosts run"
            + (f"; stopped: {why}" if stopped else ""),
            held=not stopped,
        )


def metered(play: Play) -> None:
    """While all stands still: what the gates counted against what the hardware did."""
    told = {real.name: real.view().sequence for real in play.reals}
    wait_until(
        "reports that were made while all stood still",
        lambda: all(real.view().sequence > told[real.name] for real in play.reals),
    )
    for real in play.reals:
        if real.driver is None:
            tflop = real.view().metered_tflop
            what = "no truth to compare with on real GPUs"
            play.teller.say(f"{real.name}: {flop_text(tflop)} metered since it enrolled; {what}")
            continue
        view = real.view()
        error = view.metered_tflop / view.truth_tflop - 1 if view.truth_tflop else 1.0
        play.teller.check(
            f"{real.name}: FLOP metered against what the driver's GPUs did",
            f"{flop_text(view.metered_tflop)} against {flop_text(view.truth_tflop)}, {error:+.2%}",
            held=abs(error) <= METER_ERROR_MAX,
            law="3",
        )


def resume(play: Play) -> None:
    """A quorum lifts what was paused."""
    play.teller.scene("Two of three officers lift both pauses by their digests")
    started_ms = play.governor.resume()
    play.all_run()
    play.teller.say(f"all run again {(elapsed_ms() - started_ms) / 1000:.1f} s after Enter")


def crash(play: Play) -> None:
    """``kill -9`` of the governor: nothing acknowledged is lost, no job stops."""
    play.teller.scene("kill -9 of the governor in mid-work")
    acknowledged = {view.host_id: view.acknowledged for view in play.cluster.views()}
    stopped: list[HostView] = []
    play.governor.kill()
    killed_ms = elapsed_ms()
    play.governor.start()
    back_ms = elapsed_ms() - killed_ms
    stopped += [view for view in play.cluster.views() if not view.runs]
    known = play.governor.sequences()
    lost = [host for host, sequence in acknowledged.items() if known.get(host, 0) < sequence]
    play.teller.check(
        "every acknowledged report is in the store of the restarted governor",
        f"{len(lost)} of {len(acknowledged)} hosts lost any; back in {back_ms / 1000:.1f} s",
        held=not lost,
        law="9",
    )
    time.sleep(2)
    stopped += [view for view in play.cluster.views() if not view.runs]
    jobs = [real.name for real in play.reals if real.driver and not real.job_lives]
    borne_ms = tolerated_ms(play.times)
    play.teller.check(
        "no job stops for it",
        f"{counted(len({view.name for view in stopped}), 'host')} stopped, "
        f"{counted(len(jobs), 'job')} ended; "
        f"hosts outlast {borne_ms / 1000:.0f} s without a governor",
        held=not jobs and (not stopped or back_ms > borne_ms),
    )
    play.all_run()


def cut(play: Play) -> None:
    """The network is cut: every host stops by itself within its lifetime."""
    lifetime_ms = play.times["lifetime_ms"]
    play.teller.scene(f"The network is cut: permits live {lifetime_ms / 1000:.0f} s")
    play.network.trouble(0, Trouble.CUT)
    cut_ms = elapsed_ms()
    play.all_halted()
    views = play.cluster.views()
    times_ms = [view.last_work_ms - cut_ms for view in views]
    late = [view for view in views if view.last_work_ms > (view.expires_ms or cut_ms + lifetime_ms)]
    play.teller.check(
        f"{counted(len(views), 'host')} stopped by themselves, none after its permit's end",
        f"{spread(times_ms)} after the cut; {len(late)} late",
        held=not late and max(times_ms) <= lifetime_ms,
        law="1",
    )
    play.network.heal(0)
    seconds = play.all_run()
    play.teller.say(f"the cable is mended: all run again {seconds:.1f} s later, by themselves")


def spent(play: Play) -> None:
    """The budget is used up: refused, with the reason, and stopped."""
    play.teller.scene("The budget is used up")
    wait_until("a cap that is not spent before it is signed", lambda: _lowers(play))
    play.all_halted()
    reasons = sorted({view.reason for view in play.cluster.views()})
    play.teller.check(
        "every host is refused and stands still, with the reason",
        ", ".join(reasons),
        held=reasons == ["budget.spent"],
        law="2, 8",
    )


def _lowers(play: Play) -> bool:
    """Hosts compute while it is signed, and a cap below what is spent is refused."""
    budget = play.governor.budget()
    cap_tflop = budget.settled_tflop + budget.unaccounted_tflop + budget.outstanding_tflop // 3
    try:
        play.governor.apply(cap_tflop)
    except RehearsalError as error:
        if SPENT not in error.detail:
            raise
        return False
    play.teller.say(f"officers lower the cap below what is granted: {flop_text(cap_tflop)}")
    return True


def books(play: Play) -> None:
    """Gates and governor agree on what was spent."""
    play.teller.scene("The books")
    # What was used after the cap was lowered still had its grant: the cap of the day held it.
    time.sleep(SETTLE_MS / 1000)
    budget = play.governor.budget()
    settled, outstanding = budget.settled_tflop, budget.outstanding_tflop
    # A gate that only watches has books, too.
    everyone = [view for fleet in play.fleets for view in fleet.views()]
    everyone += [real.view() for real in play.reals]
    allotted = sum(view.allotted_tflop for view in everyone)
    play.teller.check(
        "settled and outstanding never pass the cap that granted them",
        f"{flop_text(settled)} + {flop_text(outstanding)} of the first cap, {flop_text(CAP_TFLOP)}",
        held=settled + outstanding <= CAP_TFLOP,
        law="2",
    )
    play.teller.check(
        "the gates' allotted books and the governor's settled book are one figure",
        f"{flop_text(allotted)} and {flop_text(settled)}",
        held=settled <= allotted <= settled + outstanding,
        law="2, 3",
    )
    refused = [line for fleet in play.fleets for line in fleet.refused]
    play.teller.check(
        "no gate refused an answer or order as false",
        f"{len(refused)} refused" + (f", as {refused[0]}" if refused else ""),
        held=not refused,
        law="7",
    )
