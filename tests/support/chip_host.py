"""Chips that are set by the real child: fake driver, real pynvml, real processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flopgate_agent.counters.client import child_environment
from flopgate_agent.enforcement.chips import ChipLimits, Fact, SetterProcess, Wish
from flopgate_agent.enforcement.chips.journal import ChipJournal
from flopgate_sim.nvml import FakeDriver
from tests.support.waiting import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOT = "11" * 16


class ChipHost:
    """What a gate holds of its chips, and time that a test moves on.

    Attributes:
        told: every fact that came out, oldest first.
        nodes: patterns of device nodes, for gates that come.
        cgroups: mount of cgroup v2 for them, ``None`` where chips are not closed by the kernel.
    """

    def __init__(self, driver: FakeDriver, folder: Path, answer_ms_max: int) -> None:
        self.driver = driver
        self.uuids = [driver.uuid(gpu) for gpu in range(driver.gpus)]
        self.now_ms = 0
        self.told: list[Fact] = []
        self.nodes: tuple[str, ...] = ()
        self.cgroups: str | None = None
        self._folder = folder
        self._answer_ms_max = answer_ms_max
        self.limits = self.gate()

    def gate(self, boot_id: str = BOOT) -> ChipLimits:
        """Another gate over the same journal."""
        spawn = partial(
            SetterProcess,
            env=child_environment({**os.environ, **self.driver.env()}),
            folder=self._folder,
            boot_id=boot_id,
            nodes=self.nodes,
            cgroups=self.cgroups,
        )
        recorded = ChipJournal(self._folder, boot_id).stamp
        return ChipLimits(spawn, recorded, answer_ms_max=self._answer_ms_max)

    def restart(self, boot_id: str = BOOT) -> None:
        """A gate that knows nothing takes the place of this one."""
        self.limits.close()
        self.limits = self.gate(boot_id)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let the gate turn until something holds; its clock runs ten times as fast as ours."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"waited in vain: {what}; told {self.told}"
            self.turn()
            time.sleep(0.01)

    def turn(self) -> None:
        """One turn of the gate, 100 ms later."""
        self.now_ms += 100
        self.told += self.limits.handle_timer(self.now_ms)

    def set(self, wish: Wish, *gpus: int) -> None:
        """Wish it, and wait until it is done."""
        self.limits.want([self.uuids[gpu] for gpu in gpus or range(len(self.uuids))], wish)
        self.until(lambda: self.limits.idle, f"the chips to be {wish}")

    def state(self, gpu: int, rung: str) -> str:
        """How a rung stands, as the gate believes."""
        return self.limits.stands[self.uuids[gpu], rung].state


@contextmanager
def chip_host(folder: Path, gpus: int = 1, answer_ms_max: int = 100_000) -> Iterator[ChipHost]:
    """A host with H100s."""
    with FakeDriver(folder / "driver", gpus=gpus) as driver:
        host = ChipHost(driver, folder / "state", answer_ms_max)
        try:
            yield host
        finally:
            host.limits.close()
