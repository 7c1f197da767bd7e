"""The fake ``libnvidia-ml.so.1`` as the real pynvml sees it: identity, lists, setters, failures."""

import concurrent.futures
import itertools
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_sim.nvml import FakeDriver, NvmlCallError, NvmlError, Probe, Profile, build

SM_CLOCK = 1
GPU_UTILISATION, SM_CLOCK_SAMPLES = 1, 5
TWO_TO_32 = 2**32 - 1
DCGM_BLANK = 9223372036854775794


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeDriver]:
    with FakeDriver(tmp_path_factory.mktemp("gpus"), gpus=2) as made:
        yield made


@pytest.fixture(scope="module")
def shared_probe(driver: FakeDriver) -> Iterator[Probe]:
    with Probe(driver) as made:
        yield made


@pytest.fixture
def probe(driver: FakeDriver, shared_probe: Probe) -> Iterator[Probe]:
    yield shared_probe
    driver.clear_faults()


def error_of(probe: Probe, name: str, *args: int, gpu: int | None = 0) -> str:
    with pytest.raises(NvmlCallError) as caught:
        probe.call(name, *args, gpu=gpu)
    return caught.value.name


@pytest.mark.parametrize(
    ("profile", "chip"),
    [
        ("V100", ("Tesla V100-SXM2-32GB", 0x1DB5, 80, [7, 0], 1530, 300_000, 32)),
        ("A100", ("NVIDIA A100-SXM4-80GB", 0x20B2, 108, [8, 0], 1410, 400_000, 80)),
        ("H100", ("NVIDIA H100 80GB HBM3", 0x2330, 132, [9, 0], 1980, 700_000, 80)),
        ("H200", ("NVIDIA H200", 0x2335, 132, [9, 0], 1980, 700_000, 141)),
        ("RTX4090", ("NVIDIA GeForce RTX 4090", 0x2684, 128, [8, 9], 2520, 450_000, 24)),
        ("B200", ("NVIDIA B200", 0x2901, 148, [10, 0], 1965, 1_000_000, 180)),
    ],
)
def test_each_profile_is_the_chip_it_says(
    tmp_path: Path, profile: Profile, chip: tuple[str, int, int, list[int], int, int, int]
) -> None:
    name, pci_id, sms, capability, clock, power_mw, memory_gib = chip
    cores_per_sm = 64 if profile in {"V100", "A100"} else 128
    with FakeDriver(tmp_path, profile, 1) as driver, Probe(driver) as probe:
        assert probe.call("nvmlDeviceGetName", gpu=0) == name
        assert probe.call("nvmlDeviceGetPciInfo_v3", gpu=0)["pciDeviceId"] == pci_id << 16 | 0x10DE
        assert probe.call("nvmlDeviceGetNumGpuCores", gpu=0) == sms * cores_per_sm
        assert probe.call("nvmlDeviceGetCudaComputeCapability", gpu=0) == capability
        assert probe.call("nvmlDeviceGetMaxClockInfo", SM_CLOCK, gpu=0) == clock
        assert probe.call("nvmlDeviceGetPowerManagementLimit", gpu=0) == power_mw
        assert probe.call("nvmlDeviceGetMemoryInfo", gpu=0)["total"] == memory_gib << 30
        has_gpm = probe.call("nvmlGpmQueryDeviceSupport", gpu=0)["isSupportedDevice"]
        assert has_gpm == (profile in {"H100", "H200", "B200"})
        if not has_gpm:
            assert error_of(probe, "nvmlDeviceGetPdi") == "NOT_SUPPORTED"
            with pytest.raises(NvmlCallError, match="NOT_SUPPORTED"):
                probe.gpm(0, [252])
        else:
            assert probe.call("nvmlDeviceGetPdi", gpu=0) > 0


def test_identity_differs_by_chip_and_survives_a_reboot(tmp_path: Path) -> None:
    names = ("nvmlDeviceGetUUID", "nvmlDeviceGetSerial", "nvmlDeviceGetPdi")
    seen = []
    driver = FakeDriver(tmp_path, gpus=3)
    for _ in range(2):
        with driver, Probe(driver) as probe:
            seen.append([[probe.call(name, gpu=gpu) for name in names] for gpu in range(3)])
            assert probe.call("nvmlDeviceGetCount") == 3
            assert seen[-1][1][0] == driver.uuid(1)
    assert seen[0] == seen[1]
    assert len({value for chip in seen[0] for value in chip}) == 9


def test_handles_by_uuid_and_bus_id_are_the_same_chip(driver: FakeDriver, probe: Probe) -> None:
    bus_id = probe.call("nvmlDeviceGetPciInfo_v3", gpu=1)["busId"]
    probe.call("nvmlDeviceGetHandleByUUID", driver.uuid(1))
    probe.call("nvmlDeviceGetHandleByPciBusId", bus_id)
    with pytest.raises(NvmlCallError, match="NOT_FOUND"):
        probe.call("nvmlDeviceGetHandleByUUID", "GPU-none")
    assert error_of(probe, "nvmlDeviceGetHandleByIndex", 2, gpu=None) == "INVALID_ARGUMENT"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("nvmlDeviceGetVbiosVersion", []),
        ("nvmlDeviceGetInforomImageVersion", []),
        ("nvmlDeviceGetMinorNumber", []),
        ("nvmlDeviceGetArchitecture", []),
        ("nvmlDeviceGetCurrentClocksEventReasons", []),
        ("nvmlDeviceGetEnforcedPowerLimit", []),
        ("nvmlDeviceGetPowerManagementLimitConstraints", []),
        ("nvmlDeviceGetUtilizationRates", []),
        ("nvmlDeviceGetEccMode", []),
        ("nvmlDeviceGetMigMode", []),
        ("nvmlDeviceGetMaxMigDeviceCount", []),
        ("nvmlDeviceGetTotalEccErrors", [1, 0]),
        ("nvmlDeviceGetNvLinkState", [0]),
        ("nvmlDeviceGetNvLinkRemotePciInfo", [0]),
        ("nvmlDeviceGetNvLinkRemoteDeviceType", [0]),
        ("nvmlDeviceGetLastBBXFlushTime", []),
        ("nvmlDeviceGetBBXTimeData_v1", []),
        ("nvmlDeviceGetSupportedEventTypes", []),
    ],
)
def test_calls_that_answer(probe: Probe, name: str, args: list[int]) -> None:
    assert probe.call(name, *args, gpu=0) is not None


@pytest.mark.parametrize(
    "name",
    ["nvmlSystemGetDriverVersion", "nvmlSystemGetNVMLVersion", "nvmlSystemGetCudaDriverVersion"],
)
def test_system_calls_that_answer(probe: Probe, name: str) -> None:
    assert probe.call(name)


def test_no_mig_instance_exists_on_a_whole_chip(probe: Probe) -> None:
    assert error_of(probe, "nvmlDeviceGetMigDeviceHandleByIndex", 0) == "NOT_FOUND"
    profile = probe.call("nvmlDeviceGetGpuInstanceProfileInfo", 2, gpu=0)
    assert (profile["multiprocessorCount"], profile["sliceCount"]) == (60, 3)
    assert error_of(probe, "nvmlDeviceGetGpuInstanceProfileInfo", 5) == "NOT_SUPPORTED"
    assert error_of(probe, "nvmlDeviceGetGpuInstanceProfileInfo", 18) == "INVALID_ARGUMENT"


@pytest.mark.parametrize("version", [2, 3])
def test_fabric_info_by_version(tmp_path: Path, version: int) -> None:
    uuid = bytes(range(16))
    with (
        FakeDriver(tmp_path, gpus=1, fabric_uuid=uuid, fabric_clique=7) as driver,
        Probe(driver) as probe,
    ):
        struct = f"c_nvmlGpuFabricInfo_v{version}_t"
        info = probe.call("nvmlDeviceGetGpuFabricInfoV", gpu=0, struct=struct)
    assert bytes(info["clusterUuid"]) == uuid
    assert (info["cliqueId"], info["state"], info["status"]) == (7, 3, 0)


def test_an_unknown_struct_version_is_refused(probe: Probe) -> None:
    with pytest.raises(NvmlCallError, match="ARGUMENT_VERSION_MISMATCH"):
        probe.call("nvmlDeviceGetGpuFabricInfoV", gpu=0, struct="c_nvmlPlatformInfo_v2_t")


def test_process_lists_by_context(driver: FakeDriver, probe: Probe) -> None:
    lists = {
        "compute": "nvmlDeviceGetComputeRunningProcesses",
        "mps": "nvmlDeviceGetMPSComputeRunningProcesses_v3",
        "graphics": "nvmlDeviceGetGraphicsRunningProcesses",
    }
    assert all(probe.call(name, gpu=0) == [] for name in lists.values())
    jobs = {
        "compute": driver.start_workload(gpus=[0, 1], memory_bytes=1 << 30),
        "mps": driver.start_workload(gpus=[0], context="mps"),
        "graphics": driver.start_workload(gpus=[0], context="graphics"),
    }
    for context, name in lists.items():
        assert [process["pid"] for process in probe.call(name, gpu=0)] == [jobs[context].pid]
    (other,) = probe.call(lists["compute"], gpu=1)
    assert (other["pid"], other["usedGpuMemory"]) == (jobs["compute"].pid, 1 << 30)
    assert probe.call("nvmlDeviceGetMemoryInfo", 40 | 2 << 24, gpu=1)["used"] == 1 << 30
    for job in jobs.values():
        job.kill()
        job.wait()
    driver.wait_ticks()
    assert all(probe.call(name, gpu=gpu) == [] for name in lists.values() for gpu in (0, 1))


def wait_samples(probe: Probe, kind: int, newer_than_us: int) -> list[dict[str, int]]:
    """Samples newer than a stamp, as soon as there are some."""
    for _ in range(1000):
        try:
            found = probe.call("nvmlDeviceGetSamples", kind, newer_than_us, gpu=0)[1]
        except NvmlCallError as error:
            if error.name != "NOT_FOUND":
                raise
            time.sleep(0.02)
        else:
            return [
                {"at_us": one["timeStamp"], "value": one["sampleValue"]["uiVal"]} for one in found
            ]
    raise TimeoutError


def test_samples_are_those_newer_than_the_stamp(driver: FakeDriver, probe: Probe) -> None:
    first = wait_samples(probe, GPU_UTILISATION, 0)[-1]["at_us"]
    assert error_of(probe, "nvmlDeviceGetSamples", GPU_UTILISATION, first + 10**9) == "NOT_FOUND"
    job = driver.start_workload(gpus=[0])
    newest = first
    busy: list[dict[str, int]] = []
    while len(busy) < 3:
        found = wait_samples(probe, GPU_UTILISATION, newest)
        assert all(one["at_us"] > newest for one in found)
        newest = found[-1]["at_us"]
        busy += [one for one in found if one["value"] >= 90]
    steps_us = [b["at_us"] - a["at_us"] for a, b in itertools.pairwise(busy)]
    assert min(steps_us) >= 160_000
    assert wait_samples(probe, SM_CLOCK_SAMPLES, 0)[-1]["value"] == 1830
    (process,) = probe.call("nvmlDeviceGetProcessUtilization", 0, gpu=0)
    assert process["pid"] == job.pid
    assert process["smUtil"] >= 90
    job.kill()
    job.wait()
    driver.wait_ticks()
    assert error_of(probe, "nvmlDeviceGetProcessUtilization", 0) == "NOT_FOUND"


def test_setters_can_be_read_back(probe: Probe) -> None:
    probe.call("nvmlDeviceSetPowerManagementLimit", 300_000, gpu=1)
    assert probe.call("nvmlDeviceGetPowerManagementLimit", gpu=1) == 300_000
    probe.call("nvmlDeviceSetPowerManagementLimit", 700_000, gpu=1)
    probe.call("nvmlDeviceSetPersistenceMode", 0, gpu=1)
    assert probe.call("nvmlDeviceGetPersistenceMode", gpu=1) == 0
    probe.call("nvmlDeviceSetComputeMode", 2, gpu=1)
    assert probe.call("nvmlDeviceGetComputeMode", gpu=1) == 2
    probe.call("nvmlDeviceSetComputeMode", 0, gpu=1)
    assert error_of(probe, "nvmlDeviceSetPowerManagementLimit", 100) == "INVALID_ARGUMENT"
    assert error_of(probe, "nvmlDeviceSetGpuLockedClocks", 900, 100) == "INVALID_ARGUMENT"
    assert probe.call("nvmlDeviceGetPowerManagementLimit", gpu=0) == 700_000


@pytest.mark.parametrize("error", list(NvmlError))
def test_a_call_fails_for_one_gpu_until_cleared(
    driver: FakeDriver, probe: Probe, error: NvmlError
) -> None:
    driver.fail_call("nvmlDeviceGetPowerUsage", error, gpu=1)
    assert error_of(probe, "nvmlDeviceGetPowerUsage", gpu=1) == error.name
    assert probe.call("nvmlDeviceGetPowerUsage", gpu=0) > 0
    driver.clear_fault("nvmlDeviceGetPowerUsage", gpu=1)
    assert probe.call("nvmlDeviceGetPowerUsage", gpu=1) > 0


def test_a_call_fails_for_every_gpu(driver: FakeDriver, probe: Probe) -> None:
    driver.fail_call("nvmlGpmSampleGet", NvmlError.NO_PERMISSION)
    for gpu in (0, 1):
        with pytest.raises(NvmlCallError, match="NO_PERMISSION"):
            probe.gpm(gpu, [252])


def test_a_lost_gpu_answers_nothing_and_comes_back(driver: FakeDriver, probe: Probe) -> None:
    driver.set_lost(0)
    assert error_of(probe, "nvmlDeviceGetUUID") == "GPU_IS_LOST"
    assert error_of(probe, "nvmlDeviceGetTotalEnergyConsumption") == "GPU_IS_LOST"
    assert probe.call("nvmlDeviceGetUUID", gpu=1) == driver.uuid(1)
    driver.set_lost(0, lost=False)
    assert probe.call("nvmlDeviceGetUUID", gpu=0) == driver.uuid(0)


def test_a_driver_that_is_gone(driver: FakeDriver, probe: Probe) -> None:
    driver.set_driver_gone()
    assert error_of(probe, "nvmlDeviceGetCount", gpu=None) == "DRIVER_NOT_LOADED"
    with pytest.raises(NvmlCallError, match="DRIVER_NOT_LOADED"):
        Probe(driver)
    driver.set_driver_gone(gone=False)
    assert probe.call("nvmlDeviceGetCount") == 2


def test_a_call_hangs_until_cleared(driver: FakeDriver, probe: Probe) -> None:
    driver.hang_call("nvmlDeviceGetTotalEnergyConsumption", gpu=0)
    assert probe.call("nvmlDeviceGetTotalEnergyConsumption", gpu=1) >= 0
    probe.send("nvmlDeviceGetTotalEnergyConsumption", gpu=0)
    assert not probe.answered(0.5)
    driver.clear_fault("nvmlDeviceGetTotalEnergyConsumption", gpu=0)
    assert probe.answer() >= 0


def test_a_hung_caller_can_be_killed(driver: FakeDriver, probe: Probe) -> None:
    assert probe.call("nvmlDeviceGetCount") == 2
    with Probe(driver) as victim:
        driver.hang_call("nvmlDeviceGetUUID")
        victim.send("nvmlDeviceGetUUID", gpu=0)
        assert not victim.answered(0.2)
        os.kill(victim.pid, signal.SIGKILL)
        with pytest.raises(NvmlCallError, match="PROBE_ENDED"):
            victim.answer()


def test_a_slow_call(driver: FakeDriver, probe: Probe) -> None:
    driver.delay_call("nvmlDeviceGetUUID", 300)
    before = time.monotonic()
    probe.call("nvmlDeviceGetUUID", gpu=0)
    assert time.monotonic() - before >= 0.3


def test_sentinels(driver: FakeDriver, probe: Probe) -> None:
    for name in (
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetClockInfo",
        "nvmlGpmMetricsGet",
        "nvmlDeviceGetSamples",
    ):
        driver.garble_call(name)
    assert probe.call("nvmlDeviceGetPowerUsage", gpu=0) == TWO_TO_32
    assert probe.call("nvmlDeviceGetClockInfo", SM_CLOCK, gpu=0) == TWO_TO_32
    assert probe.call("nvmlDeviceGetTotalEnergyConsumption", gpu=0) == DCGM_BLANK
    assert probe.gpm(0, [252]) == {252: float(DCGM_BLANK)}
    assert {one["value"] for one in wait_samples(probe, GPU_UTILISATION, 0)} == {TWO_TO_32}


def test_missing_symbols_are_really_missing(tmp_path: Path) -> None:
    missing = ("nvmlGpmSampleGet", "nvmlDeviceGetSamples")
    with FakeDriver(tmp_path, gpus=1, missing=missing) as driver, Probe(driver) as probe:
        assert error_of(probe, "nvmlDeviceGetSamples", 1, 0) == "FUNCTION_NOT_FOUND"
        with pytest.raises(NvmlCallError, match="FUNCTION_NOT_FOUND"):
            probe.gpm(0, [252])
        assert probe.call("nvmlDeviceGetUUID", gpu=0) == driver.uuid(0)


def test_xid_events(driver: FakeDriver, probe: Probe) -> None:
    probe.watch_xid(1)
    with pytest.raises(NvmlCallError, match="TIMEOUT"):
        probe.wait_xid(20)
    driver.raise_xid(0, 31)
    driver.raise_xid(1, 79)
    assert probe.wait_xid(5000) == 79
    with pytest.raises(NvmlCallError, match="TIMEOUT"):
        probe.wait_xid(20)


def test_links_ecc_and_mig_follow_their_switches(driver: FakeDriver, probe: Probe) -> None:
    driver.set_link_down(1, 3)
    driver.set_ecc_errors(1, corrected=5, uncorrected=2)
    driver.set_mig(1)
    states = [probe.call("nvmlDeviceGetNvLinkState", link, gpu=1) for link in range(18)]
    assert states == [int(link != 3) for link in range(18)]
    assert error_of(probe, "nvmlDeviceGetNvLinkState", 18) == "INVALID_ARGUMENT"
    assert probe.call("nvmlDeviceGetTotalEccErrors", 1, 0, gpu=1) == 2
    assert probe.call("nvmlDeviceGetMigMode", gpu=1) == [1, 1]
    driver.set_mig(1, enabled=False)
    driver.set_link_down(1, 3, down=False)
    assert probe.call("nvmlDeviceGetNvLinkState", 3, gpu=1) == 1


def test_a_stopped_driver_is_not_loaded(tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, gpus=1)
    with driver, Probe(driver) as probe:
        driver.stop()
        assert error_of(probe, "nvmlDeviceGetPowerUsage") == "DRIVER_NOT_LOADED"


SYMBOLS = """
InitWithFlags Shutdown ErrorString
SystemGet{DriverVersion NVMLVersion CudaDriverVersion_v2 ConfComputeState}
DeviceGet{Count_v2 HandleByIndex_v2 HandleByUUID HandleByPciBusId_v2 Name UUID Serial Pdi
  PciInfo_v3 VbiosVersion InforomImageVersion LastBBXFlushTime BBXTimeData_v1 Architecture
  CudaComputeCapability NumGpuCores MinorNumber ClockInfo MaxClockInfo CurrentClocksEventReasons
  PowerUsage EnforcedPowerLimit PowerManagementLimit PowerManagementLimitConstraints
  TotalEnergyConsumption FieldValues UtilizationRates ProcessUtilization Samples
  ComputeRunningProcesses_v3 GraphicsRunningProcesses_v3 MPSComputeRunningProcesses_v3 MemoryInfo
  MemoryInfo_v2 EccMode TotalEccErrors MigMode MaxMigDeviceCount MigDeviceHandleByIndex ComputeMode
  SupportedMemoryClocks SupportedGraphicsClocks PersistenceMode GpuFabricInfoV PlatformInfo
  NvLinkState NvLinkRemotePciInfo_v2 NvLinkRemoteDeviceType
  ConfComputeGpuAttestationReport ConfComputeGpuCertificate}
Device{SetComputeMode SetGpuLockedClocks ResetGpuLockedClocks SetPowerManagementLimit
  SetPersistenceMode ModifyDrainState QueryDrainState RegisterEvents}
Gpm{QueryDeviceSupport SampleAlloc SampleGet SampleFree MetricsGet MigSampleGet}
Event{SetCreate SetWait_v2 SetFree}
"""


def test_every_symbol_that_a_full_agent_meets_is_there() -> None:
    grouped = re.findall(r"(\w+)\{([^}]*)\}", SYMBOLS)
    alone = re.sub(r"\w+\{[^}]*\}", "", SYMBOLS).split()
    wanted = {f"nvml{prefix}{name}" for prefix, names in grouped for name in names.split()}
    wanted |= {f"nvml{name}" for name in alone}
    library = build().library_dir / "libnvidia-ml.so.1"
    listed = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True)
    present = {line.split()[-1] for line in listed.stdout.splitlines() if " T " in line}
    assert len(wanted) > 70
    assert wanted - present == set()
    assert all(name.startswith("nvml") for name in present)


def test_concurrent_builders_agree(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: build(cache), range(3)))
    assert len(set(results)) == 1
    assert (results[0].library_dir / "libnvidia-ml.so.1").is_file()
    assert [path.name for path in cache.iterdir()] == [results[0].engine.parent.name]
