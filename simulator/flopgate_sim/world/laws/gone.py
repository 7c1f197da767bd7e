"""Law 8 over a host whose gate is gone, where a lock-down stands beside it."""

from __future__ import annotations

from collections.abc import Iterator

from flopgate_sim.world.hosts.host import Host
from flopgate_sim.world.nature.engine import US_PER_MS
from flopgate_sim.world.truths.host import is_free

SLACK_US = 3_000 * US_PER_MS
"""From the last kill to the last process that is gone, and a look before it."""


def left_alone(host: Host, _now_us: int) -> Iterator[str]:
    """8: a gate that is gone and does not come back: compute stops within the watchdog time."""
    enrolled_us = host.truth.enrolled_us
    if host.lockdown is None or host.runner is not None or enrolled_us is None:
        return
    if not host.up or host.suspended or host.phases.loose or is_free(host):
        return
    policies = [one.authority.truth.policy for one in host.couriers]
    watchdog_ms = min((one.watchdog_ms for one in policies if one is not None), default=0)
    until_us = host.died_us + watchdog_ms * US_PER_MS + SLACK_US
    for job in host.hardware.jobs:
        if not job.spinning and job.last_work_us > max(until_us, job.start_us + SLACK_US):
            late_ms = (job.last_work_us - until_us) // US_PER_MS
            yield f"{host.name}: process {job.pid} works without a gate, {late_ms} ms too long"
