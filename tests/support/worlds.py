"""Stand-ins for the engine: functions of a module, as a pool needs them.

They run no world. What they give back is made from the job alone, so that equal jobs agree.
"""

import hashlib
import os
import random
import signal
import time

from flopgate_sim.campaign.outcome import (
    CAP,
    CAPACITY,
    CONSUMED,
    PERMITTED,
    Breach,
    Curve,
    Job,
    Mark,
    Outcome,
    Recording,
    Stop,
)

PLANNED_FAULTS = 40
GUILTY = frozenset({7, 31})
"""Faults that break law 2 together, in worlds that can be broken."""
END_S = 5400.0
TIMELINE = ("    1503.100 s  host-1           [fault] gate_crash", "    1503.120 s  LAW  2")


def outcome(
    job: Job, *, breach: Breach | None = None, recording: Recording | None = None
) -> Outcome:
    """One that ran: 2 host-hours in half a second of CPU."""
    faults = range(PLANNED_FAULTS) if job.fault_indices is None else job.fault_indices
    return Outcome(
        scenario=job.scenario,
        seed=job.seed,
        trace_digest=hashlib.sha256(f"{job.scenario} {job.seed}".encode()).hexdigest(),
        steps=1000 + job.seed,
        host_hours=2.0,
        cpu_s=0.5,
        breach=breach,
        faults=len(tuple(faults)),
        counts={"gate_crash": len(tuple(faults)), "grants": 12, "refusals": 1},
        timeline=TIMELINE,
        recording=recording if job.recording else None,
    )


def breach_of(law: int = 2, name: str = "the cap") -> Breach:
    """How a world of these is broken."""
    return Breach(
        law=law,
        law_name=name,
        detail="cluster:alpha: 11 settled and 2 outstanding, cap 12 TFLOP",
        at_ms=1_503_120,
        step=4711,
    )


def quiet(job: Job) -> Outcome:
    """Nothing breaks."""
    return outcome(job, recording=recording(job.seed))


def unhurried(job: Job) -> Outcome:
    """At most twenty a second, however fast the machine is."""
    time.sleep(0.05)
    return quiet(job)


def broken(job: Job) -> Outcome:
    """Every seventh seed breaks law 2, by the two guilty faults."""
    happened = range(PLANNED_FAULTS) if job.fault_indices is None else job.fault_indices
    guilty = job.seed % 7 == 0 and set(happened) >= GUILTY
    return outcome(job, breach=breach_of() if guilty else None, recording=recording(job.seed))


def dying(job: Job) -> Outcome:
    """Some seeds take their process with them, others raise."""
    if job.seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.seed == 5:
        raise MemoryError
    if job.seed == 6:
        raise ValueError("no [bold]such[/] thing\nsecond line")
    if job.seed == 9:
        os._exit(4)
    return quiet(job)


def failing(job: Job) -> Outcome:
    """Nothing runs here."""
    raise OSError(f"the engine is not there for seed {job.seed}")


def slow(job: Job) -> Outcome:
    """Seed 2 takes for ever, the others 50 ms."""
    time.sleep(600 if job.seed == 2 else 0.05)
    return quiet(job)


def drifting(job: Job) -> Outcome:
    """No two runs are the same."""
    one = quiet(job)
    return Outcome(
        **{name: getattr(one, name) for name in Outcome.__slots__ if name != "trace_digest"},
        trace_digest=os.urandom(32).hex(),
    )


def recording(seed: int) -> Recording:
    """An hour and a half of sixteen hosts: two pauses, a resume, a few faults."""
    source = random.Random(seed)
    peak = 16 * 8 * 1.9789e15
    running = [(0.0, 0.0), (4.0, 0.25), (6.0, 1.0), (905.0, 0.9), (1022.0, 0.75), (2401.0, 0.2)]
    running += [(2404.0, 0.06), (2870.0, 0.0), (3902.0, 0.5), (3904.0, 1.0)]
    consumed, total, at_s = [(0.0, 0.0)], 0.0, 0.0
    while at_s < END_S:
        share = [part for since_s, part in running if since_s <= at_s][-1]
        total += share * peak * 0.4 * 30
        at_s += 30.0
        consumed.append((at_s, total))
    permits = [(0.0, 0.0)]
    for number in range(400):
        at_s = 5.0 + number * 13.4
        held = 16 if at_s < 2400 or at_s > 3900 else max(0, 16 - int((at_s - 2400) / 30))
        permits.append((at_s, float(held - source.randrange(2) * (held > 1))))
    marks = [
        Mark(at_s=900.0, kind="pause", text="pause of workload:serving"),
        Mark(at_s=2400.0, kind="pause", text="emergency of everything"),
        Mark(at_s=3900.0, kind="resume", text="resume of both"),
        Mark(at_s=2390.0, kind="fault", text="partition of host-0 for 900 s"),
    ]
    for number in range(seed % 30):
        at_s = round(source.uniform(0, END_S), 3)
        marks.append(Mark(at_s=at_s, kind="fault", text=f"gate_crash of host-{number % 16}"))
        marks.append(Mark(at_s=at_s + 9, kind="joins", text=f"gate of host-{number % 16}"))
    marks += [
        Mark(at_s=at_s, kind="stop", text=f"the last host stands after {text}")
        for at_s, text in ((1025.3, "pause of workload:serving"), (2869.4, "emergency"))
    ]
    return Recording(
        end_s=END_S,
        curves=(
            Curve(name=CAPACITY, unit="FLOP/s", points=tuple((at, p * peak) for at, p in running)),
            Curve(name=PERMITTED, unit="hosts", points=tuple(permits)),
            Curve(name=CONSUMED, unit="FLOP", points=tuple(consumed)),
            Curve(name=CAP, unit="FLOP", points=((0.0, 4e20), (3000.0, 6e20))),
        ),
        marks=tuple(sorted(marks, key=lambda mark: mark.at_s)),
        stops=(
            Stop(
                text="pause of workload:serving",
                at_s=900.0,
                hosts=4,
                still=4,
                first_s=120.2,
                median_s=121.9,
                last_s=125.3,
            ),
            Stop(
                text="emergency of everything",
                at_s=2400.0,
                hosts=12,
                still=12,
                first_s=0.8,
                median_s=1.7,
                last_s=469.4,
            ),
        ),
    )
