"""The fake driver's binary interfaces: its own state file, and NVML's structs."""

import ctypes
import importlib
import subprocess
from pathlib import Path

import pytest

from flopgate_sim.nvml import build, layout

pynvml = importlib.import_module("pynvml")

# The fake's struct, pynvml's, and the size that the product's documents give for it.
STRUCTS = {
    "nvmlSample_t": ("c_nvmlSample_t", 16),
    "nvmlPciInfo_t": ("nvmlPciInfo_t", 68),
    "nvmlMemory_t": ("c_nvmlMemory_t", 24),
    "nvmlMemory_v2_t": ("c_nvmlMemory_v2_t", 40),
    "nvmlUtilization_t": ("c_nvmlUtilization_t", 8),
    "nvmlProcessInfo_t": ("c_nvmlProcessInfo_v3_t", 24),
    "nvmlProcessUtilizationSample_t": ("c_nvmlProcessUtilizationSample_t", 32),
    "nvmlFieldValue_t": ("c_nvmlFieldValue_t", 40),
    "nvmlPdi_t": ("c_nvmlPdi_t", 16),
    "nvmlGpuFabricInfo_v2_t": ("c_nvmlGpuFabricInfo_v2_t", 36),
    "nvmlGpuFabricInfo_v3_t": ("c_nvmlGpuFabricInfo_v3_t", 40),
    "nvmlPlatformInfo_v2_t": ("c_nvmlPlatformInfo_v2_t", 44),
    "nvmlConfComputeSystemState_t": ("c_nvmlConfComputeSystemState_t", 12),
    "nvmlBBXTimeData_v1_t": ("c_nvmlBBXTimeData_v1_t", 4),
    "nvmlGpuInstancePlacement_t": ("c_nvmlGpuInstancePlacement_t", 8),
    "nvmlGpuInstanceProfileInfo_v2_t": ("c_nvmlGpuInstanceProfileInfo_v2_t", 152),
    "nvmlGpuInstanceInfo_t": ("c_nvmlGpuInstanceInfo_t", 24),
    "nvmlEventData_t": ("c_nvmlEventData_t", 32),
    "nvmlGpmMetric_t": ("c_nvmlGpmMetric_t", 40),
    "nvmlGpmMetricsGet_t": ("c_nvmlGpmMetricsGet_t", 19104),
    "nvmlGpmSupport_t": ("c_nvmlGpmSupport_t", 8),
}
TAGS = {
    "nvmlMemory_v2": 40 | 2 << 24,
    "nvmlGpuInstanceProfileInfo_v2": 152 | 2 << 24,
    "nvmlPdi_v1": 16 | 1 << 24,
    "nvmlGpuFabricInfo_v2": 36 | 2 << 24,
    "nvmlGpuFabricInfo_v3": 40 | 3 << 24,
    "nvmlPlatformInfo_v2": 44 | 2 << 24,
    "NVML_GPM_METRICS_GET_VERSION": 1,
    "NVML_GPM_SUPPORT_VERSION": 1,
}


def test_structs_are_as_large_as_those_of_pynvml() -> None:
    printed = subprocess.run([build().engine, "--abi"], capture_output=True, text=True, check=True)
    ours = {name: int(size) for name, size in map(str.split, printed.stdout.splitlines())}
    theirs = {
        name: ctypes.sizeof(getattr(pynvml, their_name))
        for name, (their_name, _) in STRUCTS.items()
    }
    assert ours == theirs
    assert ours == {name: size for name, (_, size) in STRUCTS.items()}


def test_version_tags_are_those_of_pynvml() -> None:
    assert {name: getattr(pynvml, name) for name in TAGS} == TAGS


def test_the_mirror_matches_the_compiled_state() -> None:
    layout.check_layout(build().engine)
    assert len(layout.own_layout()) > 100


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        (layout.own_layout()[:-1], "fields"),
        (["fg_sample timestamp_us 4 8", *layout.own_layout()[1:]], "'fg_sample timestamp_us 4 8'"),
    ],
    ids=["a field less", "another offset"],
)
def test_a_state_of_another_layout_is_refused(
    tmp_path: Path, rows: list[str], complaint: str
) -> None:
    engine = tmp_path / "engine"
    engine.write_text("#!/bin/sh\ncat <<'EOF'\n" + "\n".join(rows) + "\nEOF\n", encoding="utf-8")
    engine.chmod(0o755)
    with pytest.raises(layout.LayoutError, match=complaint):
        layout.check_layout(engine)


def test_a_size_of_the_header_follows_the_state() -> None:
    """The library refuses a file of another size, so the mirror must fill it exactly."""
    last = layout.own_layout()[-1].split()
    assert int(last[2]) + int(last[3]) == ctypes.sizeof(layout.State)
