"""A fake NVIDIA driver: real processes, the real ``pynvml``, no GPU.

Three compiled parts share one mapped file:

- ``fake_gpu``, the hardware: integrates what workloads launched over real time, keeps the cycle
  counters, the energy, and the truth (executed FLOP per format, from its own constants);
- ``libnvidia-ml.so.1``, the driver's library, found by ``pynvml`` through ``LD_LIBRARY_PATH``;
- ``fake_workload``, a process that launches GEMMs and can be frozen, signalled and killed.

Usage::

    with FakeDriver(tmp_path, profile="H100", gpus=2) as driver:
        job = driver.start_workload(gpus=[0], fmt="fp16", share=0.75)
        agent = subprocess.Popen([...], env={**os.environ, **driver.env()})
        ...
        os.kill(job.pid, signal.SIGSTOP)     # launches stop; the queue (50 ms) still executes
        driver.truth(0).flop["fp16"]         # what really ran, in FLOP
        driver.last_work_ms(0)               # CLOCK_BOOTTIME of the last executing instant
        driver.running(0)                    # whether a kernel executes now

As on real hardware: freezing a process stops submission only; a persistent kernel runs until its
process is dead; a communication kernel keeps the SMs active and every math pipe at zero; locked
clocks and power limits slow the work down; NVML's setters act; GPM exists from Hopper on.

Failure switches, per call and GPU, while a daemon runs: `FakeDriver.fail_call`, ``hang_call``,
``garble_call``, ``delay_call``, ``set_lost``, ``set_driver_gone``, ``jump_back``; a symbol that
is really absent through ``FakeDriver(missing=(...))``.

Closing a device node: ``(driver.device_dir / "nvidia0").chmod(0)`` or removing it; also NVML's
compute mode. New workloads then end with exit code 3; those that run go on.

Where it is simpler than hardware: kernels of several processes take turns without overhead; one
clock per GPU and tick; GEMMs are not padded to tiles; GPM samples are as old as the last tick;
power is a smooth function of load and clock; no MIG instances, no attestation.
"""

from flopgate_sim.compiling import BuildError
from flopgate_sim.nvml.build import Build, build
from flopgate_sim.nvml.driver import FakeDriver, FakeDriverError
from flopgate_sim.nvml.layout import LayoutError
from flopgate_sim.nvml.probe import NvmlCallError, Probe
from flopgate_sim.nvml.values import (
    Cycles,
    Format,
    NvmlError,
    Profile,
    Truth,
    Workload,
    WorkloadOptions,
)

__all__ = [
    "Build",
    "BuildError",
    "Cycles",
    "FakeDriver",
    "FakeDriverError",
    "Format",
    "LayoutError",
    "NvmlCallError",
    "NvmlError",
    "Probe",
    "Profile",
    "Truth",
    "Workload",
    "WorkloadOptions",
    "build",
]
