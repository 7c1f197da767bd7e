"""One chip through pynvml: who it is, and one look at it. Runs in the sampler child only."""

from __future__ import annotations

from time import sleep

from flopgate_agent.clocks import elapsed_ms
from flopgate_agent.counters import layout
from flopgate_agent.counters.buffers import MAX_CLOCK_MHZ, Buffers
from flopgate_agent.counters.gpm import Gpm
from flopgate_agent.counters.instances import Instances
from flopgate_agent.counters.nvml import EMPTY, Calls, GoneError, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


class ChipReader:
    """One chip's handle, and the readers of its counters."""

    def __init__(
        self,
        nvml: ModuleType,
        index: int,
        clock: Callable[[], int] = elapsed_ms,
        wait: Callable[[float], None] = sleep,
    ) -> None:
        """Open the chip at NVML index ``index``; ``clock`` gives host elapsed time in ms.

        Raises:
            GoneError: NVML cannot open it or gives it no UUID.
        """
        self._nvml = nvml
        self._clock = clock
        self._calls = Calls(nvml)
        self.index = index
        self._handle = self._calls.ask(nvml.nvmlDeviceGetHandleByIndex, index)
        uuid = None
        if self._handle is not None:
            uuid = self._calls.text(nvml.nvmlDeviceGetUUID, self._handle)
        if not uuid:
            raise GoneError(self._calls.trouble or "NO_UUID")
        self.uuid: str = uuid
        self._gpm = Gpm(self._calls, self._handle, clock, wait)
        self._instances = Instances(self._calls, self._handle, clock, wait)
        self._buffers = Buffers(self._calls, self._handle)

    def identity(self) -> bytes:
        """Read and pack who this chip is.

        Raises:
            GoneError: the chip went away meanwhile.
        """
        nvml, ask, handle = self._nvml, self._calls.ask, self._handle
        pci = ask(nvml.nvmlDeviceGetPciInfo_v3, handle)
        pdi = ask(nvml.nvmlDeviceGetPdi, handle)
        minor = number(ask(nvml.nvmlDeviceGetMinorNumber, handle), 65535)
        clock = ask(nvml.nvmlDeviceGetMaxClockInfo, handle, nvml.NVML_CLOCK_SM)
        return layout.pack_identity(
            uuid=self.uuid,
            serial=self._calls.text(nvml.nvmlDeviceGetSerial, handle),
            pdi=pdi if isinstance(pdi, int) and 0 < pdi < 2**64 - 1 else None,
            nvml_name=self._calls.text(nvml.nvmlDeviceGetName, handle) or "",
            pci_device_id=0 if pci is None else (pci.pciDeviceId >> 16) & 0xFFFF,
            index=self.index,
            minor=minor,
            max_sm_clock_mhz=number(clock, MAX_CLOCK_MHZ) or None,
            gpm=self._gpm.supported,
            error=None,
        )

    def sample(self) -> bytes:
        """Read and pack one look at the chip. A chip that is gone gives a sample that says so."""
        calls = self._calls
        calls.trouble = ""
        taken_ms = self._clock()
        try:
            mode = calls.ask(self._nvml.nvmlDeviceGetMigMode, self._handle)
            mig = calls.trouble not in EMPTY if mode is None else mode[0] != 0
            cycles, shares, instances, full = None, None, None, False
            if mig and self._gpm.supported:
                before_ms = self._clock()
                instances, full = self._instances.read()
                taken_ms = (before_ms + self._clock()) // 2
            elif not mig:
                self._instances.close()
                cycles, shares, taken_ms = self._gpm.read()
            active_ms = self._buffers.active_ms(taken_ms)
            clocks_mhz = self._buffers.clocks_mhz()
            energy = calls.ask(self._nvml.nvmlDeviceGetTotalEnergyConsumption, self._handle)
            energy_mj = number(energy)
            ran = calls.ask(self._nvml.nvmlDeviceGetBBXTimeData_v1, self._handle)
            run_s = None if ran is None else number(ran.timeRun, 2**32 - 2)
            pids = self._pids()
        except GoneError as error:
            self._buffers.lost()
            return failed_sample(self.uuid, taken_ms, str(error))
        seen = (cycles, shares, instances, active_ms, clocks_mhz, energy_mj, pids)
        nothing = all(one is None for one in seen)
        if calls.trouble and nothing:
            return failed_sample(self.uuid, taken_ms, calls.trouble)
        return layout.pack_sample(
            uuid=self.uuid,
            taken_ms=taken_ms,
            cycles=cycles,
            shares=shares,
            kernel_active_ms=active_ms,
            sm_clocks_mhz=clocks_mhz,
            energy_mj=energy_mj,
            pids=pids,
            error=None,
            mig=mig,
            instances=instances,
            full=full,
            run_s=run_s,
        )

    def close(self) -> None:
        """Give back to the driver what it lent."""
        self._gpm.close()
        self._instances.close()

    def _pids(self) -> tuple[int, ...] | None:
        """Every process with a context; ``None`` unless each list was read or is not kept."""
        nvml, calls = self._nvml, self._calls
        found: list[int] = []
        supported = False
        for call in (
            nvml.nvmlDeviceGetComputeRunningProcesses_v3,
            nvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
            nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3,
        ):
            before, calls.trouble = calls.trouble, ""
            listed = calls.ask(call, self._handle)
            refused, calls.trouble = calls.trouble, calls.trouble or before
            if listed is None and refused not in EMPTY:
                return None
            supported = supported or listed is not None
            for process in listed or ():
                pid = number(process.pid, 2**32 - 2)
                if pid is None:
                    return None
                found.append(pid)
        unique = sorted(set(found))
        return tuple(unique) if supported and len(unique) <= layout.MAX_PIDS else None


def failed_sample(uuid: str, taken_ms: int, error: str) -> bytes:
    """Pack the sample of a chip that could not be read at all."""
    return layout.pack_sample(
        uuid=uuid,
        taken_ms=taken_ms,
        cycles=None,
        shares=None,
        kernel_active_ms=None,
        sm_clocks_mhz=None,
        energy_mj=None,
        pids=None,
        error=error,
    )
