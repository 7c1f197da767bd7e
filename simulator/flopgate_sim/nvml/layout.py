"""The mapped state file, as ``native/fake_state.h`` declares it.

The header explains every field and who writes it. `check_layout` compares each offset and size
with what the compiled engine prints, so that the two can never drift apart unseen.
"""

from __future__ import annotations

import ctypes
import functools
import subprocess
from ctypes import c_char, c_int32, c_uint8, c_uint32, c_uint64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = 0x3130555047454B46
VERSION = 1
MAX_GPUS = 16
MAX_SLOTS = 256
MAX_FAULTS = 64
MAX_SAMPLES = 120
MAX_INSTANCES = 8

FORMATS = (
    "fp16",
    "bf16",
    "tf32",
    "fp8",
    "fp4",
    "int8",
    "fp64",
    "fp32",
    "fp64_vector",
    "fp16_vector",
)
COUNTERS = (
    "elapsed",
    "active",
    "mma",
    "dmma",
    "hmma",
    "imma",
    "dfma",
    "integer",
    "fp64",
    "fp32",
    "fp16",
)
SLOT_CLAIMED, SLOT_ALIVE, SLOT_DEAD = 1, 2, 3
FAULT_NONE, FAULT_RETURN, FAULT_HANG, FAULT_GARBAGE, FAULT_DELAY = range(5)


def _u32(*names: str) -> list[tuple[str, type[c_uint32]]]:
    return [(name, c_uint32) for name in names]


def _u64(*names: str) -> list[tuple[str, type[c_uint64]]]:
    return [(name, c_uint64) for name in names]


class Sample(ctypes.Structure):
    """One entry of the driver's sample buffer."""

    _fields_ = [
        ("timestamp_us", c_uint64),
        *_u32("gpu_util_pct", "memory_util_pct", "sm_clock_mhz", "power_mw"),
    ]


class Instance(ctypes.Structure):
    """One GPU instance of a chip."""

    _fields_ = [
        *_u32("alive", "id", "profile", "start", "share_ppm", "pad0"),
        ("since", c_uint64 * len(COUNTERS)),
    ]


class Fault(ctypes.Structure):
    """A failure switch for one call."""

    _fields_ = [
        ("call", c_char * 64),
        ("gpu", c_int32),
        ("mode", c_uint32),
        ("code", c_int32),
        ("delay_ms", c_uint32),
    ]


class Slot(ctypes.Structure):
    """One process on one GPU."""

    _fields_ = [
        *_u32("state", "gpu"),
        ("pid", c_int32),
        ("kind", c_uint32),
        ("start_ticks", c_uint64),
        *_u32("format", "context", "persistent", "share_ppm"),
        *_u64("unit_work", "memory_bytes", "submitted", "done", "rate_per_s"),
        *_u64("checkpoint_notices", "flop_tera", "flop_rest", "busy_ns", "util_timestamp_us"),
        *_u32("util_pct", "pad0"),
    ]


class Gpu(ctypes.Structure):
    """One GPU: identity, settings, switches, counters and truth."""

    _fields_ = [
        ("name", c_char * 96),
        ("uuid", c_char * 80),
        ("serial", c_char * 32),
        ("vbios", c_char * 32),
        ("inforom", c_char * 16),
        ("bus_id", c_char * 32),
        ("pdi", c_uint64),
        *_u32("pci_device_id", "pci_subsystem_id", "pci_domain", "pci_bus", "pci_device"),
        *_u32("minor", "cc_major", "cc_minor", "architecture", "sm_count", "cores"),
        *_u32("boost_mhz", "tensor_mhz", "idle_mhz", "min_mhz", "memory_mhz"),
        *_u32("idle_mw", "tdp_mw", "min_limit_mw", "nvlinks", "gpm"),
        *_u32("link_mbyte_per_s", "link_switches"),
        *_u64("memory_bytes", "memory_bps"),
        *_u32("lock_min_mhz", "lock_max_mhz", "limit_mw"),
        *_u32("compute_mode", "persistence", "draining"),
        *_u32("lost", "gpm_averaged", "gpm_relative", "mig_mode", "xid_sequence", "xid"),
        *_u32("link_down_mask", "gpm_percent_only", "gpm_idle", "fabric_v2_only"),
        *_u64("ecc_corrected", "ecc_uncorrected", "energy_back_mj"),
        ("cycles_back", c_uint64 * len(COUNTERS)),
        ("cycles", c_uint64 * len(COUNTERS)),
        ("flop_tera", c_uint64 * len(FORMATS)),
        ("flop_rest", c_uint64 * len(FORMATS)),
        *_u64("kernel_active_ns", "compute_active_ns", "dram_bytes", "nvlink_bytes"),
        *_u64("energy_uj", "energy_shown_mj", "last_work_ns", "last_math_ns"),
        *_u32("running", "clock_mhz", "power_mw", "event_reasons"),
        ("samples_written", c_uint64),
        ("samples", Sample * MAX_SAMPLES),
        ("instance", Instance * MAX_INSTANCES),
    ]


class State(ctypes.Structure):
    """The whole file."""

    _fields_ = [
        ("magic", c_uint64),
        *_u32("version", "state_bytes", "gpus", "tick_us"),
        *_u64("seed", "boot_run_s"),
        ("profile", c_char * 16),
        ("driver_version", c_char * 32),
        ("fabric_uuid", c_uint8 * 16),
        *_u32("fabric_clique", "driver_gone"),
        ("engine_pid", c_int32),
        *_u32("ready", "slots_high", "pad2"),
        *_u64("sequence", "ticks", "tick_ns", "started_ns"),
        ("gpu", Gpu * MAX_GPUS),
        ("slot", Slot * MAX_SLOTS),
        ("fault", Fault * MAX_FAULTS),
    ]


class LayoutError(RuntimeError):
    """The compiled engine and this module disagree on the state file: rebuild or fix the mirror."""


def own_layout() -> list[str]:
    """One ``struct field offset size`` a line, in the order of ``fake_gpu --layout``."""
    named = (
        ("fg_sample", Sample),
        ("fg_instance", Instance),
        ("fg_fault", Fault),
        ("fg_slot", Slot),
        ("fg_gpu", Gpu),
        ("fg_state", State),
    )
    rows = []
    for struct_name, struct in named:
        for field in struct._fields_:
            place = getattr(struct, field[0])
            rows.append(f"{struct_name} {field[0]} {place.offset} {place.size}")
    return rows


@functools.cache
def check_layout(engine: Path) -> None:
    """Compares this module with a compiled engine; once per process and engine.

    Raises:
        LayoutError: naming the first row that differs.
    """
    printed = subprocess.run([engine, "--layout"], capture_output=True, text=True, check=True)
    theirs, ours = printed.stdout.splitlines(), own_layout()
    if theirs == ours:
        return
    for their_row, our_row in zip(theirs, ours, strict=False):
        if their_row != our_row:
            message = f"state layout differs: C has {their_row!r}, Python has {our_row!r}"
            raise LayoutError(message)
    message = f"state layout differs: C has {len(theirs)} fields, Python has {len(ours)}"
    raise LayoutError(message)
