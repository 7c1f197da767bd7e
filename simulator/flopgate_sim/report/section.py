"""One recorded world: its figures, its charts, and the same in tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flopgate_sim.campaign.outcome import CAP, CAPACITY, CONSUMED, PERMITTED, Curve, Mark, Recording
from flopgate_sim.campaign.words import clock, hours, speed
from flopgate_sim.campaign.worker import Done
from flopgate_sim.report import curves, marks, pauses
from flopgate_sim.report.chart import Chart, figure, strip_figure
from flopgate_sim.report.markup import Child, Markup, table, tag, together
from flopgate_sim.report.scales import quantity
from flopgate_sim.scenario.kinds import KINDS

DATA_ROWS: Final = 25
CURVES_MAX: Final = 8


def anchor(done: Done) -> str:
    """Of the section."""
    return f"seed-{done.job.seed}"


def section(done: Done, again: str) -> Markup:
    """Everything about one seed; ``again`` is the command that runs it once more."""
    outcome = done.outcome
    breach = outcome.breach
    verdict: Markup = tag("p", "✓ No law was broken.", class_="verdict held")
    if breach is not None:
        verdict = tag(
            "div",
            tag(
                "p",
                f"✗ Law {breach.law} ({breach.law_name}) is broken at "
                f"{clock(breach.at_ms / 1000)}, step {breach.step:,}: {breach.detail}",
            ),
            tag("pre", "\n".join(outcome.timeline)) if outcome.timeline else None,
            class_="verdict broken",
        )
    recording = outcome.recording
    return tag(
        "section",
        tag("h2", f"Seed {done.job.seed}"),
        verdict,
        tag("p", "The same again: ", tag("code", again)),
        table((), _figures(done), class_="facts"),
        tag("p", "Nothing was recorded.") if recording is None else _recorded(done, recording),
        id=anchor(done),
    )


def _figures(done: Done) -> list[tuple[Child, ...]]:
    outcome = done.outcome
    per_cpu_s = outcome.host_hours / outcome.cpu_s if outcome.cpu_s > 0 else None
    rows: list[tuple[Child, ...]] = [
        ("events", f"{outcome.steps:,}"),
        ("host-hours", hours(outcome.host_hours)),
        ("host-hours per second of CPU", speed(per_cpu_s)),
        ("faults planned", f"{outcome.faults:,}"),
    ]
    counts = sorted(outcome.counts.items())
    met = ", ".join(f"{name} {number:,}" for name, number in counts if name in KINDS)
    rows.append(("faults met", met or "none"))
    rows += [(name, f"{number:,}") for name, number in counts if name not in KINDS]
    rows.append(("trace", tag("code", outcome.trace_digest)))
    return rows


def charts(named: dict[str, Curve], id_: str) -> tuple[Chart, Chart, Chart]:
    """The three over world time."""
    return (
        Chart(
            id=f"{id_}-capacity",
            title="Capacity running",
            says="Peak of all chips in lanes that compute.",
            curve=named.get(CAPACITY),
        ),
        Chart(
            id=f"{id_}-permits",
            title="Permits outstanding",
            says="Hosts that hold a permit under which they may compute.",
            curve=named.get(PERMITTED),
            whole=True,
        ),
        Chart(
            id=f"{id_}-consumed",
            title="FLOP consumed against cap",
            says="What gates have booked, with and without a permit, and what officers allow.",
            curve=named.get(CONSUMED),
            bound=named.get(CAP),
        ),
    )


def _breach_mark(done: Done) -> list[Mark]:
    breach = done.outcome.breach
    if breach is None:
        return []
    text = f"law {breach.law} ({breach.law_name}): {breach.detail}"
    return [Mark(at_s=breach.at_ms / 1000, kind="breach", text=text)]


def _recorded(done: Done, recording: Recording) -> Markup:
    named = {curve.name: curve for curve in recording.curves}
    labelled = marks.labelled([*recording.marks, *_breach_mark(done)])
    end_s = recording.end_s
    id_ = anchor(done)
    return together(
        marks.legend(labelled),
        *(figure(chart, end_s, labelled) for chart in charts(named, id_)),
        strip_figure(f"{id_}-strip", labelled, end_s),
        pauses.figure(f"{id_}-pauses", recording.stops),
        tag("h4", "The same in tables"),
        pauses.listing(recording.stops),
        _data(recording.curves, end_s),
        marks.listing(labelled),
    )


def _data(recorded: Sequence[Curve], end_s: float) -> Markup | None:
    shown = [curve for curve in recorded if curve.points][:CURVES_MAX]
    if not shown:
        return None
    thinned = [curves.thinned(curve.points, end_s) for curve in shown]
    rows: list[tuple[Child, ...]] = []
    for number in range(DATA_ROWS):
        at_s = end_s * number / (DATA_ROWS - 1)
        values = [curves.at(points, at_s) for points in thinned]
        cells = [
            "unknown" if value is None else quantity(value, curve.unit)
            for curve, value in zip(shown, values, strict=True)
        ]
        rows.append((clock(at_s), *cells))
    head = ("world time", *(curve.name for curve in shown))
    return tag(
        "details",
        tag("summary", f"Curves, as a table ({DATA_ROWS} moments)"),
        table(head, rows, class_="data"),
    )
