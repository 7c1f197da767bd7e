"""Cross-checks: what contradicts itself is found, and what an honest chip does is not."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.crosscheck import RUN_TIME_SLACK_S, WINDOW_MS, CrossCheck, RunTime
from flopgate_proto.chips import load_table
from tests.support.chip_samples import ZERO, cut, instance, sample

H100 = load_table().by_name["NVIDIA H100 80GB HBM3"]
IDLE_MW, BUSY_MW = 70_000, 650_000


class Host:
    """A chip that is looked at each second."""

    def __init__(self, **first: object) -> None:
        start = ChipSample(
            uuid="GPU-1",
            taken_ms=0,
            cycles=ZERO,
            kernel_active_ms=None,
            sm_clock_mhz=1980,
            sm_clock_low_mhz=1980,
            energy_mj=0,
            pids=(7,),
            error=None,
        )
        self.now = replace(start, **first)  # type: ignore[arg-type]
        self.per_look = H100.sm_count
        self.counted = 1.0
        self.flop = 0
        self.checks = CrossCheck(H100)
        self.found = {one.id for one in self.checks.look(self.now)}

    def run(
        self,
        seconds: int = 11,
        *,
        active: float = 0.0,
        pipe: float = 0.0,
        kernels: float | None = None,
        power_mw: int = IDLE_MW,
        pids: Iterable[int] | None = (7,),
    ) -> set[str]:
        """Shares of the time: SM active, HMMA busy, kernels resident; the ids that were found."""
        for _ in range(seconds):
            self.look(1000, active=active, pipe=pipe, kernels=kernels, power_mw=power_mw, pids=pids)
        return self.found

    def look(
        self,
        span_ms: int,
        *,
        active: float,
        pipe: float,
        kernels: float | None,
        power_mw: int,
        pids: Iterable[int] | None,
    ) -> None:
        """One look, that long after the one before."""
        cycles = self.now.cycles or ZERO
        elapsed = int(H100.max_clock_khz * self.per_look * span_ms * self.counted)
        busy = int(elapsed * pipe)
        self.now = replace(
            self.now,
            taken_ms=self.now.taken_ms + span_ms,
            cycles=replace(
                cycles,
                elapsed=cycles.elapsed + elapsed,
                active=cycles.active + int(elapsed * active),
                mma=cycles.mma + busy,
                hmma=cycles.hmma + busy,
            ),
            kernel_active_ms=None if kernels is None else int(span_ms * kernels),
            energy_mj=(self.now.energy_mj or 0) + power_mw * span_ms // 1000,
            pids=None if pids is None else tuple(pids),
        )
        self.found |= {one.id for one in self.checks.look(self.now, self.flop)}


def test_a_busy_chip_and_an_idle_one_are_honest() -> None:
    assert not Host().run(active=0.98, pipe=0.8, kernels=1.0, power_mw=BUSY_MW)
    assert not Host().run(kernels=0.0)


def test_a_kernel_of_one_block_is_honest() -> None:
    assert not Host().run(active=1 / H100.sm_count, kernels=1.0, power_mw=120_000)


def test_a_memory_bound_kernel_is_honest() -> None:
    assert not Host().run(active=0.95, pipe=0.01, kernels=1.0, power_mw=500_000)


def test_power_that_nobody_shows_is_found() -> None:
    assert Host().run(power_mw=BUSY_MW, kernels=0.0) == {"meter.power.unexplained"}


def test_power_above_the_limit_of_the_chip_is_found() -> None:
    busy = {"active": 0.98, "pipe": 0.8, "kernels": 1.0}
    assert not Host().run(power_mw=1_000_000, **busy)  # type: ignore[arg-type]
    found = Host().run(power_mw=1_100_000, **busy)  # type: ignore[arg-type]
    assert found == {"meter.power.above_limit"}


@pytest.mark.parametrize(
    ("low_mhz", "high_mhz", "found"),
    [
        (1980, 1980, set()),
        (345, 1980, set()),
        (1200, 1500, {"meter.clock.contradicts_cycles"}),
        (2400, 2600, {"meter.clock.contradicts_cycles"}),
        (None, 1500, set()),
    ],
)
@pytest.mark.parametrize("averaged", [False, True])
def test_cycles_of_a_running_chip_fit_the_clocks_told(
    low_mhz: int | None, high_mhz: int, found: set[str], *, averaged: bool
) -> None:
    host = Host(sm_clock_low_mhz=low_mhz, sm_clock_mhz=high_mhz)
    host.per_look = 1 if averaged else H100.sm_count
    assert host.run(active=0.9, pipe=0.5, kernels=1.0, power_mw=BUSY_MW) == found


def test_the_clock_of_an_idle_chip_contradicts_nothing() -> None:
    assert not Host(sm_clock_low_mhz=100, sm_clock_mhz=120).run(kernels=0.0)


@pytest.mark.parametrize("kernels", [0.2, 0.5, 0.8, None])
def test_a_clock_that_stands_still_between_kernels_contradicts_nothing(
    kernels: float | None,
) -> None:
    host = Host()
    host.counted = kernels or 0.2
    assert not host.run(active=0.98, pipe=0.6, kernels=kernels, power_mw=400_000)


def test_power_of_an_unknown_limit_says_nothing() -> None:
    host = Host()
    host.checks = CrossCheck(replace(H100, power_limit_mw=None))
    assert not host.run(power_mw=BUSY_MW, kernels=0.0)


def test_kernels_that_no_cycle_shows_are_found() -> None:
    assert Host().run(kernels=1.0, power_mw=120_000) == {"meter.active.below_kernels"}


def test_a_pipe_that_is_busier_than_its_sm_is_found() -> None:
    found = Host().run(active=0.5, pipe=0.7, kernels=1.0, power_mw=BUSY_MW)
    assert found == {"meter.pipe.above_active"}


def test_flop_that_the_chip_in_the_table_cannot_do_are_found() -> None:
    """Everything at once is honest; 16-bit and INT8 work of a whole second each in one is not."""
    second = H100.sm_count * H100.max_clock_khz * 1000
    rates = H100.rates
    everything = second * (rates.imma + rates.fp64 + rates.fp32 + rates.fp16)
    for flop, found in (
        (everything * 104 // 100, set()),
        (second * (rates.imma + rates.half_tensor), {"meter.flop.above_peak"}),
    ):
        host = Host()
        host.flop = flop
        assert host.run(active=0.98, pipe=0.9, kernels=1.0, power_mw=BUSY_MW) == found


def test_work_that_no_process_does_is_found() -> None:
    host = Host(pids=())
    found = host.run(active=0.98, pipe=0.8, kernels=1.0, power_mw=BUSY_MW, pids=())
    assert found == {"meter.process.hidden"}


@pytest.mark.parametrize("pids", [(7,), None])
def test_a_process_that_is_listed_or_cannot_be_is_not_hidden(pids: tuple[int, ...] | None) -> None:
    host = Host(pids=())
    assert not host.run(active=0.98, pipe=0.8, kernels=1.0, power_mw=BUSY_MW, pids=pids)


def test_a_job_between_two_looks_far_apart_is_not_hidden() -> None:
    host = Host(pids=())
    busy = {"active": 0.98, "pipe": 0.8, "kernels": 1.0, "power_mw": BUSY_MW}
    host.look(60_000, pids=(), **busy)  # type: ignore[arg-type]
    assert not host.found


def test_nothing_is_said_before_a_window_is_over() -> None:
    assert not Host().run(WINDOW_MS // 1000 - 1, power_mw=BUSY_MW, kernels=1.0)


def test_a_look_that_failed_begins_a_new_window() -> None:
    host = Host()
    host.run(9, power_mw=BUSY_MW, kernels=0.0)
    host.checks.look(replace(host.now, error="GPU_IS_LOST"))
    assert not host.run(10, power_mw=BUSY_MW, kernels=0.0)
    assert host.run(1, power_mw=BUSY_MW, kernels=0.0)


def test_counters_that_go_back_are_the_meters_business() -> None:
    host = Host(cycles=replace(ZERO, elapsed=10**15, active=10**15, mma=10**15, hmma=10**15))
    host.now = replace(host.now, cycles=ZERO)
    assert not host.run(active=0.5, pipe=0.4, kernels=1.0, power_mw=300_000)


HOUR_MS = 3_600_000


def ran(at_ms: int, run_s: int | None) -> ChipSample:
    return replace(sample(at_ms), run_s=run_s)


def test_run_time_that_keeps_step_with_the_clock_or_lags_is_no_finding() -> None:
    checks = RunTime()
    for hours in range(100):
        # Brought up to date once an hour.
        assert checks.look(ran(hours * HOUR_MS + 7, 86_400 + hours * 3_600)) == ()
    stands = 86_400 + 99 * 3_600
    assert checks.look(ran(200 * HOUR_MS, stands)) == ()
    assert checks.look(ran(201 * HOUR_MS, None)) == ()
    assert checks.look(replace(ran(0, 1), error="GPU_IS_LOST")) == ()


def test_a_driver_that_was_loaded_for_longer_than_the_host_knows_is_found_once() -> None:
    checks = RunTime()
    # The last report; then the host's clock says that it was off for three minutes.
    checks.resume(-180_000, 86_400)
    assert checks.look(ran(0, 86_400 + 180 + RUN_TIME_SLACK_S)) == ()
    (found,) = checks.look(ran(1_000, 86_400 + 6 * 3_600))
    assert found.id == "meter.runtime.beyond_clock"
    assert dict(found.numbers) == {"run_s": 21_600, "elapsed_s": 181}
    assert checks.look(ran(2_000, 86_401 + 6 * 3_600)) == ()


def test_run_time_that_goes_back_is_found() -> None:
    checks = RunTime()
    assert checks.look(ran(0, 86_400)) == ()
    (found,) = checks.look(ran(1_000, 40))
    assert (found.id, dict(found.numbers)) == ("meter.runtime.backwards", {"moved_s": -86_360})
    assert checks.look(ran(2_000, 41)) == ()


def cut_looks(
    *, busy_percent: int, power_mw: int, other: int | None = None, known: bool = True
) -> set[str]:
    """A chip cut in two halves, for a window, at whose end one may be another or unread."""
    checks, found = CrossCheck(H100), set()
    for second in range(11):
        elapsed = second * 1_000 * H100.max_clock_khz * 60
        halves = [instance(n, 60, elapsed, elapsed * busy_percent // 100) for n in (1, 2)]
        if second == 10 and other is not None:
            halves[1] = replace(halves[1], id=other)
        if second == 10 and not known:
            halves[1] = replace(halves[1], cycles=None)
        look = replace(cut(second * 1_000, *halves), energy_mj=second * power_mw, pids=(7,))
        found |= {one.id for one in checks.look(look)}
    return found


def test_power_contradicts_idle_instances_as_it_does_an_idle_chip() -> None:
    assert cut_looks(busy_percent=1, power_mw=BUSY_MW) == {"meter.power.unexplained"}
    assert cut_looks(busy_percent=80, power_mw=BUSY_MW) == set()
    assert cut_looks(busy_percent=0, power_mw=IDLE_MW) == set()


def test_instances_that_are_not_the_same_at_both_ends_contradict_nothing() -> None:
    assert cut_looks(busy_percent=1, power_mw=BUSY_MW, other=3) == set()
    assert cut_looks(busy_percent=1, power_mw=BUSY_MW, known=False) == set()
