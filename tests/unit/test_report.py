"""The report of simulated worlds: one page, whatever stands in it."""

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from flopgate_sim.campaign.outcome import (
    CAP,
    CAPACITY,
    CONSUMED,
    PERMITTED,
    Breach,
    Curve,
    Job,
    Mark,
    Recording,
    Stop,
)
from flopgate_sim.campaign.totals import Totals
from flopgate_sim.campaign.worker import Done, Failure, attempt
from flopgate_sim.report import SECTIONS_MAX, render
from flopgate_sim.report.curves import POINTS_MAX
from flopgate_sim.report.marks import LISTED_MAX
from flopgate_sim.scenario import Scenario, find, shipped
from tests.support import worlds

VOID = {"meta"}
HOSTILE = "</title></svg><script>alert('1')</script><img src=x onerror=\"y\">&amp;&lt;\x00\ud800]]>"
MAY_REFER = {("a", "href")}


class Page(HTMLParser):
    """A page as a browser's parser sees it."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def count(self, tag: str, **attributes: str) -> int:
        return sum(
            name == tag and all(found.get(key) == value for key, value in attributes.items())
            for name, found in self.tags
        )

    @property
    def words(self) -> str:
        return " ".join(
            text for tag, texts in self.texts.items() for text in texts if tag != "script"
        )


def done(seed: int, recording: Recording | None = None) -> Done:
    job = Job(scenario="pause-drill", seed=seed, recording=True)
    result = attempt(worlds.broken, job)
    assert isinstance(result, Done)
    if recording is None:
        return result
    return replace(result, outcome=replace(result.outcome, recording=recording))


def page_of(*shown: Done, scenario: Scenario | None = None) -> str:
    totals = Totals()
    for one in shown:
        totals.add(one)
    return render(find("pause-drill") if scenario is None else scenario, totals, shown)


def assert_stands_alone(html: str) -> Page:
    page = Page(html)
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), "an inline handler"
            assert name != "style"
            assert name not in {"src", "srcset", "action", "formaction", "data", "poster", "ping"}
            if name in {"href", "xlink:href"}:
                assert (tag, name) in MAY_REFER
                assert value.startswith("#")
    assert not {"img", "link", "iframe", "object", "embed", "base", "form", "video", "use"} & {
        tag for tag, _ in page.tags
    }
    style, script = "".join(page.texts["style"]), "".join(page.texts["script"])
    assert page.count("style") == page.count("script") == 1
    assert not re.search(r"url\(|@import|//", style)
    assert not re.search(r"fetch|XMLHttp|import|https?:|innerHTML|eval|WebSocket", script)
    (policy,) = (a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    for kind, ours in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(ours.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    targets = {a["href"].removeprefix("#") for t, a in page.tags if t == "a"}
    named = {i for _, a in page.tags for i in a.get("aria-labelledby", "").split()}
    assert targets | named <= set(ids)
    html.encode()
    return page


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_page_for_every_shipped_scenario_stands_alone(name: str) -> None:
    page = assert_stands_alone(page_of(done(3), scenario=find(name)))
    assert find(name).summary in page.words


def test_all_that_was_asked_for_is_on_it() -> None:
    page = assert_stands_alone(page_of(done(7), done(3)))
    for title in (
        "Capacity running",
        "Permits outstanding",
        "FLOP consumed against cap",
        "Pause and stop times",
        "What happened",
    ):
        assert page.texts["h4"].count(title) == 2, title
    assert page.count("svg", role="img") == 10
    for words in (
        "pause of workload:serving: 4 of 4 hosts still, first 120.2 s, median 121.9 s, last 125.3",
        "flopgate-sim run pause-drill --seeds 7 --signatures cheap --timeline",
        "1 breach in 2 seeds",
        "Law 2 (the cap) is broken at 0:25:03.120, step 4,711",
        "P officers pause (2)",
        "witnesses",
        worlds.TIMELINE[0],
    ):
        assert words in page.words, words


def test_every_curve_has_a_text_alternative() -> None:
    page = assert_stands_alone(page_of(done(3)))
    assert "253.3 \N{MULTIPLICATION SIGN} 10¹⁵ FLOP/s" in page.words
    assert "Peak of all chips in lanes that compute. Least 0 FLOP/s, most 253.3" in page.words
    assert {"first after", "median after", "last after"} <= set(page.texts["th"])


def test_everything_that_is_not_ours_is_escaped() -> None:
    recording = Recording(
        end_s=100.0,
        curves=(
            Curve(name=CAPACITY, unit=HOSTILE, points=((0.0, 1e20), (50.0, 2e20))),
            Curve(name=CONSUMED, unit=HOSTILE, points=((0.0, 1.0),)),
            Curve(name=CAP, unit=HOSTILE, points=((0.0, 1e9),)),
            Curve(name=HOSTILE, unit=HOSTILE, points=((0.0, 1.0),)),
        ),
        marks=tuple(Mark(at_s=9.0, kind=kind, text=HOSTILE) for kind in ("pause", "x", HOSTILE)),
        stops=(Stop(at_s=1.0, text=HOSTILE, hosts=2, still=0),),
    )
    one = done(7, recording)
    outcome = replace(
        one.outcome,
        trace_digest=HOSTILE,
        timeline=(HOSTILE,),
        counts={HOSTILE: 3},
        breach=Breach(law=1, law_name=HOSTILE, detail=HOSTILE, at_ms=5, step=1),
    )
    scenario = replace(
        find("pause-drill"), name=HOSTILE, summary=HOSTILE, expect=(HOSTILE,), notes=(HOSTILE,)
    )
    one = Done(job=replace(one.job, scenario=HOSTILE), outcome=outcome)
    page = assert_stands_alone(page_of(one, scenario=scenario))
    shown = HOSTILE.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
    for tag in ("h1", "code", "pre", "li", "td", "th", "desc", "text", "title", "p", "figcaption"):
        assert any(shown in text for text in page.texts[tag]), tag
    assert page.texts["h1"] == [shown]
    units = [attributes["data-unit"] for _, attributes in page.tags if "data-unit" in attributes]
    assert units == [shown, shown]


@pytest.mark.parametrize("count", [0, 1, 2, 30_000])
def test_curves_of_any_length_make_a_page_of_bounded_size(count: int) -> None:
    step_s = 1e4 / max(1, count)
    points = tuple((number * step_s, 1e18 * math.sin(number) ** 2) for number in range(count))
    recording = Recording(
        end_s=1e4,
        curves=tuple(
            Curve(name=name, unit="FLOP", points=points)
            for name in (CAPACITY, PERMITTED, CONSUMED, CAP)
        ),
    )
    html = page_of(done(3, recording))
    page = assert_stands_alone(html)
    assert len(html) < 400_000
    assert html.count("Nothing was recorded.") == (3 if count == 0 else 0)
    curves = [attributes["data-curve"] for _, attributes in page.tags if "data-curve" in attributes]
    assert len(curves) == (3 if count else 0)
    for curve in curves:
        assert min(count, POINTS_MAX) // 4 <= len(curve.split()) // 2 <= POINTS_MAX
        assert "nan" not in curve
        assert "inf" not in curve


def test_a_curve_of_nonsense_is_left_out() -> None:
    points = ((0.0, math.nan), (1.0, math.inf), (-5.0, 1.0), (11.0, 1.0))
    recording = Recording(end_s=10.0, curves=(Curve(name=CAPACITY, unit="FLOP/s", points=points),))
    assert page_of(done(3, recording)).count("Nothing was recorded.") == 3


@pytest.mark.parametrize("end_s", [0.0, 0.001, 59.0, 3600.0, 86_400.0, 31_622_400.0])
def test_worlds_of_any_length_are_drawn(end_s: float) -> None:
    recording = Recording(
        end_s=end_s,
        curves=(Curve(name=CAPACITY, unit="FLOP/s", points=((0.0, 1.0),)),),
        marks=(Mark(at_s=end_s, kind="fault", text="the end"),),
        stops=(
            Stop(at_s=0.0, text="a", hosts=1, still=1, first_s=0.0, median_s=0.0, last_s=end_s),
        ),
    )
    html = page_of(done(3, recording))
    assert_stands_alone(html)
    assert "nan" not in html
    assert html.count("tick middle") < 60


def test_thousands_of_marks_stay_readable() -> None:
    marks = tuple(
        Mark(at_s=number / 10, kind="fault", text=f"gate_crash of host-{number}")
        for number in range(20_000)
    )
    pause = Mark(at_s=1999.0, kind="pause", text="the only pause")
    stops = tuple(
        Stop(at_s=float(number), text=f"pause {number}", hosts=1, still=0) for number in range(90)
    )
    recording = Recording(end_s=2000.0, marks=(*marks, pause), stops=stops)
    html = page_of(done(3, recording))
    page = assert_stands_alone(html)
    assert len(html) < 600_000
    assert "F fault (20,000; in the strip only)" in page.words
    assert "the only pause" in page.texts["td"]
    assert f"and {20_001 - LISTED_MAX:,} more, which stand in the strip" in page.words
    assert "70 later pauses not drawn" in page.words
    assert "pause 89" in page.texts["th"]


def test_at_most_ten_seeds_are_shown() -> None:
    page = assert_stands_alone(page_of(*(done(seed) for seed in range(20))))
    assert page.count("section") == SECTIONS_MAX == 10


def test_a_far_cap_is_told_in_words_and_does_not_press_the_curve_flat() -> None:
    recording = Recording(
        end_s=10.0,
        curves=(
            Curve(name=CONSUMED, unit="FLOP", points=((0.0, 0.0), (5.0, 2e20))),
            Curve(name=CAP, unit="FLOP", points=((0.0, 9.2e30),)),
        ),
    )
    page = assert_stands_alone(page_of(done(3, recording)))
    assert "The cap, 9.2 \N{MULTIPLICATION SIGN} 10³⁰ FLOP, lies above this chart." in page.words
    assert page.count("path", **{"class": "bound"}) == 0


def test_without_a_seed_the_page_says_so() -> None:
    page = assert_stands_alone(page_of())
    assert "Nothing was run." in page.words
    totals = Totals()
    totals.add(Failure(job=Job(scenario="pause-drill", seed=1), reason="killed"))
    words = assert_stands_alone(render(find("pause-drill"), totals, [])).words
    assert "1 seed did not come to an end" in words
