"""Runs one world of a scenario: what a campaign's processes call."""

from __future__ import annotations

import gc
import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from flopgate_proto.errors import ConfigError
from flopgate_sim.campaign.outcome import Breach, Job, Outcome
from flopgate_sim.disk import DiskLayer
from flopgate_sim.scenario import find
from flopgate_sim.world.from_scenario import plan_of
from flopgate_sim.world.nature.signatures import scheme
from flopgate_sim.world.plan import WorldPlan
from flopgate_sim.world.recorder import Recorder
from flopgate_sim.world.world import World


def run_job(job: Job) -> Outcome:
    """Run a scenario for one seed, to its end or to the first law that is broken."""
    plan = plan_of(find(job.scenario), job.seed)
    if job.fault_indices is not None:
        if any(index >= len(plan.faults) for index in job.fault_indices):
            raise ConfigError(
                f"seed {job.seed} of {job.scenario} has {len(plan.faults)} faults, counted from 0",
                code="sim.faults",
                remedy="Name indices below that; --shrink prints those of a breach.",
            )
        plan = replace(plan, faults=tuple(plan.faults[index] for index in job.fault_indices))
    return run_plan(plan, job)


@contextmanager
def _calm() -> Iterator[None]:
    """No log lines of a thousand gates, and no collector until the world is over.

    A world keeps what it makes and leaves few cycles: measured, one of 128 hosts for an hour grows
    no larger without the collector, which took a twentieth of its time however seldom it came.
    """
    log, collects = logging.getLogger("flopgate"), gc.isenabled()
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    # What was there before is none of this world's: nobody looks through it at its end.
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        # Seldomer, over several worlds, it costs as much and takes half as much memory again.
        gc.collect()
        gc.unfreeze()
        if collects:
            gc.enable()
        log.setLevel(level)


def run_plan(plan: WorldPlan, job: Job) -> Outcome:
    """Run any plan; ``job`` says with which seed and signatures."""
    started_s = time.process_time()
    with _calm():
        done = _run(plan, job)
    # With what it takes to put the world away.
    return replace(done, cpu_s=time.process_time() - started_s)


def _run(plan: WorldPlan, job: Job) -> Outcome:
    with (
        scheme(job.signatures),
        tempfile.TemporaryDirectory(prefix="flopgate-sim-") as folder,
        DiskLayer(Path(folder)) as disks,
    ):
        world = World(plan, job.seed, disks)
        recorder = Recorder(world) if job.recording else None
        recording = None
        try:
            world.run()
            recording = None if recorder is None else recorder.recording()
        finally:
            timeline, digest = world.engine.timeline, world.engine.trace_digest
            world.close()
        return Outcome(
            scenario=job.scenario,
            seed=job.seed,
            trace_digest=digest,
            steps=world.engine.steps,
            host_hours=len(world.hosts) * world.engine.now_us / 3.6e9,
            cpu_s=0.0,
            faults=len(plan.faults),
            breach=_breach(world),
            counts=_counts(world),
            timeline=timeline,
            recording=recording,
        )


def _breach(world: World) -> Breach | None:
    broken = world.broken
    if broken is None:
        return None
    return Breach(
        law=broken.law.number,
        law_name=broken.law.name,
        detail=broken.detail,
        at_ms=broken.at_us // 1000,
        step=broken.step,
    )


def _counts(world: World) -> dict[str, int]:
    truths = [governor.truth for governor in world.governors]
    return world.counts | {
        "reports": sum(truth.reports for truth in truths),
        "grants": sum(truth.grants for truth in truths),
        "refusals": sum(truth.refusals for truth in truths),
        "commits": sum(truth.commits for truth in truths),
        "governor starts": sum(truth.starts for truth in truths),
        "looks that law 3 does not judge": sum(one.truth.excused_looks for one in world.hosts),
        "governors that never made good a restore": sum(truth.forgetful for truth in truths),
    }
