"""Work whose FLOP are known: on the fake driver, or on a real GPU through PyTorch."""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from bench.harness import BenchError
from flopgate_sim.nvml import FakeDriver
from flopgate_sim.nvml.values import Format

PREPARE_S: Final = 300.0
"""Longest that a real GPU may take to load libraries and compile."""
THROTTLED_TDP_PERCENT: Final = 45
"""Power limit of the throttled phase on the fake driver."""
SETTLE_S: Final = 2.5
"""The driver's utilisation buffer trails by a sample period, 2 s at most."""
_TILE: Final = re.compile(r"(?:tilesize|_)(\d{2,3})x(\d{2,3})(?=[x_])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One piece of work. ``kind``: ``gemm``, ``memory`` or ``idle``; a GEMM has 2 m n k FLOP."""

    name: str
    kind: str = "gemm"
    fmt: Format = "fp16"
    m: int = 8192
    n: int = 8192
    k: int = 8192
    throttled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one chip did. ``useful_flop``: without tile padding; ``note``: what was assumed."""

    executed_flop: int
    useful_flop: int
    note: str = ""


class Worker(Protocol):
    """Who does the work."""

    def prepare(self, phase: Phase) -> str:
        """Make ready, before the first look; why it cannot be done here, or nothing."""

    def begin(self, phase: Phase) -> None:
        """Start."""

    def end(self) -> dict[str, Done]:
        """Stop, wait until all chips stand still, and tell what each did, by UUID."""


def tile_of(kernel: str) -> tuple[int, int] | None:
    """Rows and columns of the tile that a GEMM kernel's name tells, ``None`` where it does not."""
    found = _TILE.search(kernel)
    return None if found is None else (int(found[1]), int(found[2]))


def padded_flop(phase: Phase, tile: tuple[int, int]) -> int:
    """FLOP of one GEMM whose output is cut into whole tiles."""
    rows, columns = tile
    return 2 * -(-phase.m // rows) * rows * -(-phase.n // columns) * columns * phase.k


class FakeWorker:
    """GEMMs on every GPU of a fake driver; a tile is 128 x 256, as large as the usual ones."""

    TILE: Final = (128, 256)

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self._gpus = list(range(driver.gpus))
        self._limits_mw = [driver.power_limit_mw(gpu) for gpu in self._gpus]
        self._job: subprocess.Popen[bytes] | None = None
        self._before = [0 for _ in self._gpus]
        self._useful = 1.0

    def prepare(self, phase: Phase) -> str:
        """The power limit, and where the counting starts."""
        percent = THROTTLED_TDP_PERCENT if phase.throttled else 100
        for gpu, limit_mw in zip(self._gpus, self._limits_mw, strict=True):
            self._driver.set_power_limit(gpu, limit_mw * percent // 100)
        self._before = [self._driver.truth(gpu).total_flop for gpu in self._gpus]
        return ""

    def begin(self, phase: Phase) -> None:
        """A GEMM of whole tiles, as the hardware would run it."""
        self._useful = 1.0
        if phase.kind == "idle":
            return
        if phase.kind == "memory":
            self._job = self._driver.start_workload(gpus=self._gpus, kind="memory")
            return
        rows, columns = self.TILE
        self._useful = 2 * phase.m * phase.n * phase.k / padded_flop(phase, self.TILE)
        self._job = self._driver.start_workload(
            gpus=self._gpus,
            fmt=phase.fmt,
            m=-(-phase.m // rows) * rows,
            n=-(-phase.n // columns) * columns,
            k=phase.k,
            share=0.8,
        )

    def end(self) -> dict[str, Done]:
        """Truth is the fake's own, from the sizes that it was given and its own constants."""
        if self._job is not None:
            self._job.kill()
            self._job.wait()
            self._job = None
        for gpu in self._gpus:
            self._driver.wait_idle(gpu)
        time.sleep(SETTLE_S)
        done = {}
        for gpu, before in zip(self._gpus, self._before, strict=True):
            flop = self._driver.truth(gpu).total_flop - before
            useful = round(flop * self._useful)
            done[self._driver.uuid(gpu)] = Done(executed_flop=flop, useful_flop=useful)
        return done


class TorchWorker:
    """One real GPU, driven by a child process with PyTorch (`bench/torch_work.py`).

    Raises:
        BenchError: no PyTorch, or no GPU that it can use.
    """

    def __init__(self, python: str, throttle_mhz: int | None) -> None:
        command = [python, str(Path(__file__).with_name("torch_work.py"))]
        if throttle_mhz is not None:
            command.append(str(throttle_mhz))
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        hello = self._answer()
        self.uuid = str(hello["uuid"])
        self.words = str(hello["words"])
        self._phase: Phase | None = None
        self._kernel = ""

    def prepare(self, phase: Phase) -> str:
        """Everything that runs once: libraries, autotuning, the kernel's name."""
        order = {"kind": phase.kind, "fmt": phase.fmt, "m": phase.m, "n": phase.n, "k": phase.k}
        self._say({**order, "throttled": phase.throttled})
        answer = self._answer()
        self._phase, self._kernel = phase, str(answer.get("kernel", ""))
        return str(answer.get("cannot", ""))

    def begin(self, _phase: Phase) -> None:
        """Start; it runs until `end`."""
        self._say({"go": True})

    def end(self) -> dict[str, Done]:
        """FLOP by the number of launches; executed ones by the tile in the kernel's name."""
        self._say({"stop": True})
        count = int(self._answer()["count"])
        time.sleep(SETTLE_S)
        if self._phase is None or self._phase.kind == "idle":
            return {self.uuid: Done(executed_flop=0, useful_flop=0)}
        phase = self._phase
        if phase.kind == "memory":
            flop = count * phase.m * phase.n
            return {self.uuid: Done(executed_flop=flop, useful_flop=flop)}
        useful = 2 * phase.m * phase.n * phase.k
        tile = tile_of(self._kernel)
        executed = useful if tile is None else padded_flop(phase, tile)
        note = f"{self._kernel}, tile {'unknown' if tile is None else f'{tile[0]} x {tile[1]}'}"
        return {
            self.uuid: Done(executed_flop=count * executed, useful_flop=count * useful, note=note)
        }

    def close(self) -> None:
        """End the child; it takes back what it set."""
        if self._child.stdin is not None:
            self._child.stdin.close()
        self._child.wait(PREPARE_S)

    def _say(self, order: dict[str, Any]) -> None:
        if self._child.stdin is None:
            raise BenchError("the worker has no pipe")
        self._child.stdin.write(json.dumps(order).encode() + b"\n")
        self._child.stdin.flush()

    def _answer(self) -> dict[str, Any]:
        out = self._child.stdout
        if out is None or not select.select([out], [], [], PREPARE_S)[0]:
            raise BenchError("the worker with PyTorch does not answer")
        line = out.readline()
        if not line:
            raise BenchError("the worker with PyTorch ended: its words stand above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(str(answer["error"]))
        return answer


def has_torch(python: str) -> bool:
    """Whether this interpreter has PyTorch and PyTorch a GPU."""
    program = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    asked = subprocess.run(
        [python, "-c", program], check=False, stderr=subprocess.DEVNULL, env=os.environ
    )
    return asked.returncode == 0


OWN_PYTHON: Final = sys.executable
