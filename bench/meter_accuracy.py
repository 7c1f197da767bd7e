"""Known work against the meter: what was executed, what each source makes of it, and the error.

Runs GEMMs of every format, with and without tile waste, a memory-bound kernel, an idle phase and a
throttled one, beside a sampler that looks once a second as the gate does. On a real GPU where
PyTorch finds one (`--python` names an interpreter that has it), else on the fake driver.

Truth is executed FLOP, tile padding included. Exit status 1 when a truth lies outside low..high.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

# Scripts see their own folder only; the shared parts are a package beside them.
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import BenchError, machine, table
from bench.known_work import OWN_PYTHON, Done, FakeWorker, Phase, TorchWorker, Worker, has_torch
from flopgate_agent.counters.sample import ChipIdentity, ChipSample
from flopgate_agent.measured import Flop
from flopgate_agent.meter import spec_of
from flopgate_proto.values import CounterSource
from flopgate_sim.nvml import FakeDriver
from flopgate_sim.nvml.values import Format, Profile
from tests.support.sampler_host import Host, host, metered

LOOK_S = 1.0
ROUNDING = 1e-5
"""Counters are whole cycles, or whole microseconds."""
TERA = 10**12
TILE_WASTE = 4104
"""A little more than 32 tiles of 128: PyTorch wants multiples of 8."""
FORMATS: tuple[Format, ...] = ("fp64", "fp32", "tf32", "fp16", "bf16", "fp8", "int8")
LACKS: dict[Profile, frozenset[Format]] = {
    "V100": frozenset({"tf32", "bf16", "fp8", "int8", "fp64"}),
    "A100": frozenset({"fp8"}),
    "RTX4090": frozenset({"fp64"}),
}
HOPPER: tuple[Profile, ...] = ("H100", "H200", "B200")
SOURCES = {
    CounterSource.GPM_CYCLES: "cycles",
    CounterSource.GPM_PERCENT: "percentages",
    CounterSource.KERNEL_ACTIVE_CLOCK: "kernel-active time",
    CounterSource.PEAK_TIME: "peak x time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One phase by one source."""

    phase: Phase
    source: str
    done: Done
    flop: Flop

    @property
    def inside(self) -> bool:
        """Truth within low..high, but for the rounding of counters."""
        truth = self.done.executed_flop
        return self.flop.low <= truth * (1 + ROUNDING) and truth <= self.flop.high * (1 + ROUNDING)

    def cells(self) -> list[str]:
        """A line of the table; FLOP in units of 10^12."""
        truth, useful = self.done.executed_flop, self.done.useful_flop
        low, nominal, high = (
            f"{flop / TERA:,.2f}" for flop in (self.flop.low, self.flop.nominal, self.flop.high)
        )
        error = f"{(self.flop.nominal / truth - 1):+.2%}" if truth else ""
        share = f"{useful / truth:.1%}" if truth else ""
        inside = "yes" if self.inside else "NO"
        done = [self.phase.name, self.source, f"{truth / TERA:,.2f}", share]
        return [*done, low, nominal, high, error, inside]


def phases(lacking: frozenset[Format] = frozenset()) -> list[Phase]:
    """Everything that is run, in order."""
    listed = [Phase(name="idle", kind="idle")]
    listed += [Phase(name=fmt, fmt=fmt) for fmt in FORMATS if fmt not in lacking]
    waste = TILE_WASTE
    listed.append(Phase(name=f"fp16, {waste} x {waste}", m=waste, n=waste, k=4096))
    if "fp8" not in lacking:
        listed.append(
            Phase(name=f"fp8, {waste} x {waste}", fmt="fp8", m=waste + 8, n=waste + 8, k=4096)
        )
    listed.append(Phase(name="fp16, throttled", throttled=True))
    listed.append(Phase(name="memory-bound additions", kind="memory", m=16384, n=16384))
    return listed


def run_phase(loop: Host, worker: Worker, phase: Phase, seconds: float) -> list[Row]:
    """One phase on every chip that works, by every source that its samples carry."""
    cannot = worker.prepare(phase)
    if cannot:
        print(f"  {phase.name}: not run ({cannot})", flush=True)
        return []
    time.sleep(LOOK_S)
    loop.look()
    loop.seen[:] = loop.seen[-1:]
    worker.begin(phase)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(LOOK_S)
        loop.look()
    done = worker.end()
    loop.look()
    rows = []
    for uuid, what in done.items():
        samples = [next(one for one in look if one.uuid == uuid) for look in loop.seen]
        rows += by_source(phase, what, samples, loop.chips[uuid])
    print(f"  {phase.name}: done{_note(done)}", flush=True)
    return rows


def by_source(
    phase: Phase, done: Done, samples: Sequence[ChipSample], chip: ChipIdentity
) -> list[Row]:
    """What the meter says, and what it would say if the better counters were missing."""
    without_gpm = [replace(one, cycles=None, shares=None) for one in samples]
    bare = [replace(one, kernel_active_ms=None) for one in without_gpm]
    rows: dict[str, Row] = {}
    for given in (samples, without_gpm, bare):
        parts = metered(given, spec_of(chip))
        (source, *others) = {part.source for part in parts}
        if others:
            raise BenchError(f"{phase.name}: the source changed while it was measured")
        flop = sum((part.total for part in parts), Flop())
        row = Row(phase=phase, source=SOURCES[source], done=done, flop=flop)
        rows.setdefault(row.source, row)
    return list(rows.values())


def _note(done: dict[str, Done]) -> str:
    notes = [one.note for one in done.values() if one.note]
    return f" ({notes[0]})" if notes else ""


def report(title: str, rows: Sequence[Row]) -> bool:
    """Print the table; whether every truth lay inside."""
    # Chips of one source show the same but for their clocks: one line for each source.
    once = {(row.phase.name, row.source): row for row in reversed(rows)}
    figures = ["true TFLOP", "useful", "low", "nominal", "high", "nominal error", "inside"]
    table(title, ["phase", "source", *figures], [row.cells() for row in reversed(once.values())])
    return all(row.inside for row in rows)


def on_fake(profile: Profile, chosen: Sequence[str], seconds: float) -> bool:
    """A fake host of one chip, and of a second one with percentages alone where there is GPM."""
    gpus = 2 if profile in HOPPER else 1
    print(f"\n{profile}, fake driver", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with FakeDriver(directory, profile=profile, gpus=gpus) as driver:
            if gpus > 1:
                driver.set_gpm_percent_only(1)
            with host(driver) as loop:
                worker = FakeWorker(driver)
                rows = _run(loop, worker, phases(LACKS.get(profile, frozenset())), chosen, seconds)
    return report(f"{profile}, fake driver", rows)


def on_torch(python: str, throttle_mhz: int | None, chosen: Sequence[str], seconds: float) -> bool:
    """The first GPU of this machine."""
    worker = TorchWorker(python, throttle_mhz)
    try:
        with host(None) as loop:
            rows = _run(loop, worker, phases(), chosen, seconds)
            title = f"{worker.words}, driver {loop.driver_version}"
    finally:
        worker.close()
    return report(title, rows)


def _run(
    loop: Host, worker: Worker, listed: Sequence[Phase], chosen: Sequence[str], seconds: float
) -> list[Row]:
    wanted = [phase for phase in listed if not chosen or phase.name in chosen]
    # The first look at the utilisation buffer has no beginning.
    loop.look()
    return [row for phase in wanted for row in run_phase(loop, worker, phase, seconds)]


def main() -> int:
    """Run it all."""
    profiles: tuple[Profile, ...] = get_args(Profile)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each phase (%(default)s)")
    parser.add_argument(
        "--profile", action="append", choices=profiles, help="fake chips, all by default"
    )
    parser.add_argument("--phase", action="append", default=[], help="by name, all by default")
    parser.add_argument("--python", default=OWN_PYTHON, help="interpreter that has PyTorch")
    parser.add_argument("--fake", action="store_true", help="the fake driver in any case")
    parser.add_argument(
        "--throttle-mhz", type=int, help="lock the real GPU's clock for the throttled phase (root)"
    )
    arguments = parser.parse_args()
    known = {phase.name for phase in phases()}
    if unknown := [name for name in arguments.phase if name not in known]:
        parser.error(f"no phase {unknown[0]!r}: there are {', '.join(sorted(known))}")
    print(machine())
    if not arguments.fake and not arguments.profile and has_torch(arguments.python):
        inside = on_torch(
            arguments.python, arguments.throttle_mhz, arguments.phase, arguments.seconds
        )
    else:
        results = [
            on_fake(profile, arguments.phase, arguments.seconds)
            for profile in arguments.profile or profiles
        ]
        inside = all(results)
    if not inside:
        print("a truth lies outside low..high", file=sys.stderr)
    return 0 if inside else 1


if __name__ == "__main__":
    sys.exit(main())
