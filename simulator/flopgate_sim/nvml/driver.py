"""`FakeDriver`: the Python face of the fake hardware."""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import subprocess
import time
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self, Unpack

from flopgate_proto.errors import EnvironmentFault
from flopgate_sim.nvml import layout
from flopgate_sim.nvml.build import LIBRARY_NAME, build
from flopgate_sim.nvml.switches import Switches
from flopgate_sim.nvml.values import Cycles, Profile, Truth, Workload, WorkloadOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

WAIT_S = 240.0
"""Longest wait for the engine or a workload; only what is broken comes near it."""

_POLL_S = 0.002
_MISUSE = 2
_TERA = 10**12
_SNAPSHOT_ATTEMPTS = 10_000


class FakeDriverError(EnvironmentFault):
    """The fake hardware did not start or does not answer; the text says what was awaited."""

    default_code = "sim.driver"


def _wait(what: str, done: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    until = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > until:
            message = f"waited {timeout_s:.0f} s in vain for {what}"
            raise FakeDriverError(message)
        time.sleep(_POLL_S)


class FakeDriver(Switches):
    """1 to 16 fake GPUs of one kind, alive between ``with`` and its end.

    Args:
        directory: holds the state file, logs, and ``dev/nvidia<minor>``; made if absent.
        profile: ``V100`` (SXM2 32GB), ``A100`` (SXM4 80GB), ``H100`` (SXM5 80GB), ``H200``,
            ``RTX4090`` or ``B200``.
        gpus: how many, 1 to 16.
        build_dir: where compiled parts are cached; the user's cache by default.
        seed: makes UUIDs, serials and PDIs; by default from the directory's path, so that two
            hosts differ and one host keeps its chips over a restart.
        missing: NVML symbols that the library shall lack (FunctionNotFound in pynvml).
        tick_ms: length of an engine tick, 1 to 1000 ms; the default costs 0.4% of a core.
        driver_version: as NVML tells it.
        fabric_uuid: cluster UUID of the NVLink fabric, 16 bytes; zero as on a single host.
        fabric_clique: clique id in that fabric.
        boot_run_s: driver run time before this start, seconds, for the black box.
        counted_cycles: SM cycles on each chip's counters at the first start, all of them idle, as
            of a driver that was loaded long ago.
    """

    def __init__(
        self,
        directory: Path,
        profile: Profile = "H100",
        gpus: int = 8,
        *,
        build_dir: Path | None = None,
        seed: int | None = None,
        missing: tuple[str, ...] = (),
        tick_ms: int = 10,
        driver_version: str = "580.95.05",
        fabric_uuid: bytes = bytes(16),
        fabric_clique: int = 0,
        boot_run_s: int = 0,
        counted_cycles: int = 0,
    ) -> None:
        if not 1 <= gpus <= layout.MAX_GPUS:
            message = f"gpus must be 1 to {layout.MAX_GPUS}, not {gpus}"
            raise ValueError(message)
        self.directory = directory.absolute()
        self.profile = profile
        self.gpus = gpus
        self._build = build(build_dir, missing=missing)
        layout.check_layout(self._build.engine)
        digest = hashlib.sha256(str(self.directory).encode()).digest()
        header = layout.State(
            magic=layout.MAGIC,
            version=layout.VERSION,
            state_bytes=ctypes.sizeof(layout.State),
            gpus=gpus,
            tick_us=tick_ms * 1000,
            seed=int.from_bytes(digest[:8], "big") if seed is None else seed,
            boot_run_s=boot_run_s,
            profile=profile.encode(),
            driver_version=driver_version.encode(),
            fabric_uuid=(ctypes.c_uint8 * 16)(*fabric_uuid),
            fabric_clique=fabric_clique,
        )
        self._initial = bytes(header)
        self._engine: subprocess.Popen[bytes] | None = None
        self._workloads: list[subprocess.Popen[bytes]] = []
        self._map()
        for gpu in range(gpus):
            self._state.gpu[gpu].cycles[0] = counted_cycles

    @property
    def state_path(self) -> Path:
        """The mapped file that library, engine and workloads share."""
        return self.directory / "state"

    @property
    def device_dir(self) -> Path:
        """Stand-in for ``/dev``: holds ``nvidia<minor>``. Mode 000 or absence refuses contexts."""
        return self.directory / "dev"

    @property
    def engine_pid(self) -> int:
        """Process id of the engine."""
        return int(self._state.engine_pid)

    def _map(self) -> None:
        self.device_dir.mkdir(parents=True, exist_ok=True)
        library = self.directory / LIBRARY_NAME
        library.unlink(missing_ok=True)
        library.symlink_to(self._build.library_dir / LIBRARY_NAME)
        for name in ("nvidiactl", "nvidia-uvm", *(f"nvidia{i}" for i in range(self.gpus))):
            (self.device_dir / name).touch()
        # A new file each time: who still maps the old one sees a driver that is gone.
        fresh = self.directory / "state.new"
        fresh.write_bytes(self._initial)
        fresh.replace(self.state_path)
        with self.state_path.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), len(self._initial))
        self._state = layout.State.from_buffer(self._mapped)

    def start(self) -> None:
        """Starts the engine; after `stop` this is a reboot: same chips, counters from zero.

        Raises:
            FakeDriverError: the engine did not come up within 240 s.
        """
        if self._engine is not None:
            message = "the fake driver runs already: stop it first"
            raise FakeDriverError(message)
        if self._state.ticks:
            self._map()
        command = [str(self._build.engine), str(self.state_path), str(os.getpid())]
        with (self.directory / "engine.log").open("ab") as log:
            self._engine = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        engine = self._engine
        _wait("the fake engine", lambda: bool(self._state.ready) or engine.poll() is not None)
        if engine.poll() is not None:
            message = f"the fake engine ended at once: see {self.directory / 'engine.log'}"
            raise FakeDriverError(message)
        self.wait_ticks()

    def stop(self) -> None:
        """Ends the engine and every workload on its GPUs. Does nothing when not running."""
        if self._engine is None:
            return
        self._engine.terminate()
        self._engine.wait()
        self._engine = None
        for workload in self._workloads:
            workload.kill()
            workload.wait()
        self._workloads.clear()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def env(self) -> dict[str, str]:
        """What makes a child process see these GPUs; add it to its own environment.

        The library finds its state beside itself; only workloads need the second variable.
        """
        path = [str(self.directory), os.environ.get("LD_LIBRARY_PATH", "")]
        return {
            "LD_LIBRARY_PATH": ":".join(part for part in path if part),
            "FLOPGATE_FAKE_NVML_STATE": str(self.state_path),
        }

    def workload_command(self, workload: Workload) -> list[str]:
        """Command line for a workload that something else starts; it needs `env`."""
        return [str(self._build.workload), *workload.arguments(self.device_dir)]

    def start_workload(self, **options: Unpack[WorkloadOptions]) -> subprocess.Popen[bytes]:
        """Starts a workload process and waits until it has launched work, or has ended.

        Its own process group; messages go to ``workload.log``. Exit code 3: the driver refused
        a context; 4: the hardware went away. See `Workload` for the options.

        Raises:
            FakeDriverError: the options make no sense on these GPUs, or nothing happens in 240 s.
        """
        workload = Workload(**options)
        with (self.directory / "workload.log").open("ab") as log:
            process = subprocess.Popen(
                self.workload_command(workload),
                env={**os.environ, **self.env()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._workloads.append(process)

        def launched() -> bool:
            slots = self._slots(process.pid)
            return len(slots) == len(workload.gpus) and all(slot.submitted for slot in slots)

        what = f"workload {process.pid} to launch work"
        _wait(what, lambda: process.poll() is not None or launched())
        if process.returncode == _MISUSE:
            message = f"impossible workload: see {self.directory / 'workload.log'}"
            raise FakeDriverError(message)
        return process

    def _slots(self, pid: int, *, dead: bool = False) -> list[layout.Slot]:
        states = {layout.SLOT_ALIVE, layout.SLOT_DEAD} if dead else {layout.SLOT_ALIVE}
        return [slot for slot in self._state.slot if slot.pid == pid and slot.state in states]

    def _snapshot(self, gpu: int) -> tuple[layout.Gpu, int]:
        if not 0 <= gpu < self.gpus:
            message = f"no GPU {gpu}: there are {self.gpus}"
            raise IndexError(message)
        source = self._state.gpu[gpu]
        for _ in range(_SNAPSHOT_ATTEMPTS):
            before = self._state.sequence
            copy = layout.Gpu.from_buffer_copy(source)
            tick_ns = int(self._state.tick_ns)
            if before % 2 == 0 and self._state.sequence == before:
                return copy, tick_ns
        message = "the engine died within a tick: no consistent state to read"
        raise FakeDriverError(message)

    def truth(self, gpu: int) -> Truth:
        """What the GPU really did up to the last tick (a few ms ago)."""
        copy, tick_ns = self._snapshot(gpu)
        flop = {
            name: copy.flop_tera[i] * _TERA + copy.flop_rest[i]
            for i, name in enumerate(layout.FORMATS)
        }
        return Truth(
            flop=MappingProxyType(flop),
            kernel_active_ns=copy.kernel_active_ns,
            math_active_ns=copy.compute_active_ns,
            cycles=Cycles(**dict(zip(layout.COUNTERS, copy.cycles, strict=True))),
            energy_uj=copy.energy_uj,
            last_work_ms=copy.last_work_ns / 1e6 if copy.last_work_ns else None,
            last_math_ms=copy.last_math_ns / 1e6 if copy.last_math_ns else None,
            running=bool(copy.running),
            sm_clock_mhz=copy.clock_mhz,
            at_ms=tick_ns / 1e6,
        )

    def running(self, gpu: int) -> bool:
        """Whether any kernel, math or communication, was executing at the last tick."""
        return self.truth(gpu).running

    def last_work_ms(self, gpu: int) -> float | None:
        """CLOCK_BOOTTIME ms of the last instant in which a kernel executed; ``None``: never."""
        return self.truth(gpu).last_work_ms

    def uuid(self, gpu: int) -> str:
        """NVML UUID of a GPU."""
        return str(self._state.gpu[gpu].uuid.decode())

    def pids(self, gpu: int) -> tuple[int, ...]:
        """Processes with a context on the GPU, as the engine knows them now."""
        alive = (s for s in self._state.slot if s.state == layout.SLOT_ALIVE and s.gpu == gpu)
        return tuple(sorted({slot.pid for slot in alive}))

    def process_flop(self, pid: int) -> int:
        """FLOP executed for a process, alive or recently dead, over all its GPUs."""
        return sum(s.flop_tera * _TERA + s.flop_rest for s in self._slots(pid, dead=True))

    def checkpoint_notices(self, pid: int) -> int:
        """How many SIGUSR1 a workload process has counted; kept for a while after its death."""
        return max((int(s.checkpoint_notices) for s in self._slots(pid, dead=True)), default=0)

    def wait_ticks(self, count: int = 2) -> None:
        """Waits until the engine has ticked ``count`` more times.

        Raises:
            FakeDriverError: it has not within 240 s.
        """
        target = self._state.ticks + count
        _wait(f"{count} engine ticks", lambda: bool(self._state.ticks >= target))

    def wait_idle(self, gpu: int, timeout_s: float = WAIT_S) -> None:
        """Waits until nothing executes on the GPU.

        Raises:
            FakeDriverError: something still executes after ``timeout_s`` seconds.
        """
        self.wait_ticks()
        _wait(f"GPU {gpu} to fall idle", lambda: not self.running(gpu), timeout_s)
