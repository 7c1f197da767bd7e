"""Work on a real GPU, for `bench/meter_accuracy.py`: one JSON order a line in, one answer out.

Needs nothing but PyTorch with CUDA; run by whichever interpreter has it. With an argument it locks
the SM clock at so many MHz for throttled phases (root), and takes that back.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
from collections.abc import Callable
from typing import Any

BATCH = 8
"""Launches between two looks at the pipe: the queue stays short, and the GPU never runs dry."""
Step = Callable[[], object]


def main() -> None:
    """Answer orders until the pipe ends."""
    try:
        torch = importlib.import_module("torch")
        properties = torch.cuda.get_device_properties(0)
    except Exception as error:  # noqa: BLE001  # whatever a library of another machine raises
        _say({"error": f"PyTorch finds no GPU: {error}"})
        return
    _say({"uuid": f"GPU-{properties.uuid}", "words": f"{properties.name}, {torch.__version__}"})
    lock = Lock(int(sys.argv[1])) if len(sys.argv) > 1 else None
    try:
        for line in sys.stdin.buffer:
            _phase(torch, json.loads(line), lock)
    finally:
        if lock is not None:
            lock.release()


class Lock:
    """The SM clock of GPU 0, as NVML sets it."""

    def __init__(self, mhz: int) -> None:
        self._nvml = importlib.import_module("pynvml")
        self._nvml.nvmlInit()
        self._handle = self._nvml.nvmlDeviceGetHandleByIndex(0)
        self._mhz = mhz

    def take(self) -> None:
        """Lock it."""
        self._nvml.nvmlDeviceSetGpuLockedClocks(self._handle, self._mhz, self._mhz)

    def release(self) -> None:
        """As it was."""
        self._nvml.nvmlDeviceResetGpuLockedClocks(self._handle)


def _phase(torch: Any, order: dict[str, Any], lock: Lock | None) -> None:
    if order["throttled"] and lock is None:
        _say({"cannot": "no --throttle-mhz was given"})
        return
    try:
        if lock is not None:
            (lock.take if order["throttled"] else lock.release)()
        step = _step(torch, order)
        kernel = _kernel(torch, step) if step is not None else ""
    except Exception as error:  # noqa: BLE001  # a format that this GPU or version lacks
        _say({"cannot": f"{type(error).__name__}: {str(error).splitlines()[0]}"})
        return
    _say({"kernel": kernel})
    sys.stdin.buffer.readline()
    count = 0
    while not select.select([sys.stdin], [], [], 0 if step is not None else None)[0]:
        for _ in range(BATCH):
            if step is not None:
                step()
                count += 1
        torch.cuda.synchronize()
    sys.stdin.buffer.readline()
    torch.cuda.synchronize()
    _say({"count": count})


def _step(torch: Any, order: dict[str, Any]) -> Step | None:
    """One launch of the work."""
    m, n, k, fmt = order["m"], order["n"], order["k"], order["fmt"]
    on: dict[str, Any] = {"device": "cuda"}
    if order["kind"] == "idle":
        return None
    if order["kind"] == "memory":
        a, b = torch.rand(m, n, **on), torch.rand(m, n, **on)
        return lambda: torch.add(a, b, out=a)
    if fmt == "int8":
        left = torch.randint(-8, 8, (m, k), dtype=torch.int8, **on)
        right = torch.randint(-8, 8, (n, k), dtype=torch.int8, **on)
        return lambda: torch._int_mm(left, right.t())  # noqa: SLF001  # the only way to it
    if fmt == "fp8":
        left = torch.rand(m, k, **on).to(torch.float8_e4m3fn)
        right = torch.rand(n, k, **on).to(torch.float8_e4m3fn)
        one = torch.ones((), **on)
        scaled = torch._scaled_mm  # noqa: SLF001  # the only way to it
        return lambda: scaled(left, right.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    torch.backends.cuda.matmul.allow_tf32 = fmt == "tf32"
    kinds = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp64": torch.float64}
    dtype = kinds.get(fmt, torch.float32)
    a, b = torch.rand(m, k, dtype=dtype, **on), torch.rand(k, n, dtype=dtype, **on)
    out = torch.empty(m, n, dtype=dtype, **on)
    return lambda: torch.mm(a, b, out=out)


def _kernel(torch: Any, step: Step) -> str:
    """Name of the kernel that takes the time; also the warm-up, before anything is counted."""
    step()
    torch.cuda.synchronize()
    cuda = torch.profiler.ProfilerActivity.CUDA
    with torch.profiler.profile(activities=[cuda]) as profile:
        step()
        torch.cuda.synchronize()
    events = profile.key_averages()
    longest = max(events, key=lambda event: getattr(event, "device_time_total", 0), default=None)
    return "" if longest is None else str(longest.key)


def _say(answer: dict[str, Any]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main()
