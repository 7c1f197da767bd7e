"""A driver as an object with pynvml's names: what the chip reader sees, without a library.

It refuses and lies on request; the real pynvml on a shared library is met in the integration tests.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Protocol

from flopgate_agent.counters.gpm import GPM_CYCLES, GPM_SHARES

NOT_AVAILABLE = 2**64 - 1
CODES = {
    "SUCCESS": 0,
    "NOT_SUPPORTED": 3,
    "NOT_FOUND": 6,
    "DRIVER_NOT_LOADED": 9,
    "FUNCTION_NOT_FOUND": 13,
    "GPU_IS_LOST": 15,
    "NO_PERMISSION": 4,
    "UNKNOWN": 999,
}


class FakeNvmlError(Exception):
    """Stands for pynvml's ``NVMLError``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.value = CODES[name]


class Told(Protocol):
    """A number that the callee fills in, as ``ctypes.byref`` passes it."""

    _obj: ctypes.c_uint


class FakePlacement(ctypes.Structure):
    """Stands for ``c_nvmlGpuInstancePlacement_t``."""

    _fields_ = (("start", ctypes.c_uint), ("size", ctypes.c_uint))


class FakeInstance(SimpleNamespace):
    """One GPU instance: ``id``, ``profile``, ``start``, and its own counters."""

    id: int
    profile: int
    start: int
    cycles: dict[int, float]


PROFILES = {
    0: SimpleNamespace(id=19, instanceCount=7, multiprocessorCount=16, sliceCount=1, size=1),
    2: SimpleNamespace(id=9, instanceCount=2, multiprocessorCount=60, sliceCount=3, size=4),
    3: SimpleNamespace(id=0, instanceCount=1, multiprocessorCount=132, sliceCount=7, size=8),
}
"""By NVML's index, as an H100 has them; it has none with index 1."""


class FakeMetrics(SimpleNamespace):
    """Stands for ``c_nvmlGpmMetricsGet_t``."""

    def __init__(self) -> None:
        metric = [SimpleNamespace(metricId=0, nvmlReturn=0, value=0.0) for _ in range(20)]
        super().__init__(version=0, numMetrics=0, sample1=None, sample2=None, metrics=metric)


class FakeNvml(ModuleType):
    """A driver of ``chips`` H100. ``refuse`` maps a call's name to the error that it gives."""

    NVMLError = FakeNvmlError
    NVML_CLOCK_SM = 1
    NVML_GPU_UTILIZATION_SAMPLES = 1
    NVML_PROCESSOR_CLK_SAMPLES = 5
    NVML_GPM_METRICS_GET_VERSION = 1
    NVML_GPU_INSTANCE_PROFILE_COUNT = 4
    c_nvmlGpuInstance_t = ctypes.c_uint64  # noqa: N815 - pynvml's name
    c_nvmlGpuInstancePlacement_t = FakePlacement  # noqa: N815 - pynvml's name
    c_nvmlGpmMetricsGet_t = FakeMetrics  # noqa: N815 - pynvml's name

    def __init__(self, chips: int = 1) -> None:
        super().__init__("pynvml")
        for name, code in CODES.items():
            setattr(self, f"NVML_{name}" if name == "SUCCESS" else f"NVML_ERROR_{name}", code)
        self.chips = chips
        self.refuse: dict[str, str] = {}
        self.cycles: dict[int, float] = dict.fromkeys(GPM_CYCLES, 0.0)
        self.percents: dict[int, float] = dict.fromkeys(GPM_SHARES, 0.0)
        self.percent_only = False
        self.metric_code: int | None = 0
        self.profiles = dict(PROFILES)
        self.instances: list[FakeInstance] = []
        self.utilisation: list[tuple[int, int]] = []
        self.clocks: list[tuple[int, int]] = []
        self.answers: dict[str, object] = {
            "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetSerial": "123",
            "nvmlDeviceGetPdi": 77,
            "nvmlDeviceGetMinorNumber": 0,
            "nvmlDeviceGetMaxClockInfo": 1980,
            "nvmlDeviceGetClockInfo": 345,
            "nvmlDeviceGetTotalEnergyConsumption": 1000,
            "nvmlDeviceGetPciInfo_v3": SimpleNamespace(pciDeviceId=0x233010DE),
            "nvmlGpmQueryDeviceSupport": SimpleNamespace(isSupportedDevice=1),
            "nvmlGpmSampleFree": None,
            "nvmlDeviceGetMigMode": [0, 0],
            "nvmlDeviceGetBBXTimeData_v1": SimpleNamespace(timeRun=86_400),
            "nvmlDeviceGetComputeRunningProcesses_v3": [SimpleNamespace(pid=30)],
            "nvmlDeviceGetGraphicsRunningProcesses_v3": [],
            "nvmlDeviceGetMPSComputeRunningProcesses_v3": [SimpleNamespace(pid=20)],
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlSystemGetDriverVersion": "580.0",
        }

    def __getattr__(self, name: str) -> Callable[..., object]:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        special = getattr(type(self), f"_{name}", None)

        def call(*args: object) -> object:
            if name in self.refuse:
                raise FakeNvmlError(self.refuse[name])
            return special(self, *args) if special else self.answers[name]

        return call

    def _nvmlDeviceGetCount(self) -> int:  # noqa: N802 - pynvml's name
        return self.chips

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802 - pynvml's name
        return index

    def _nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802 - pynvml's name
        if f"lost{handle}" in self.refuse:
            raise FakeNvmlError("GPU_IS_LOST")
        return f"GPU-{handle}"

    def _nvmlGpmSampleAlloc(self) -> SimpleNamespace:  # noqa: N802 - pynvml's name
        return SimpleNamespace()

    def _nvmlGpmSampleGet(self, handle: int, held: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
        if f"lost{handle}" in self.refuse:
            raise FakeNvmlError("GPU_IS_LOST")
        held.cycles = dict(self.cycles)
        return held

    def _nvmlGpmMigSampleGet(  # noqa: N802 - pynvml's name
        self, handle: int, instance: int, held: SimpleNamespace
    ) -> SimpleNamespace:
        if f"lost{handle}" in self.refuse:
            raise FakeNvmlError("GPU_IS_LOST")
        found = [one for one in self.instances if one.id == instance]
        if not found:
            raise FakeNvmlError("NOT_FOUND")
        held.cycles = dict(found[0].cycles)
        return held

    def _nvmlDeviceGetGpuInstanceProfileInfo(  # noqa: N802 - pynvml's name
        self, _handle: int, index: int
    ) -> SimpleNamespace:
        if index not in self.profiles:
            raise FakeNvmlError("NOT_SUPPORTED")
        return self.profiles[index]

    def _nvmlDeviceGetGpuInstancePossiblePlacements(  # noqa: N802 - pynvml's name
        self, _handle: int, profile: int, places: ctypes.Array[FakePlacement], count: Told
    ) -> int:
        told = next(one for one in self.profiles.values() if one.id == profile)
        for place in range(told.instanceCount):
            places[place].start, places[place].size = place * told.size, told.size
        count._obj.value = told.instanceCount  # noqa: SLF001 - all that `byref` gives
        return 0

    def _nvmlDeviceGetGpuInstances(  # noqa: N802 - pynvml's name
        self, _handle: int, profile: int, handles: ctypes.Array[ctypes.c_uint64], count: Told
    ) -> int:
        found = [place for place, one in enumerate(self.instances) if one.profile == profile]
        for place, handle in enumerate(found):
            handles[place] = handle
        count._obj.value = len(found)  # noqa: SLF001 - all that `byref` gives
        return 0

    def _nvmlGpuInstanceGetInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        one = self.instances[handle]
        size = next(told.size for told in self.profiles.values() if told.id == one.profile)
        place = SimpleNamespace(start=one.start, size=size)
        return SimpleNamespace(id=one.id, profileId=one.profile, placement=place)

    def _nvmlGpmMetricsGet(self, metrics: FakeMetrics) -> FakeMetrics:  # noqa: N802 - pynvml's name
        for metric in metrics.metrics[: metrics.numMetrics]:
            if self.metric_code is None:
                continue  # a driver that forgets to fill in what it does not know
            metric.nvmlReturn = self.metric_code
            cumulative = metric.metricId in GPM_CYCLES
            if self.percent_only and (cumulative or metric.metricId not in self.percents):
                metric.nvmlReturn = CODES["NOT_SUPPORTED"]
            elif cumulative:
                metric.value = metrics.sample2.cycles[metric.metricId]
            else:
                metric.value = self.percents[metric.metricId]
        return metrics

    def _nvmlDeviceGetSamples(self, _handle: int, kind: int, since: int) -> object:  # noqa: N802
        kept = self.utilisation if kind == self.NVML_GPU_UTILIZATION_SAMPLES else self.clocks
        newer = [one for one in kept if one[0] > since]
        if not newer:
            raise FakeNvmlError("NOT_FOUND")
        return 1, [
            SimpleNamespace(timeStamp=stamp, sampleValue=SimpleNamespace(uiVal=value))
            for stamp, value in newer
        ]
