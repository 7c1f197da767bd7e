"""The GPU instances of one chip (MIG), and what the pipes of each did. In the sampler child only.

NVML lists instances by profile, which also tells their SMs. Refusals that mean that the chip has no
such profile are skipped; after any other nothing is known of the instances: one could be missing.
Every call goes to the handle of the whole chip.
"""

from __future__ import annotations

import ctypes

from flopgate_agent.counters import layout
from flopgate_agent.counters.gpm import Gpm
from flopgate_agent.counters.nvml import EMPTY, number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from flopgate_agent.counters.nvml import Calls

Instance = tuple[int, int, "tuple[int, ...] | None"]
"""Id, SMs, cycles."""

NO_PROFILE = EMPTY | {"INVALID_ARGUMENT", "NOT_FOUND"}
MAX_SLICES = 64
MAX_SMS = 65_535


class Instances:
    """The instances of one chip, each with GPM samples of its own."""

    def __init__(
        self,
        calls: Calls,
        handle: object,
        clock: Callable[[], int],
        wait: Callable[[float], None],
    ) -> None:
        self._calls = calls
        self._handle = handle
        self._clock = clock
        self._wait = wait
        # By profile id: how many there can be, their SMs, and their slices.
        self._profiles: dict[int, tuple[int, int, int]] | None = None
        self._memory_slices = 0
        self._gpm: dict[tuple[int, ...], Gpm] = {}

    def read(self) -> tuple[tuple[Instance, ...] | None, bool]:
        """All instances, and whether they leave no room for one more; ``None``: unreadable.

        Raises:
            GoneError: the chip is gone.
        """
        if self._profiles is None:
            self._profiles = self._find_profiles()
        listed = None if self._profiles is None else self._list(self._profiles)
        if self._profiles is None or listed is None or len(listed) > layout.MAX_INSTANCES:
            self.close()
            return None, False
        for gone in self._gpm.keys() - set(listed):
            self._gpm.pop(gone).close()
        read = []
        for key in listed:
            one, profile, *_placement = key
            gpm = self._gpm.get(key)
            if gpm is None:
                gpm = self._gpm[key] = Gpm(
                    self._calls, self._handle, self._clock, self._wait, instance=one
                )
            read.append((one, self._profiles[profile][1], gpm.read_cycles()))
        slices = sum(self._profiles[profile][2] for _, profile, _, _ in listed)
        memory = sum(size for _, _, _, size in listed)
        all_slices = max(slices for _, _, slices in self._profiles.values())
        return tuple(read), slices >= all_slices or 0 < self._memory_slices <= memory

    def close(self) -> None:
        """Give the samples back to the driver."""
        for gpm in self._gpm.values():
            gpm.close()
        self._gpm.clear()

    def _find_profiles(self) -> dict[int, tuple[int, int, int]] | None:
        nvml, calls = self._calls.nvml, self._calls
        found = {}
        for profile in range(nvml.NVML_GPU_INSTANCE_PROFILE_COUNT):
            before, calls.trouble = calls.trouble, ""
            info = calls.ask(nvml.nvmlDeviceGetGpuInstanceProfileInfo, self._handle, profile)
            refused, calls.trouble = calls.trouble, before
            if info is None and refused not in NO_PROFILE:
                return None
            if info is None:
                continue
            most = number(info.instanceCount, layout.MAX_INSTANCES)
            sms = number(info.multiprocessorCount, MAX_SMS)
            slices = number(info.sliceCount, MAX_SLICES)
            if not most or not sms or not slices:
                return None
            found[info.id] = (most, sms, slices)
            self._memory_slices = max(self._memory_slices, self._reach(info.id))
        return found or None

    def _reach(self, profile: int) -> int:
        """Memory slices up to the end of the last place for such an instance; 0: not told."""
        nvml, calls = self._calls.nvml, self._calls
        places = (nvml.c_nvmlGpuInstancePlacement_t * MAX_SLICES)()
        count = ctypes.c_uint(MAX_SLICES)
        call, told = nvml.nvmlDeviceGetGpuInstancePossiblePlacements, ctypes.byref(count)
        if calls.ask(call, self._handle, profile, places, told) is None:
            return 0
        return max((one.start + one.size for one in places[: count.value]), default=0)

    def _list(
        self, profiles: dict[int, tuple[int, int, int]]
    ) -> list[tuple[int, int, int, int]] | None:
        """Id, profile, first memory slice and number of those of each instance."""
        nvml, ask = self._calls.nvml, self._calls.ask
        found = []
        for profile, (most, _, _) in profiles.items():
            handles = (nvml.c_nvmlGpuInstance_t * most)()
            count = ctypes.c_uint(most)
            call = nvml.nvmlDeviceGetGpuInstances
            if ask(call, self._handle, profile, handles, ctypes.byref(count)) is None:
                return None
            for handle in handles[: count.value]:
                info = ask(nvml.nvmlGpuInstanceGetInfo, handle)
                one = None if info is None else number(info.id, 2**32 - 2)
                if info is None or one is None or info.profileId != profile:
                    return None
                found.append((one, profile, info.placement.start, info.placement.size))
        return found
