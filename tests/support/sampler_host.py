"""A loop as the gate's, around one real sampler child on the fake driver."""

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from flopgate_agent.counters.client import (
    CHIP_START_MS,
    HUNG_FIRST_MS,
    SAMPLER_COMMAND,
    START_TIMEOUT_MS,
    SamplerClient,
    child_environment,
)
from flopgate_agent.counters.frames import Identities, Message, Samples
from flopgate_agent.counters.sample import ChipIdentity, ChipSample
from flopgate_agent.measured import Measured
from flopgate_agent.meter import spec_of
from flopgate_agent.parts import calibration, measure
from flopgate_proto.chips import ChipSpec
from flopgate_sim.nvml import FakeDriver
from tests.support.waiting import WAIT_S

LONG_LOADED = 10**15
"""SM cycles of an hour at an H100's highest clock: no shorter gap hides a reset of them."""


def now_ms() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


class Host:
    """A loop as the gate's, of one client only."""

    def __init__(self, client: SamplerClient) -> None:
        self.client = client
        self.chips: dict[str, ChipIdentity] = {}
        self.seen: list[tuple[ChipSample, ...]] = []
        self.driver_version = ""

    def turn(self) -> tuple[Message, ...]:
        """Wait for the child or the timer, at most a little; return what was said."""
        ready, _, _ = select.select([self.client], [], [], 0.02)
        messages = self.client.on_readable(now_ms()) if ready else ()
        timer = self.client.get_timer()
        if timer is not None and now_ms() >= timer:
            self.client.handle_timer(now_ms())
        for message in messages:
            if isinstance(message, Identities):
                self.chips = {chip.uuid: chip for chip in message.chips}
                self.driver_version = message.driver_version
            elif isinstance(message, Samples):
                self.seen.append(message.samples)
        return messages

    def until(self, what: str, done: Callable[[], bool]) -> None:
        """Turn the loop until ``done``."""
        end = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < end, f"waited in vain for {what}"
            self.turn()

    def look(self) -> tuple[ChipSample, ...]:
        """Ask for samples and wait for them."""
        self.until("a request to be taken", lambda: self.client.request(now_ms()))
        count = len(self.seen)
        self.until("samples", lambda: len(self.seen) > count)
        return self.seen[-1]

    def measured(self, index: int) -> list[Measured]:
        """Meter one chip over all neighbouring samples seen so far."""
        samples = [look[index] for look in self.seen]
        return metered(samples, spec_of(self.chips[samples[0].uuid]))


def metered(samples: Sequence[ChipSample], spec: ChipSpec) -> list[Measured]:
    """Neighbouring samples as the gate meters them, once it knows how the counters count."""
    pairs = list(pairwise(samples))
    told = next(filter(None, (calibration(one, two, spec) for one, two in pairs)), None)
    summed = told is not None and dict(told.numbers)["sms_per_count"] == 1
    return [measure(one, two, spec, summed=summed) for one, two in pairs]


@contextmanager
def host(
    driver: FakeDriver | None,
    *,
    answer_timeout_ms: int = 20_000,
    start_timeout_ms: int = START_TIMEOUT_MS,
    chip_start_ms: int = CHIP_START_MS,
    hung_first_ms: int = HUNG_FIRST_MS,
    command: Sequence[str] = SAMPLER_COMMAND,
) -> Iterator[Host]:
    """A sampler of this driver, or of the machine's own."""
    env = child_environment({**os.environ, **({} if driver is None else driver.env())})
    client = SamplerClient(
        env=env,
        command=command,
        answer_timeout_ms=answer_timeout_ms,
        start_timeout_ms=start_timeout_ms,
        chip_start_ms=chip_start_ms,
        hung_first_ms=hung_first_ms,
    )
    try:
        client.start(now_ms())
        loop = Host(client)
        loop.until("identities", lambda: not client.stalled)
        yield loop
    finally:
        client.close()


def finish(driver: FakeDriver, jobs: Sequence[subprocess.Popen[bytes]], gpus: int) -> None:
    """End the jobs and wait until all is idle and the driver's sample buffers have caught up."""
    for job in jobs:
        job.kill()
        job.wait()
    for gpu in range(gpus):
        driver.wait_idle(gpu)
    time.sleep(0.6)
