"""The whole report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Final

from flopgate_proto.version import VERSION
from flopgate_sim.campaign import replay
from flopgate_sim.campaign.outcome import Job
from flopgate_sim.campaign.pending import pending
from flopgate_sim.campaign.totals import Totals
from flopgate_sim.campaign.words import clock, count, hours, speed
from flopgate_sim.campaign.worker import Done
from flopgate_sim.report import facts
from flopgate_sim.report.markup import Child, Markup, table, tag, together, verbatim
from flopgate_sim.report.section import anchor, section
from flopgate_sim.scenario import Scenario

SECTIONS_MAX: Final = 10
ROWS_MAX: Final = 8
PENDING: Final = "pending"
"""Anchor of what cannot be checked yet."""


def render(
    scenario: Scenario,
    totals: Totals,
    shown: Sequence[Done],
    again: Callable[[Job], str] = replay.command,
) -> str:
    """The page for one scenario: what all seeds add up to, then at most `SECTIONS_MAX` seeds.

    ``again`` gives the command that runs a job once more.
    """
    shown = shown[:SECTIONS_MAX]
    waiting = pending()
    style, script = _own("page.css"), _own("hover.js")
    title = f"flopgate: {scenario.name}, {count(totals.all.seeds, 'simulated seed')}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        # The browser itself refuses anything from outside, whatever stands in the page.
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        verbatim("style", style),
    )
    body = tag(
        "body",
        tag(
            "main",
            _header(scenario, totals, waiting),
            _summary(totals, again),
            _about(scenario),
            _navigation(shown),
            *(section(done, again(done.job)) for done in shown),
            _pending(waiting),
            _footer(),
        ),
        verbatim("script", script),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _own(name: str) -> str:
    return resources.files("flopgate_sim.report").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    hashes = (
        base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in (style, script)
    )
    styles, scripts = (f"'sha256-{one}'" for one in hashes)
    return f"default-src 'none'; style-src {styles}; script-src {scripts}"


def _header(scenario: Scenario, totals: Totals, waiting: Mapping[str, Sequence[str]]) -> Markup:
    sums = totals.all
    items = sum(len(whats) for whats in waiting.values())
    if not sums.seeds and not sums.failures:
        verdict = tag("p", "Nothing was run.", class_="verdict")
    elif totals.clean:
        text = f"✓ No law was broken in {count(sums.seeds, 'seed')}."
        verdict = tag("p", text, class_="verdict held")
    else:
        words = [f"✗ {count(sums.breaches, 'breach', 'breaches')} in {count(sums.seeds, 'seed')}"]
        if sums.failures:
            words.append(f"{count(sums.failures, 'seed')} did not come to an end")
        verdict = tag("p", f"{'; '.join(words)}.", class_="verdict broken")
    return tag(
        "header",
        tag("p", "flopgate simulated cluster", class_="kicker"),
        tag("h1", scenario.name),
        tag("p", scenario.summary, class_="lead"),
        verdict,
        tag("p", tag("a", f"{count(items, 'item')} cannot be checked yet", href=f"#{PENDING}"), ".")
        if items
        else None,
    )


def _summary(totals: Totals, again: Callable[[Job], str]) -> Markup:
    sums = totals.all
    cards = (
        ("seeds", f"{sums.seeds:,}"),
        ("breaches", f"{sums.breaches:,}"),
        ("events", f"{sums.events:,}"),
        ("host-hours", hours(sums.host_hours)),
        ("host-hours per second of CPU", speed(sums.host_hours_per_cpu_s)),
        ("faults", f"{sum(totals.faults.values()):,}"),
    )
    return together(
        tag(
            "dl",
            *(tag("div", tag("dt", name), tag("dd", value)) for name, value in cards),
            class_="cards",
        ),
        _breaches(totals, again),
        tag(
            "div",
            *_counted("Faults, by kind", totals.faults),
            *_counted("Counted", totals.counts),
            class_="side",
        ),
    )


def _breaches(totals: Totals, again: Callable[[Job], str]) -> Markup | None:
    if not totals.breached:
        return None
    rows: list[tuple[Child, ...]] = [
        (
            str(one.job.seed),
            f"{one.breach.law} {one.breach.law_name}",
            clock(one.breach.at_ms / 1000),
            f"{one.breach.step:,}",
            one.breach.detail,
            tag("code", again(one.job)),
        )
        for one in totals.breached
    ]
    left_out = totals.all.breaches - len(rows)
    return together(
        tag("h2", "Breaches"),
        table(("seed", "law", "at", "step", "what", "again"), rows, class_="data words"),
        tag("p", f"and {left_out:,} more") if left_out else None,
    )


def _counted(title: str, numbers: Mapping[str, int]) -> list[Markup]:
    """As tables that can stand side by side."""
    ranked = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))
    tables = []
    for first in range(0, len(ranked), ROWS_MAX):
        rows: list[tuple[Child, ...]] = [
            (name, f"{number:,}") for name, number in ranked[first : first + ROWS_MAX]
        ]
        caption = f"{title}, continued" if first else title
        tables.append(table((), rows, caption=caption, class_="data"))
    return tables


def _pending(waiting: Mapping[str, Sequence[str]]) -> Markup | None:
    rows: list[tuple[Child, ...]] = [
        (feature, "; ".join(whats)) for feature, whats in waiting.items()
    ]
    if not rows:
        return None
    return together(
        tag("h2", "Not checked yet", id=PENDING),
        table(("waits for", "what"), rows, class_="data words"),
    )


def _about(scenario: Scenario) -> Markup:
    expected = tag("ul", *(tag("li", line) for line in scenario.expect))
    notes = tag("ul", *(tag("li", line) for line in scenario.notes))
    return together(
        tag("h2", "The scenario"),
        table((), facts.rows(scenario), class_="facts"),
        together(tag("h3", "What should happen"), expected) if scenario.expect else None,
        together(tag("h3", "Assumed"), notes) if scenario.notes else None,
    )


def _navigation(shown: Sequence[Done]) -> Markup | None:
    if len(shown) <= 1:
        return None
    links = (
        tag(
            "li",
            tag("a", f"{'✓' if done.outcome.breach is None else '✗'} seed {done.job.seed}",
                href=f"#{anchor(done)}"),
        )
        for done in shown
    )  # fmt: skip
    return tag("nav", tag("h2", "Seeds shown here"), tag("ul", *links), aria_label="Seeds")


def _footer() -> Markup:
    return tag(
        "footer",
        tag("p", f"flopgate {VERSION}. World time and world FLOP: nothing of this happened."),
    )
