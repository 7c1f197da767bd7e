"""The chip reader on chips that are cut into instances, against a driver that lies and refuses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from flopgate_agent.counters.chip_reader import ChipReader
from flopgate_agent.counters.gpm import GPM_CYCLES
from tests.support.fake_pynvml import FakeInstance, FakeNvml
from tests.unit.test_sampler_nvml import look


def cut_up(*instances: FakeInstance) -> FakeNvml:
    nvml = FakeNvml()
    nvml.answers["nvmlDeviceGetMigMode"] = [1, 1]
    nvml.instances.extend(instances)
    return nvml


def of_slices(number: int, profile: int, start: int, cycles: float = 1e9) -> FakeInstance:
    return FakeInstance(
        id=number, profile=profile, start=start, cycles=dict.fromkeys(GPM_CYCLES, cycles)
    )


ONE_G, THREE_G = 19, 9


def test_instances_are_read_each_by_its_own_counters() -> None:
    nvml = cut_up(of_slices(3, THREE_G, 0), of_slices(9, ONE_G, 4, 7.0))
    chip = ChipReader(nvml, 0)
    seen = look(chip)
    assert (seen.mig, seen.cycles, seen.full) == (True, None, False)
    assert seen.instances is not None
    read = {one.id: (one.sm_count, one.cycles and one.cycles.hmma) for one in seen.instances}
    assert read == {3: (60, 10**9), 9: (16, 7)}
    nvml.instances[1].cycles = dict.fromkeys(GPM_CYCLES, 8.0)
    again = look(chip).instances
    assert again is not None
    assert {one.cycles.hmma for one in again if one.cycles} == {10**9, 8}


@pytest.mark.parametrize(
    ("instances", "full"),
    [
        ([(number, ONE_G, number) for number in range(7)], True),
        ([(number, ONE_G, number) for number in range(6)], False),
        # Two such leave a compute slice free, and no memory slice.
        ([(1, THREE_G, 0), (2, THREE_G, 4)], True),
        ([(1, 0, 0)], True),
        ([], False),
    ],
)
def test_a_chip_is_full_once_no_slice_of_either_kind_is_left(
    instances: list[tuple[int, int, int]], *, full: bool
) -> None:
    chip = ChipReader(cut_up(*[of_slices(*one) for one in instances]), 0)
    seen = look(chip)
    assert seen.full is full
    assert seen.instances is not None
    assert len(seen.instances) == len(instances)


def test_a_driver_that_tells_no_places_leaves_compute_slices_to_count() -> None:
    nvml = cut_up(of_slices(1, THREE_G, 0), of_slices(2, THREE_G, 4))
    nvml.refuse["nvmlDeviceGetGpuInstancePossiblePlacements"] = "FUNCTION_NOT_FOUND"
    assert not look(ChipReader(nvml, 0)).full


@pytest.mark.parametrize(
    ("call", "refusal"),
    [
        ("nvmlDeviceGetGpuInstanceProfileInfo", "NO_PERMISSION"),
        ("nvmlDeviceGetGpuInstanceProfileInfo", "FUNCTION_NOT_FOUND"),
        ("nvmlDeviceGetGpuInstances", "NO_PERMISSION"),
        ("nvmlGpuInstanceGetInfo", "NOT_FOUND"),
    ],
)
def test_instances_are_unknown_where_one_could_be_missing(call: str, refusal: str) -> None:
    nvml = cut_up(of_slices(1, THREE_G, 0))
    nvml.refuse[call] = refusal
    seen = look(ChipReader(nvml, 0))
    assert (seen.mig, seen.instances, seen.cycles, seen.error) == (True, None, None, None)


@pytest.mark.parametrize("figure", ["instanceCount", "multiprocessorCount", "sliceCount"])
@pytest.mark.parametrize("nonsense", [0, 2**32 - 1])
def test_nonsense_in_a_profile_makes_instances_unknown(figure: str, nonsense: int) -> None:
    nvml = cut_up()
    nvml.profiles[0] = SimpleNamespace(**{**vars(nvml.profiles[0]), figure: nonsense})
    assert look(ChipReader(nvml, 0)).instances is None


def test_an_instance_that_cannot_be_read_is_there_without_counters() -> None:
    nvml = cut_up(of_slices(1, THREE_G, 0))
    nvml.refuse["nvmlGpmMigSampleGet"] = "NOT_SUPPORTED"
    (one,) = look(ChipReader(nvml, 0)).instances or ()
    assert (one.sm_count, one.cycles) == (60, None)


def test_an_older_chip_cut_into_instances_is_not_asked_for_counters_that_it_has_not() -> None:
    nvml = cut_up(of_slices(1, THREE_G, 0))
    nvml.answers["nvmlGpmQueryDeviceSupport"] = SimpleNamespace(isSupportedDevice=0)
    assert look(ChipReader(nvml, 0)).instances is None


def test_a_chip_that_goes_away_while_its_instances_are_read_is_gone() -> None:
    nvml = cut_up(of_slices(1, THREE_G, 0))
    chip = ChipReader(nvml, 0)
    look(chip)
    nvml.refuse["nvmlDeviceGetGpuInstances"] = "GPU_IS_LOST"
    assert look(chip).error == "GPU_IS_LOST"


def test_a_chip_that_is_whole_again_is_read_as_one() -> None:
    nvml = cut_up(of_slices(1, THREE_G, 0))
    chip = ChipReader(nvml, 0)
    look(chip)
    nvml.answers["nvmlDeviceGetMigMode"] = [0, 0]
    seen = look(chip)
    assert (seen.mig, seen.instances) == (False, None)
    assert seen.cycles is not None
