"""One call of ``flopgate-sim campaign``: scenarios in turns for a time, or some seeds of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from flopgate_proto.errors import FlopgateError
from flopgate_sim.campaign.log import Log
from flopgate_sim.campaign.outcome import Job, Runner
from flopgate_sim.campaign.pool import Pool
from flopgate_sim.campaign.ranges import Numbers
from flopgate_sim.campaign.session import BROKEN, INTERRUPTED
from flopgate_sim.campaign.telling import Teller
from flopgate_sim.campaign.totals import Totals, breached
from flopgate_sim.campaign.turns import Turns, listed
from flopgate_sim.campaign.words import count, hours
from flopgate_sim.campaign.worker import Failure, Result

GRACE_S: Final = 120.0
"""For worlds that still run when the time is over; then they are cut off."""
SAY_EVERY_S: Final = 300.0
"""Between lines that say how far it is, where there is no terminal for a bar."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was asked for.

    Attributes:
        host_hours: of one seed, by scenario.
        first_seeds: by scenario.
        signatures: one of `SCHEMES`, or `MIXED`.
        seeds: to run of each scenario, however long it takes; or else a time.
        seconds: how long worlds with ever new seeds are begun.
        log: where results are added; ``None``: nowhere.
        code: digest of the code that runs.
    """

    host_hours: Mapping[str, float]
    first_seeds: Mapping[str, int]
    signatures: str
    processes: int
    seeds: Numbers | None = None
    seconds: float = 0.0
    stop_after: int | None = None
    limit_s: float | None = None
    log: Path | None = None
    code: str = ""


class Endurance:
    """Runs a plan and tells of it."""

    def __init__(
        self,
        plan: Plan,
        runner: Runner,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._runner = runner
        self._console = console
        self._clock = clock
        self._teller = Teller(console)
        self._totals = Totals()
        self._turns = Turns(plan.host_hours, plan.first_seeds, plan.signatures)
        self._begun_s: dict[Job, float] = {}
        self._started_s = clock()
        self._said_s = self._started_s

    def run(self) -> int:
        """The exit status: 0 no breach, 1 a breach or a world without an end, 130 interrupted."""
        plan, status = self._plan, 0
        with ExitStack() as stack:
            log = None if plan.log is None else stack.enter_context(Log(plan.log, plan.code))
            pool = Pool(self._runner, plan.processes, limit_s=plan.limit_s)
            try:
                self._worlds(stack.enter_context(pool), log)
            except KeyboardInterrupt:
                self._teller.line("interrupted; so far:")
                status = INTERRUPTED
            except FlopgateError as error:
                self._teller.line(f"flopgate-sim: {error}")
                status = BROKEN
        self._teller.summary(self._totals, self._elapsed_s)
        left_out = sorted(set(plan.host_hours) - set(self._totals.scenarios))
        if left_out:
            self._teller.line(f"no time for: {', '.join(left_out)}")
        return status or (0 if self._totals.clean else BROKEN)

    @property
    def _elapsed_s(self) -> float:
        return self._clock() - self._started_s

    def _jobs(self) -> Iterator[Job]:
        for job in self._wanted():
            self._begun_s[job] = self._clock()
            yield job

    def _wanted(self) -> Iterator[Job]:
        plan = self._plan
        if plan.seeds is not None:
            yield from listed(plan.host_hours, plan.seeds, plan.signatures)
            return
        while (job := self._turns.next(plan.seconds - self._elapsed_s)) is not None:
            yield job

    def _worlds(self, pool: Pool, log: Log | None) -> None:
        plan = self._plan
        until_s = None if plan.seeds else time.monotonic() + plan.seconds + GRACE_S
        total = plan.seeds.count * len(plan.host_hours) if plan.seeds else plan.seconds
        with (
            closing(pool.results(self._jobs(), until_s)) as results,
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
                disable=not self._console.is_terminal,
            ) as progress,
        ):
            task = progress.add_task("campaign", total=total)
            for result in results:
                self._hear(result)
                if log is not None:
                    log.add(result)
                self._say(progress, task)
                if plan.stop_after is not None and self._totals.all.breaches >= plan.stop_after:
                    return

    def _hear(self, result: Result) -> None:
        self._turns.done(result.job, self._clock() - self._begun_s.pop(result.job))
        self._totals.add(result)
        if isinstance(result, Failure):
            if not result.cut:
                self._teller.failure(result)
            return
        broke = breached(result)
        if broke is not None:
            self._teller.breach(broke)

    def _say(self, progress: Progress, task: TaskID) -> None:
        sums = self._totals.all
        words = (
            f"{count(sums.seeds, 'seed')}, {hours(sums.host_hours)} host-hours, "
            f"{count(sums.breaches, 'breach', 'breaches')}"
        )
        completed = self._elapsed_s if self._plan.seeds is None else sums.seeds
        progress.update(task, completed=completed, description=words)
        if not self._console.is_terminal and self._clock() - self._said_s >= SAY_EVERY_S:
            self._said_s = self._clock()
            self._teller.line(f"{self._elapsed_s / 60:.0f} min: {words}")
