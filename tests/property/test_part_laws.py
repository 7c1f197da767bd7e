"""Law 3 over instances that come and go: whatever ran in them is measured or charged."""

from dataclasses import dataclass

from hypothesis import event, example, given
from hypothesis import strategies as st

from flopgate_agent.counters.sample import ChipSample, Instance
from flopgate_agent.crosscheck import CrossCheck
from flopgate_agent.parts import measure, tighten_gap
from flopgate_proto.chips import ChipSpec, load_table
from tests.property.test_meter_laws import SAMPLES, check, cycles
from tests.support.chip_samples import cut, instance

TABLE = load_table()
SPECS = st.sampled_from(
    [spec for spec in TABLE.by_name.values() if spec.tells_pipes] + [TABLE.unknown]
)
SLICES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """An instance from when it is made until it is destroyed; work in all of that time."""

    number: int
    slices: int
    since_ms: int
    until_ms: int
    busy_percent: int

    def alive(self, at_ms: int) -> bool:
        return self.since_ms <= at_ms < self.until_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A chip whose SMs lie in seven slices and a rest, at one clock; looks at 0 and at the end."""

    spec: ChipSpec
    span_ms: int
    clock_percent: int
    averaged: bool
    lives: tuple[Life, ...]

    def sms(self, life: Life) -> int:
        return life.slices * (self.spec.sm_count // SLICES)

    def cycles_in(self, ms: int) -> int:
        return ms * self.spec.max_clock_khz * self.clock_percent // 100

    def show(self, life: Life, at_ms: int) -> Instance:
        each = self.cycles_in(at_ms - life.since_ms)
        counted = each if self.averaged else each * self.sms(life)
        return instance(life.number, self.sms(life), counted, counted * life.busy_percent // 100)

    def look(self, at_ms: int) -> ChipSample:
        alive = [life for life in self.lives if life.alive(at_ms)]
        full = sum(life.slices for life in alive) == SLICES
        return cut(at_ms, *[self.show(life, at_ms) for life in alive], full=full)

    def truth(self) -> int:
        flop = 0
        for life in self.lives:
            ms = min(life.until_ms, self.span_ms) - max(life.since_ms, 0)
            busy = self.cycles_in(max(0, ms)) * life.busy_percent // 100
            flop += busy * self.sms(life) * self.spec.rates.half_tensor
        return flop


@st.composite
def histories(draw: st.DrawFn) -> History:
    span_ms = draw(st.integers(3, 5_000))
    wanted = []
    for _ in range(draw(st.integers(0, 5))):
        slices = draw(st.integers(1, SLICES))
        since_ms = draw(st.integers(-(10**7), -1) | st.integers(-span_ms, span_ms - 1))
        until_ms = draw(st.just(2 * span_ms + 1) | st.integers(since_ms + 1, span_ms + 1))
        wanted.append((slices, since_ms, until_ms))
        if since_ms < 0 < until_ms < span_ms and draw(st.booleans()):
            # Destroyed between the looks, and another one of that size made at once.
            wanted.append((slices, until_ms, 2 * span_ms + 1))
    lives: list[Life] = []
    for slices, since_ms, until_ms in wanted:
        moments = [since_ms, *(one.since_ms for one in lives if since_ms < one.since_ms < until_ms)]
        crowd = [[one for one in lives if one.alive(at_ms)] for at_ms in moments]
        if max(sum(one.slices for one in there) for there in crowd) + slices > SLICES:
            continue
        taken = {one.number for there in crowd for one in there}
        number = min(set(range(SLICES + 1)) - taken)
        lives.append(
            Life(
                number=number,
                slices=slices,
                since_ms=since_ms,
                until_ms=until_ms,
                busy_percent=draw(st.integers(0, 100)),
            )
        )
    return History(
        spec=draw(SPECS),
        span_ms=span_ms,
        clock_percent=draw(st.integers(5, 100)),
        averaged=draw(st.booleans()),
        lives=tuple(lives),
    )


@given(done=histories())
# Counters that began anew between the looks are past their old values at the second one.
@example(
    done=History(
        spec=TABLE.by_name["NVIDIA H100 80GB HBM3"],
        span_ms=1_000,
        clock_percent=100,
        averaged=True,
        lives=(
            Life(number=1, slices=7, since_ms=-100, until_ms=400, busy_percent=100),
            Life(number=1, slices=7, since_ms=401, until_ms=9_999, busy_percent=100),
        ),
    )
)
def test_law_3_what_ran_in_instances_that_come_and_go_is_charged(done: History) -> None:
    ends = done.look(0), done.look(done.span_ms)
    # Counters are cut to whole numbers.
    cut_off = SLICES * (done.spec.sm_count + 1) * done.spec.rates.half_tensor
    for charged in (
        measure(*ends, done.spec),
        tighten_gap(*ends, done.spec, done.span_ms),
    ):
        check(charged)
        assert charged.total.nominal + cut_off >= done.truth()
    event("measured" if not measure(*ends, done.spec).gap else "charged")


@given(
    spec=SPECS,
    busy=st.lists(st.integers(0, 100), min_size=SLICES, max_size=SLICES),
    averaged=st.booleans(),
    clock_percent=st.integers(80, 100),
)
def test_law_3_instances_that_stay_are_measured(
    spec: ChipSpec, busy: list[int], averaged: bool, clock_percent: int
) -> None:
    lives = tuple(
        Life(
            number=number,
            slices=1,
            since_ms=-(10**8),
            until_ms=10**8,
            busy_percent=percent,
        )
        for number, percent in enumerate(busy)
    )
    done = History(
        spec=spec, span_ms=1_000, clock_percent=clock_percent, averaged=averaged, lives=lives
    )
    measured = measure(done.look(0), done.look(1_000), spec)
    cut_off = SLICES * (spec.sm_count + 1) * spec.rates.half_tensor
    assert not measured.gap
    assert abs(measured.total.nominal - done.truth()) <= cut_off


INSTANCES = st.lists(
    st.builds(
        Instance,
        id=st.integers(0, 3),
        sm_count=st.integers(0, 200),
        cycles=st.none() | cycles(st.integers(0, 10**9)) | cycles(st.integers(0, 2**63 - 1)),
    ),
    max_size=3,
).map(tuple)


@st.composite
def looks(draw: st.DrawFn) -> ChipSample:
    """Any look at a chip that may be cut."""
    plain = draw(SAMPLES)
    shown = {name: getattr(plain, name) for name in plain.__slots__}
    shown["mig"] = draw(st.booleans())
    shown["instances"] = draw(st.none() | INSTANCES)
    shown["full"] = draw(st.booleans())
    return ChipSample(**shown)


@given(previous=looks(), current=looks(), spec=SPECS, elapsed_ms=st.integers(-5, 10**6))
def test_any_instances_give_an_ordered_value(
    previous: ChipSample, current: ChipSample, spec: ChipSpec, elapsed_ms: int
) -> None:
    check(measure(previous, current, spec))
    check(tighten_gap(previous, current, spec, elapsed_ms))


@given(seen=st.lists(looks(), min_size=2, max_size=4), spec=SPECS)
def test_any_instances_give_findings_or_none(seen: list[ChipSample], spec: ChipSpec) -> None:
    checks = CrossCheck(spec)
    for look in seen:
        for finding in checks.look(look):
            assert finding.id.startswith("meter.")
