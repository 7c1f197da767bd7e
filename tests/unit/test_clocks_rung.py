"""The lowest clock counts as held once the driver shows it, which takes some looks."""

from __future__ import annotations

from types import ModuleType

from flopgate_agent.enforcement.chips.clocks import POLL_S, POLLS, Clocks

LOWEST_MHZ = 210


class SlowDriver(ModuleType):
    """Shows the lowest clock after so many looks."""

    NVML_CLOCK_SM = 1

    def __init__(self, looks: int) -> None:
        super().__init__("pynvml")
        self.looks = looks
        calls = {
            "nvmlDeviceGetSupportedMemoryClocks": lambda _handle: [1_000],
            "nvmlDeviceGetSupportedGraphicsClocks": lambda _handle, _memory: [LOWEST_MHZ, 1_980],
            "nvmlDeviceGetClockInfo": self._clock,
        }
        for name, call in calls.items():
            setattr(self, name, call)

    def _clock(self, _handle: object, _clock: int) -> int:
        self.looks -= 1
        return LOWEST_MHZ if self.looks < 0 else 1_980


def in_force(looks: int) -> tuple[bool, list[float]]:
    waited: list[float] = []
    return Clocks(wait=waited.append).in_force(SlowDriver(looks), 0), waited


def test_a_clock_that_is_down_is_not_waited_for() -> None:
    assert in_force(0) == (True, [])


def test_a_clock_that_comes_down_is_waited_for() -> None:
    assert in_force(3) == (True, [POLL_S] * 3)
    assert in_force(POLLS) == (True, [POLL_S] * POLLS)


def test_a_clock_that_stays_up_is_waited_for_so_long_and_no_longer() -> None:
    held, waited = in_force(10**6)
    assert not held
    assert 0.25 <= sum(waited) <= 0.35
