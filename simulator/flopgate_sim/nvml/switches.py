"""Failure switches and other things that a test changes while everything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flopgate_sim.nvml import layout

if TYPE_CHECKING:
    from flopgate_sim.nvml.values import MigProfile, NvmlError

ALL_GPUS = -1
SAYS_YES = -1
_MAX_CALL_LENGTH = 63
PROFILES: tuple[MigProfile, ...] = (
    "1g.10gb",
    "1g.20gb",
    "2g.20gb",
    "3g.40gb",
    "4g.40gb",
    "7g.80gb",
)
"""In the order of the library's table."""


class Switches:
    """Mixin of `FakeDriver`; each method takes effect at the next NVML call or engine tick."""

    _state: layout.State

    def _gpu(self, gpu: int) -> Any:
        if not 0 <= gpu < self._state.gpus:
            message = f"no GPU {gpu}: there are {self._state.gpus}"
            raise IndexError(message)
        return self._state.gpu[gpu]

    def _set_fault(
        self, call: str, gpu: int | None, mode: int, *, code: int = 0, delay_ms: int = 0
    ) -> None:
        if not call or len(call) > _MAX_CALL_LENGTH:
            message = f"not an NVML symbol: {call!r}"
            raise ValueError(message)
        self.clear_fault(call, gpu)
        for fault in self._state.fault:
            if fault.mode != layout.FAULT_NONE:
                continue
            fault.call = call.encode()
            fault.gpu = ALL_GPUS if gpu is None else gpu
            fault.code = code
            fault.delay_ms = delay_ms
            fault.mode = mode  # last: the library looks at the rest only when this is set
            return
        message = f"all {layout.MAX_FAULTS} failure switches are in use: clear some"
        raise ValueError(message)

    def fail_call(self, call: str, error: NvmlError, gpu: int | None = None) -> None:
        """Makes an NVML call give an error.

        Args:
            call: exact C symbol, such as ``nvmlGpmSampleGet`` or
                ``nvmlDeviceGetComputeRunningProcesses_v3``; ``*`` means every call.
            error: what it gives.
            gpu: for one GPU only; ``None`` for all, and for calls that name no GPU.
        """
        self._set_fault(call, gpu, layout.FAULT_RETURN, code=int(error))

    def ignore_setter(self, call: str, gpu: int | None = None) -> None:
        """Makes a setter say yes and do nothing."""
        self._set_fault(call, gpu, layout.FAULT_RETURN, code=SAYS_YES)

    def hang_call(self, call: str, gpu: int | None = None) -> None:
        """Makes a call block until the switch is cleared or the caller is killed."""
        self._set_fault(call, gpu, layout.FAULT_HANG)

    def garble_call(self, call: str, gpu: int | None = None) -> None:
        """Makes a call succeed with sentinels: 4294967295, 9223372036854775794."""
        self._set_fault(call, gpu, layout.FAULT_GARBAGE)

    def delay_call(self, call: str, delay_ms: int, gpu: int | None = None) -> None:
        """Makes a call take ``delay_ms`` longer."""
        self._set_fault(call, gpu, layout.FAULT_DELAY, delay_ms=delay_ms)

    def clear_fault(self, call: str, gpu: int | None = None) -> None:
        """Takes back what one of the methods above set for the same call and GPU."""
        wanted = ALL_GPUS if gpu is None else gpu
        for fault in self._state.fault:
            if fault.call == call.encode() and fault.gpu == wanted:
                fault.mode = layout.FAULT_NONE

    def clear_faults(self) -> None:
        """Takes back every call switch."""
        for fault in self._state.fault:
            fault.mode = layout.FAULT_NONE

    def set_lost(self, gpu: int, *, lost: bool = True) -> None:
        """The GPU falls off the bus: GPU_IS_LOST from every call, and it executes nothing."""
        self._gpu(gpu).lost = int(lost)

    def set_driver_gone(self, *, gone: bool = True) -> None:
        """Every call gives DRIVER_NOT_LOADED."""
        self._state.driver_gone = int(gone)

    def set_gpm_averaged(self, gpu: int, *, averaged: bool = True) -> None:
        """Cycle counters are averaged over SMs instead of summed."""
        self._gpu(gpu).gpm_averaged = int(averaged)

    def set_gpm_relative(self, gpu: int, *, relative: bool = True) -> None:
        """Cycle counters count between the two samples: the other reading of NVML's text."""
        self._gpu(gpu).gpm_relative = int(relative)

    def set_gpm_idle(self, gpu: int, *, idle: bool = True) -> None:
        """GPM lies: no pipe and no SM is ever active; all else tells the truth."""
        self._gpu(gpu).gpm_idle = int(idle)

    def set_gpm_percent_only(self, gpu: int, *, only: bool = True) -> None:
        """The driver is too old for cumulative cycles: GPM gives percentages alone."""
        self._gpu(gpu).gpm_percent_only = int(only)

    def set_mig(self, gpu: int, *, enabled: bool = True) -> None:
        """MIG mode as NVML tells it; instances are made with `make_instance`."""
        self._gpu(gpu).mig_mode = int(enabled)

    def make_instance(
        self, gpu: int, instance: int, profile: MigProfile, *, start: int, share: float
    ) -> None:
        """A GPU instance from now on: its counters begin at zero.

        Args:
            gpu: index of the chip.
            instance: its GPU instance id.
            profile: its size, as an H100 names it.
            start: its first memory slice, 0 to 7.
            share: of what the chip's pipes do from now on, this is done in this instance.
        """
        view = self._gpu(gpu)
        free = next(one for one in view.instance if not one.alive)
        free.id, free.profile, free.start = instance, PROFILES.index(profile), start
        free.share_ppm = int(share * 1_000_000)
        for counter in range(len(layout.COUNTERS)):
            free.since[counter] = view.cycles[counter]
        free.alive = 1

    def instances(self, gpu: int) -> list[layout.Instance]:
        """Those that are there, as the library sees them."""
        return [one for one in self._gpu(gpu).instance if one.alive]

    def destroy_instance(self, gpu: int, instance: int) -> None:
        """It is gone, and its counters with it; the truth keeps what ran there."""
        for one in self.instances(gpu):
            if one.id == instance:
                one.alive = 0

    def set_power_limit(self, gpu: int, limit_mw: int) -> None:
        """The power limit, past the checks of NVML's setter; milliwatt."""
        self._gpu(gpu).limit_mw = limit_mw

    def power_limit_mw(self, gpu: int) -> int:
        """The power limit in force; the design power at first."""
        return int(self._gpu(gpu).limit_mw)

    def compute_mode(self, gpu: int) -> int:
        """NVML's number of the compute mode in force: 0 default, 2 prohibited, 3 exclusive."""
        return int(self._gpu(gpu).compute_mode)

    def set_compute_mode(self, gpu: int, mode: int) -> None:
        """The compute mode, past NVML's setter."""
        self._gpu(gpu).compute_mode = mode

    def locked_mhz(self, gpu: int) -> int:
        """The highest clock that a lock allows; 0 without a lock."""
        return int(self._gpu(gpu).lock_max_mhz)

    def set_link_down(self, gpu: int, link: int, *, down: bool = True) -> None:
        """Takes an NVLink down, or up again."""
        mask = self._gpu(gpu).link_down_mask & ~(1 << link)
        self._gpu(gpu).link_down_mask = mask | (int(down) << link)

    def set_fabric_v2_only(self, gpu: int, *, only: bool = True) -> None:
        """The driver knows no version 3 of the fabric info."""
        self._gpu(gpu).fabric_v2_only = int(only)

    def set_ecc_errors(self, gpu: int, *, corrected: int, uncorrected: int) -> None:
        """Error totals since driver load."""
        self._gpu(gpu).ecc_corrected = corrected
        self._gpu(gpu).ecc_uncorrected = uncorrected

    def raise_xid(self, gpu: int, xid: int) -> None:
        """Sends an XID event to everyone who waits for one."""
        self._gpu(gpu).xid = xid
        self._gpu(gpu).xid_sequence += 1

    def jump_back(self, gpu: int, *, cycles: bool = True, energy: bool = True) -> None:
        """Counters start again from zero, as after a GPU reset; the truth does not."""
        view = self._gpu(gpu)
        if cycles:
            for i in range(len(layout.COUNTERS)):
                view.cycles_back[i] = view.cycles[i]
        if energy:
            view.energy_back_mj = view.energy_shown_mj
