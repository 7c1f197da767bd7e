"""``flopgate-sim run``: a scenario for one seed or thousands, laws checked after every event."""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from flopgate_proto.errors import ConfigError
from flopgate_sim.campaign.outcome import CHEAP, SCHEMES, Breach, Job, Outcome
from flopgate_sim.campaign.pool import guarded, run_all
from flopgate_sim.campaign.shrink import shrink
from flopgate_sim.planted import PENDING
from flopgate_sim.scenario import find
from flopgate_sim.world.laws import LAWS
from flopgate_sim.world.run import run_job

SEEDS_MAX = 1_000_000
_PART = re.compile(r"(\d+)(?:\.\.(\d+))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``run``."""
    parser.add_argument("scenario", metavar="SCENARIO", help="a shipped one, or a TOML file")
    parser.add_argument(
        "--seeds", default="1", metavar="SEEDS", help="as 7, 1..1000 or 3,5,9..12 (1)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes (1)")
    parser.add_argument(
        "--signatures", choices=SCHEMES, default=CHEAP,
        help="real: ECDSA P-256; cheap: a stand-in, several times as fast (cheap)",
    )  # fmt: skip
    parser.add_argument(
        "--shrink", action="store_true", help="reduce the faults of the first breach to a minimum"
    )
    parser.add_argument(
        "--faults", metavar="INDICES", help="only these faults of the seed, as --shrink names them"
    )
    parser.add_argument(
        "--stop-after", type=int, default=10, metavar="K", help="breaches to stop at (10)"
    )
    parser.add_argument("--timeline", action="store_true", help="print what happened last")


def run(arguments: argparse.Namespace) -> int:
    """Run the campaign; 1 if a law was broken or a world could not be run."""
    console = Console(stderr=True)
    try:
        find(arguments.scenario)
        seeds = parse_numbers(arguments.seeds, "--seeds")
        indices = None if arguments.faults is None else parse_numbers(arguments.faults, "--faults")
    except ConfigError as error:
        print(f"flopgate-sim: {error}", file=sys.stderr)
        return 2
    base = Job(
        scenario=arguments.scenario,
        seed=0,
        fault_indices=None if indices is None else tuple(indices),
        signatures=arguments.signatures,
    )
    outcomes = _campaign(base, seeds, arguments, console)
    print_summary(outcomes, Console())
    bad = [one for one in outcomes if one.breach is not None or one.error]
    for one in bad[:3]:
        print_breach(one, _again(one, arguments))
    if arguments.timeline and not bad and outcomes:
        print("\n".join(outcomes[-1].timeline))
    if arguments.shrink and bad and bad[0].breach is not None:
        _shrink(replace(base, seed=bad[0].seed), bad[0])
    return 1 if bad else 0


def parse_numbers(text: str, option: str) -> list[int]:
    """Numbers as ``7``, ``1..1000`` or ``3,5,9..12``; nothing is no number.

    Raises:
        ConfigError: it is none of these, or too many.
    """
    numbers: list[int] = []
    for part in text.split(",") if text else ():
        found = _PART.fullmatch(part.strip())
        if found is None or len(part) > 20:  # noqa: PLR2004  # longer than any two seeds
            raise ConfigError(
                f"{option}: {part!r} is no number and no range",
                code="sim.numbers",
                remedy=f"Write {option} 7, {option} 1..1000 or {option} 3,5,9..12.",
            )
        first = int(found[1])
        last = int(found[2]) if found[2] else first
        if last < first or last - first + len(numbers) >= SEEDS_MAX:
            raise ConfigError(
                f"{option}: {part!r} goes backwards or is longer than {SEEDS_MAX}",
                code="sim.numbers",
                remedy="Write the smaller number first.",
            )
        numbers += range(first, last + 1)
    return numbers


def _campaign(
    base: Job, seeds: list[int], arguments: argparse.Namespace, console: Console
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[bad]}"), TimeRemainingColumn(),
    )  # fmt: skip
    quiet = not console.is_terminal or len(seeds) == 1
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task(arguments.scenario, total=len(seeds), bad="")
        bad = 0
        for outcome in run_all(
            (replace(base, seed=seed) for seed in seeds), run_job, arguments.jobs
        ):
            outcomes.append(outcome)
            bad += outcome.breach is not None or bool(outcome.error)
            progress.update(task, advance=1, bad=f"{bad} bad" if bad else "no breach")
            if bad >= arguments.stop_after:
                break
    return outcomes


def print_summary(outcomes: list[Outcome], console: Console) -> None:
    """What came of all worlds together."""
    hours = sum(one.host_hours for one in outcomes)
    cpu_s = sum(one.cpu_s for one in outcomes)
    counts: Counter[str] = Counter()
    for one in outcomes:
        counts.update(one.counts)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("worlds", f"{len(outcomes):,}")
    table.add_row("events", f"{sum(one.steps for one in outcomes):,}")
    speed = f" ({hours / cpu_s:,.0f} a second of one core)" if cpu_s else ""
    table.add_row("host-hours", f"{hours:,.1f}{speed}")
    table.add_row("faults", f"{sum(one.faults for one in outcomes):,}")
    for name, count in sorted(counts.items()):
        table.add_row(f"  {name}", f"{count:,}")
    judged = [law.number for law in LAWS if not law.pending]
    table.add_row("laws judged", ", ".join(map(str, judged)))
    waiting = [f"law {law.number} ({law.pending})" for law in LAWS if law.pending]
    waiting += [f"{text} ({feature})" for text, feature in PENDING]
    table.add_row("pending", f"{len(waiting)}: " + "; ".join(waiting))
    table.add_row("breaches", str(sum(one.breach is not None for one in outcomes)))
    table.add_row("not run to the end", str(sum(bool(one.error) for one in outcomes)))
    if len(outcomes) == 1:
        table.add_row("trace", outcomes[0].trace_digest)
    console.print(table)


def _again(outcome: Outcome, arguments: argparse.Namespace) -> str:
    again = f"flopgate-sim run {arguments.scenario} --seeds {outcome.seed}"
    again += f" --signatures {arguments.signatures}"
    return again if arguments.faults is None else f"{again} --faults {arguments.faults}"


def print_breach(outcome: Outcome, again: str) -> None:
    """Seed, step, law, the last events, and the command that shows it ``again``."""
    if outcome.breach is None:
        print(f"\nseed {outcome.seed}: {outcome.error}\n  again: {again}")
        return
    breach: Breach = outcome.breach
    print(
        f"\nLaw {breach.law} ({breach.law_name}) is broken: {breach.detail}\n"
        f"  seed {outcome.seed}, step {breach.step}, {breach.at_ms / 1000:.3f} s\n"
        "  what happened last:"
    )
    print("\n".join(f"    {line}" for line in outcome.timeline))
    print(f"  again: {again}")


def _shrink(job: Job, outcome: Outcome) -> None:
    law = outcome.breach.law if outcome.breach is not None else 0
    whole = range(outcome.faults) if job.fault_indices is None else job.fault_indices

    def breaks(indices: tuple[int, ...]) -> bool:
        again = guarded(run_job, replace(job, fault_indices=indices))
        return again.breach is not None and again.breach.law == law

    least = shrink(whole, breaks)
    named = ",".join(map(str, least))
    print(
        f"\n{len(least)} of {len(whole)} faults are enough:\n"
        f"  flopgate-sim run {job.scenario} --seeds {job.seed} --signatures {job.signatures} "
        f"--faults '{named}'"
    )
