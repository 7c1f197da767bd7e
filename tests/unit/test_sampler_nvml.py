"""The chip reader against a driver that lies, refuses and goes away.

The driver here is an object with pynvml's names.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flopgate_agent.counters import layout
from flopgate_agent.counters.chip_reader import ChipReader
from flopgate_agent.counters.frames import Identities, Samples, split
from flopgate_agent.counters.gpm import GPM_CYCLES
from flopgate_agent.counters.nvml import GoneError, number
from flopgate_agent.counters.sample import ChipSample
from flopgate_agent.counters.sampler import Sampler
from tests.support.fake_pynvml import CODES, NOT_AVAILABLE, FakeNvml


def look(chip: ChipReader) -> ChipSample:
    ((message,), rest) = split(layout.pack_frame(layout.KIND_SAMPLES, [chip.sample()]))
    assert rest == b""
    assert isinstance(message, Samples)
    return message.samples[0]


def identities(sampler: Sampler) -> Identities:
    ((message,), _) = split(sampler.identities())
    assert isinstance(message, Identities)
    return message


def test_identity_is_read() -> None:
    (chip,) = identities(Sampler(FakeNvml())).chips
    assert (chip.uuid, chip.serial, chip.pdi) == ("GPU-0", "123", 77)
    assert (chip.nvml_name, chip.pci_device_id) == ("NVIDIA H100 80GB HBM3", 0x2330)
    assert (chip.index, chip.minor, chip.max_sm_clock_mhz, chip.gpm) == (0, 0, 1980, True)


def test_identity_knows_what_it_does_not_know() -> None:
    nvml = FakeNvml()
    nvml.answers["nvmlDeviceGetPdi"] = NOT_AVAILABLE
    nvml.answers["nvmlDeviceGetMaxClockInfo"] = 2**32 - 1
    nvml.answers["nvmlDeviceGetName"] = "\x00\x07"
    nvml.refuse["nvmlDeviceGetSerial"] = "NOT_SUPPORTED"
    nvml.refuse["nvmlGpmQueryDeviceSupport"] = "NOT_SUPPORTED"
    (chip,) = identities(Sampler(nvml)).chips
    assert (chip.serial, chip.pdi, chip.max_sm_clock_mhz) == (None, None, None)
    assert chip.nvml_name == ""
    assert not chip.gpm


def test_a_chip_that_cannot_be_opened_does_not_hide_the_others() -> None:
    nvml = FakeNvml(3)
    nvml.refuse["lost1"] = ""
    found = identities(Sampler(nvml))
    assert [chip.uuid for chip in found.chips] == ["GPU-0", "GPU-2"]
    assert [(one.index, one.error) for one in found.unreadable] == [(1, "GPU_IS_LOST")]


def test_cycles_are_read_in_order() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.cycles = {metric_id: float(metric_id * 10**6) for metric_id in GPM_CYCLES}
    cycles = look(chip).cycles
    assert cycles is not None
    assert (cycles.elapsed, cycles.mma, cycles.dmma) == (248 * 10**6, 250 * 10**6, 251 * 10**6)
    assert (cycles.hmma, cycles.imma, cycles.dfma) == (252 * 10**6, 253 * 10**6, 254 * 10**6)
    assert (cycles.integer, cycles.fp64, cycles.fp16) == (257 * 10**6, 258 * 10**6, 260 * 10**6)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1.0, 4294967295.0, float(2**64), float(2**63)]
)
def test_nonsense_in_one_counter_makes_the_cycles_unknown(value: float) -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.cycles[252] = value
    assert look(chip).cycles is None


class Wall:
    """A clock that moves when somebody waits."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms

    def wait(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)


def old_driver() -> tuple[FakeNvml, Wall, ChipReader]:
    """One that gives percentages alone."""
    nvml, clock = FakeNvml(), Wall()
    nvml.percent_only = True
    return nvml, clock, ChipReader(nvml, 0, clock, clock.wait)


def test_percentages_add_up_over_windows_that_touch() -> None:
    nvml, clock, chip = old_driver()
    clock.now_ms += 1_000
    nvml.percents |= {2: 90.0, 5: 60.0, 7: 50.0}
    first = look(chip)
    assert first.cycles is None
    assert first.shares is not None
    assert (first.shares.elapsed, first.taken_ms) == (1_000_000, 2_000)
    clock.now_ms += 500
    nvml.percents |= {2: 10.0, 5: 0.0, 7: 0.0, 12: 10.0}
    second = look(chip)
    assert second.shares is not None
    assert second.shares.elapsed == 1_500_000
    assert second.shares.active == pytest.approx(950_000, abs=2)
    assert second.shares.mma == pytest.approx(600_000, abs=2)
    assert second.shares.hmma == pytest.approx(500_000, abs=2)
    assert second.shares.fp32 == pytest.approx(50_000, abs=2)


def test_a_window_is_as_long_as_the_driver_needs() -> None:
    _nvml, clock, chip = old_driver()
    look(chip)
    clock.now_ms += 30
    shares = look(chip).shares
    assert shares is not None
    assert shares.elapsed == 200_000, "two windows of 100 ms"


def test_a_driver_without_the_dmma_percentage_still_gives_the_others() -> None:
    nvml, clock, chip = old_driver()
    del nvml.percents[8]
    nvml.percents[5] = 40.0
    clock.now_ms += 1_000
    shares = look(chip).shares
    assert shares is not None
    assert shares.dmma == 0
    assert shares.mma == pytest.approx(400_000, abs=2)


@pytest.mark.parametrize("value", [float("nan"), -1.0, 101.0, 4294967295.0])
def test_a_percentage_that_is_none_makes_the_shares_unknown(value: float) -> None:
    nvml, clock, chip = old_driver()
    look(chip)
    clock.now_ms += 1_000
    nvml.percents[7] = value
    assert look(chip).shares is None
    clock.now_ms += 1_000
    nvml.percents[7] = 10.0
    shares = look(chip).shares
    assert shares is not None
    assert shares.elapsed == 2_100_000, "the window goes on until it can be read"


def test_a_driver_that_gave_cycles_is_not_read_by_percentages() -> None:
    nvml, clock = FakeNvml(), Wall()
    chip = ChipReader(nvml, 0, clock, clock.wait)
    assert look(chip).cycles is not None
    nvml.percent_only = True
    assert (look(chip).cycles, look(chip).shares) == (None, None)


def test_a_refused_metric_makes_the_cycles_unknown() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.metric_code = CODES["NOT_SUPPORTED"]
    assert look(chip).cycles is None
    nvml.metric_code = 0
    assert look(chip).cycles is not None
    nvml.metric_code = None
    assert look(chip).cycles is None


@pytest.mark.parametrize(
    "value", [2**32 - 1, 2**64 - 1, 9223372036854775794, -1, 1e30, float("nan"), None, "7", b"7"]
)
def test_sentinels_are_no_numbers(value: object) -> None:
    assert number(value) is None


def test_numbers_are_numbers() -> None:
    assert number(0) == 0
    assert number(7.9) == 7
    assert number(101, 100) is None


def test_activity_is_integrated_without_holes() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.utilisation = [(1_000_000, 50)]
    assert look(chip).kernel_active_ms is None  # nothing to start from yet
    nvml.utilisation += [(1_200_000, 100), (1_400_000, 50)]
    assert look(chip).kernel_active_ms == 300
    assert look(chip).kernel_active_ms == 0  # nothing newer is nothing yet, not unknown
    nvml.utilisation += [(1_400_700, 100)]
    assert look(chip).kernel_active_ms == 0
    nvml.utilisation += [(1_401_000, 100)]
    assert look(chip).kernel_active_ms == 1  # the part of a millisecond was kept


def test_any_pace_of_looking_gives_the_same_activity() -> None:
    samples = [(10**6 + at * 167_000, at * 37 % 101) for at in range(1, 40)]
    totals = []
    for pace in (1, 3, 39):
        nvml = FakeNvml()
        chip = ChipReader(nvml, 0)
        nvml.utilisation = [(10**6, 0)]
        look(chip)
        total = 0
        for at in range(0, len(samples), pace):
            nvml.utilisation += samples[at : at + pace]
            total += look(chip).kernel_active_ms or 0
        totals.append(total)
    assert totals == [totals[0]] * 3
    assert totals[0] == sum(167_000 * percent // 100 for _, percent in samples) // 1000


def test_a_hole_in_the_buffer_counts_as_busy() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.utilisation = [(1_000_000, 0)]
    look(chip)
    nvml.utilisation = [(9_000_000, 0), (9_200_000, 0)]  # the ring went round
    assert look(chip).kernel_active_ms == 8000


@pytest.mark.parametrize("percent", [101, 2**32 - 1])
def test_nonsense_activity_is_unknown_then_starts_anew(percent: int) -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.utilisation = [(1_000_000, 0)]
    look(chip)
    nvml.utilisation += [(1_200_000, percent)]
    assert look(chip).kernel_active_ms is None
    nvml.utilisation += [(1_300_000, 100)]
    assert look(chip).kernel_active_ms == 100


def test_refused_activity_is_unknown_until_there_is_a_start_again() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.utilisation = [(1_000_000, 0)]
    look(chip)
    nvml.refuse["nvmlDeviceGetSamples"] = "UNKNOWN"
    assert look(chip).kernel_active_ms is None
    del nvml.refuse["nvmlDeviceGetSamples"]
    nvml.utilisation += [(1_500_000, 100)]
    assert look(chip).kernel_active_ms is None  # what was not seen is charged, once
    nvml.utilisation += [(1_600_000, 100)]
    assert look(chip).kernel_active_ms == 100


def test_a_buffer_that_falls_silent_is_unknown_not_idle() -> None:
    """Stamps are wall time: set back, nothing would look newer for as long as it was set back."""
    nvml = FakeNvml()
    now_ms = [1_000]
    chip = ChipReader(nvml, 0, lambda: now_ms[0])
    nvml.utilisation = [(9_000_000, 0)]
    look(chip)
    now_ms[0] += 2_000
    assert look(chip).kernel_active_ms == 0
    nvml.utilisation += [(5_000_000, 100)]
    now_ms[0] += 1
    assert look(chip).kernel_active_ms is None


def test_the_clock_is_the_highest_since_the_look_before() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    assert look(chip).sm_clock_mhz == 345
    nvml.clocks = [(1, 1980), (2, 1200), (3, 2**32 - 1)]
    assert look(chip).sm_clock_mhz == 1980
    nvml.answers["nvmlDeviceGetClockInfo"] = 1500
    assert look(chip).sm_clock_mhz == 1500
    nvml.answers["nvmlDeviceGetClockInfo"] = 345
    assert look(chip).sm_clock_mhz == 1500  # it ran so at the start of the interval
    assert look(chip).sm_clock_mhz == 345
    nvml.refuse["nvmlDeviceGetClockInfo"] = "NOT_SUPPORTED"
    assert look(chip).sm_clock_mhz is None


def test_pids_are_of_all_lists() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    assert look(chip).pids == (20, 30)
    nvml.refuse["nvmlDeviceGetMPSComputeRunningProcesses_v3"] = "NOT_SUPPORTED"
    assert look(chip).pids == (30,)


def test_a_list_that_may_hide_pids_makes_them_unknown() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.refuse["nvmlDeviceGetGraphicsRunningProcesses_v3"] = "NO_PERMISSION"
    assert look(chip).pids is None
    nvml.refuse.clear()
    nvml.answers["nvmlDeviceGetGraphicsRunningProcesses_v3"] = [SimpleNamespace(pid=2**32 - 1)]
    assert look(chip).pids is None
    for name in nvml.answers:
        if name.endswith("Processes_v3"):
            nvml.refuse[name] = "NOT_SUPPORTED"
    assert look(chip).pids is None


@pytest.mark.parametrize(
    "call", ["nvmlGpmSampleGet", "nvmlDeviceGetSamples", "nvmlDeviceGetTotalEnergyConsumption"]
)
def test_a_lost_chip_says_so_and_nothing_else(call: str) -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    assert look(chip).error is None
    nvml.refuse[call] = "GPU_IS_LOST"
    seen = look(chip)
    assert seen.error == "GPU_IS_LOST"
    assert (seen.uuid, seen.cycles, seen.energy_mj, seen.pids) == ("GPU-0", None, None, None)
    assert seen.taken_ms > 0
    nvml.refuse.clear()
    assert look(chip).error is None


def test_a_lost_chip_does_not_disturb_the_others() -> None:
    nvml = FakeNvml(3)
    sampler = Sampler(nvml)
    sampler.identities()
    nvml.refuse["lost1"] = ""
    ((message,), _) = split(sampler.samples())
    assert isinstance(message, Samples)
    assert [one.error for one in message.samples] == [None, "GPU_IS_LOST", None]


def test_one_refused_call_leaves_the_rest() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    nvml.refuse["nvmlDeviceGetTotalEnergyConsumption"] = "NOT_SUPPORTED"
    nvml.refuse["nvmlGpmMetricsGet"] = "UNKNOWN"
    seen = look(chip)
    assert (seen.error, seen.energy_mj, seen.cycles) == (None, None, None)
    assert seen.sm_clock_mhz == 345
    assert seen.pids == (20, 30)


def test_a_chip_that_refuses_everything_is_an_error() -> None:
    nvml = FakeNvml()
    chip = ChipReader(nvml, 0)
    for name in nvml.answers:
        nvml.refuse[name] = "UNKNOWN"
    more = ("nvmlGpmSampleGet", "nvmlDeviceGetSamples", "nvmlDeviceGetGpuInstanceProfileInfo")
    nvml.refuse.update(dict.fromkeys(more, "UNKNOWN"))
    assert look(chip).error == "UNKNOWN"


def test_a_chip_without_uuid_is_not_opened() -> None:
    nvml = FakeNvml()
    nvml.refuse["nvmlDeviceGetUUID"] = "UNKNOWN"
    with pytest.raises(GoneError, match="UNKNOWN"):
        ChipReader(nvml, 0)


@pytest.mark.parametrize(
    ("mode", "refusal", "mig"),
    [
        ([0, 1], None, False),
        ([1, 0], None, True),
        ([2**32 - 1, 2**32 - 1], None, True),
        ([0, 0], "NOT_SUPPORTED", False),
        ([0, 0], "FUNCTION_NOT_FOUND", False),
        ([0, 0], "NO_PERMISSION", True),
        ([0, 0], "UNKNOWN", True),
    ],
)
def test_a_chip_that_does_not_say_whether_it_is_cut_counts_as_cut(
    mode: list[int], refusal: str | None, *, mig: bool
) -> None:
    nvml = FakeNvml()
    nvml.answers["nvmlDeviceGetMigMode"] = mode
    if refusal is not None:
        nvml.refuse["nvmlDeviceGetMigMode"] = refusal
    assert look(ChipReader(nvml, 0)).mig is mig


@pytest.mark.parametrize(("told", "read"), [(86_400, 86_400), (0, 0), (2**32 - 1, None)])
def test_run_time_is_read_as_the_black_box_has_it(told: int, read: int | None) -> None:
    nvml = FakeNvml()
    nvml.answers["nvmlDeviceGetBBXTimeData_v1"] = SimpleNamespace(timeRun=told)
    assert look(ChipReader(nvml, 0)).run_s == read
    nvml.refuse["nvmlDeviceGetBBXTimeData_v1"] = "NOT_SUPPORTED"
    seen = look(ChipReader(nvml, 0))
    assert (seen.run_s, seen.error) == (None, None)
