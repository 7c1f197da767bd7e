"""What tests read from and ask of the fake hardware: frozen values."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

Profile = Literal["V100", "A100", "H100", "H200", "RTX4090", "B200"]
MigProfile = Literal["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]
Kind = Literal["gemm", "memory", "comm"]
Context = Literal["compute", "mps", "graphics"]
Format = Literal[
    "fp16", "bf16", "tf32", "fp8", "fp4", "int8", "fp64", "fp32", "fp64_vector", "fp16_vector"
]


class NvmlError(enum.IntEnum):
    """Return codes that a failure switch can make a call give (NVML's own numbers)."""

    INVALID_ARGUMENT = 2
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    NOT_FOUND = 6
    TIMEOUT = 10
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    NO_DATA = 21
    UNKNOWN = 999


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycles:
    """Cumulative SM cycles since the engine started, summed over SMs, 0 to 2**63-1."""

    elapsed: int
    active: int
    mma: int
    dmma: int
    hmma: int
    imma: int
    dfma: int
    integer: int
    fp64: int
    fp32: int
    fp16: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What one GPU really did since the engine started. No failure switch touches it.

    Attributes:
        flop: executed FLOP by format, from the workloads' own m, n, k.
        kernel_active_ns: time in which any kernel executed.
        math_active_ns: the same without communication kernels.
        cycles: what the pipes did.
        energy_uj: microjoule.
        last_work_ms: CLOCK_BOOTTIME of the last instant in which a kernel executed; ``None``
            when none ever did.
        last_math_ms: the same without communication kernels.
        running: a kernel was executing at the last tick.
        sm_clock_mhz: clock in the last tick.
        at_ms: CLOCK_BOOTTIME of the tick that this tells of.
    """

    flop: Mapping[str, int]
    kernel_active_ns: int
    math_active_ns: int
    cycles: Cycles
    energy_uj: int
    last_work_ms: float | None
    last_math_ms: float | None
    running: bool
    sm_clock_mhz: int
    at_ms: float

    @property
    def total_flop(self) -> int:
        """Executed FLOP over all formats."""
        return sum(self.flop.values())


class WorkloadOptions(TypedDict, total=False):
    """Keyword arguments of `FakeDriver.start_workload`; `Workload` explains them."""

    gpus: Sequence[int]
    fmt: Format
    kind: Kind
    context: Context
    m: int
    n: int
    k: int
    share: float
    duty: float
    seconds: float | None
    drain_ms: int
    persistent: bool
    ignore_sigterm: bool
    exit_on_checkpoint: bool
    children: int
    memory_bytes: int
    hold_device: bool
    cgroup: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a workload process does.

    Attributes:
        gpus: indices, one context on each.
        fmt: number format of the GEMM; tensor cores except ``fp32`` and the ``_vector`` ones.
        kind: ``gemm``; ``memory`` (streaming FP32 additions of m x n elements, 0.4% of peak);
            ``comm`` (spins: SMs active, every math pipe at zero).
        context: in which of NVML's process lists the process stands.
        m, n, k: the GEMM's size; one executes 2 x m x n x k FLOP.
        share: part of the pipe's peak that a GEMM reaches, above 0 and at most 1.
        duty: part of the time in which work is queued; below 1 the queue runs dry in between.
        seconds: ends by itself after so long, once what it launched has executed; ``None``: runs
            until told to end. SIGTERM ends it at once, with whatever is queued.
        drain_ms: depth of the launch queue at the clocks of the moment, at least one kernel. So
            long the GPU goes on after a freeze; longer if the clocks were lowered after launch.
        persistent: one kernel that runs until the process is dead, frozen or not.
        ignore_sigterm: SIGTERM and SIGINT do nothing.
        exit_on_checkpoint: SIGUSR1 makes it launch no more, wait for its queue, and exit; the
            signal is counted in any case.
        children: forked processes that do the same work, next to the first.
        memory_bytes: GPU memory shown as used, per context.
        hold_device: keeps the device node's stand-in open; without the node it exits with 3.
        cgroup: a cgroup v2 folder that the process enters first.
    """

    gpus: Sequence[int] = (0,)
    fmt: Format = "fp16"
    kind: Kind = "gemm"
    context: Context = "compute"
    m: int = 4096
    n: int = 4096
    k: int = 4096
    share: float = 0.75
    duty: float = 1.0
    seconds: float | None = None
    drain_ms: int = 50
    persistent: bool = False
    ignore_sigterm: bool = False
    exit_on_checkpoint: bool = False
    children: int = 0
    memory_bytes: int = 4 << 30
    hold_device: bool = True
    cgroup: Path | None = None

    def arguments(self, device_dir: Path) -> list[str]:
        """Command line of ``fake_workload``, without the program."""
        listed = {
            "gpus": ",".join(str(gpu) for gpu in self.gpus),
            "format": self.fmt,
            "kind": self.kind,
            "context": self.context,
            "m": self.m,
            "n": self.n,
            "k": self.k,
            "share": self.share,
            "duty": self.duty,
            "drain-ms": self.drain_ms,
            "children": self.children,
            "memory-bytes": self.memory_bytes,
        }
        if self.seconds is not None:
            listed["seconds"] = self.seconds
        if self.hold_device:
            listed["device-dir"] = str(device_dir)
        if self.cgroup is not None:
            listed["cgroup"] = str(self.cgroup)
        flags = {
            "persistent": self.persistent,
            "ignore-sigterm": self.ignore_sigterm,
            "exit-on-checkpoint": self.exit_on_checkpoint,
        }
        return [f"--{name}={value}" for name, value in listed.items()] + [
            f"--{name}" for name, chosen in flags.items() if chosen
        ]
