"""One call of ``flopgate-sim run``: the seeds, then shrinking, then what is shown of them."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from flopgate_proto.errors import FlopgateError, MisuseError
from flopgate_sim.campaign import replay
from flopgate_sim.campaign.options import write_report
from flopgate_sim.campaign.outcome import Job, Runner
from flopgate_sim.campaign.picks import Picks
from flopgate_sim.campaign.pool import Pool
from flopgate_sim.campaign.reducing import one_a_law, reduced
from flopgate_sim.campaign.request import Request
from flopgate_sim.campaign.shrink import RUNS_MAX
from flopgate_sim.campaign.telling import Teller
from flopgate_sim.campaign.totals import Totals, breached
from flopgate_sim.campaign.words import count
from flopgate_sim.campaign.worker import Failure, Result
from flopgate_sim.report import render

BROKEN: Final = 1
INTERRUPTED: Final = 130


class Session:
    """Runs a request and tells of it."""

    def __init__(self, request: Request, runner: Runner, console: Console) -> None:
        self._request = request
        self._runner = runner
        self._console = console
        self._teller = Teller(console)
        self._totals = Totals()
        self._picks = Picks()
        self._sound = True

    def run(self) -> int:
        """The exit status: 0 no breach, 1 a breach or a world without an end, 130 interrupted."""
        request, teller = self._request, self._teller
        started_s = time.monotonic()
        try:
            with Pool(self._runner, request.processes, limit_s=request.limit_s) as pool:
                self._seeds(pool)
                wall_s = time.monotonic() - started_s
                if request.shrink:
                    self._shrink(pool)
                if request.report is not None:
                    self._record(pool)
        except KeyboardInterrupt:
            teller.line("interrupted; so far:")
            teller.summary(self._totals, time.monotonic() - started_s)
            if request.report is not None:
                teller.line(f"no report was written to {request.report}")
            return INTERRUPTED
        except FlopgateError as error:
            teller.line(f"flopgate-sim: {error}")
            teller.summary(self._totals, time.monotonic() - started_s)
            return BROKEN
        if request.timeline:
            for done in self._picks.picked:
                if done.outcome.breach is None:
                    teller.timeline(done.outcome)
        elif request.seeds.count == 1:
            for done in self._picks.picked:
                teller.line(f"trace {done.outcome.trace_digest}")
        teller.summary(self._totals, wall_s)
        if request.report is not None:
            page = render(request.scenario, self._totals, self._picks.picked)
            write_report(request.report, page)
            teller.line(f"report: {request.report}")
        return 0 if self._totals.clean and self._sound else BROKEN

    def _seeds(self, pool: Pool) -> None:
        request = self._request
        with (
            closing(pool.results(request.jobs())) as results,
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
                disable=not self._console.is_terminal,
            ) as progress,
        ):
            task = progress.add_task(request.scenario.name, total=request.seeds.count)
            for result in results:
                self._hear(result)
                breaches = self._totals.all.breaches
                said = count(breaches, "breach", "breaches")
                progress.update(task, advance=1, description=f"{request.scenario.name}: {said}")
                if request.stop_after is not None and breaches >= request.stop_after:
                    return

    def _hear(self, result: Result) -> None:
        self._totals.add(result)
        if isinstance(result, Failure):
            self._teller.failure(result)
            return
        self._picks.add(result)
        broke = breached(result)
        if broke is not None:
            self._teller.breach(broke)

    def _shrink(self, pool: Pool) -> None:
        for broke in one_a_law(self._totals.breached):
            law, seed = broke.breach.law, broke.job.seed
            with self._console.status("shrinking") as status:

                def ran(runs: int, faults: int, where: str = f"law {law}, seed {seed}") -> None:
                    tried = count(faults, "fault")
                    status.update(f"{where}: shrinking, run {runs} of {RUNS_MAX}, {tried}")

                try:
                    least, shrunk = reduced(pool, broke, ran)
                except MisuseError:
                    self._differs(broke.job)
                    continue
            short = "none can be left out" if shrunk.minimal else "the runs were used up"
            self._teller.line(
                f"law {law}, seed {seed}: {count(len(shrunk.faults), 'fault')} of "
                f"{broke.faults:,} left after {count(shrunk.runs, 'run')}; {short}"
            )
            self._teller.whole(least)

    def _record(self, pool: Pool) -> None:
        """Run what was picked again, with a recording, where there is none yet."""
        jobs = [
            replace(done.job, recording=True)
            for done in self._picks.picked
            if not done.job.recording
        ]
        for result in pool.results(jobs):
            if isinstance(result, Failure):
                self._totals.add(result)
                self._teller.failure(result)
            elif not self._picks.put(result):
                self._differs(result.job)

    def _differs(self, job: Job) -> None:
        self._sound = False
        self._teller.line(
            f"seed {job.seed} did not run the same way twice, so it proves nothing: "
            f"{replay.command(job)}"
        )
