"""Law 1 under every network, workload and moment: work ends within the lifetime of a request."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from flopgate_proto.values import LaneState, Report
from tests.support.gate_authority import GateAuthority
from tests.support.gate_rig import START_MS, GateRig

KINDS = (
    {"drain_ms": 20},
    {"drain_ms": 1_900},
    {"drain_ms": 30_000},
    {"drain_ms": None},
    {"drain_ms": None, "burst": (900, 200)},
    {"drain_ms": 10_000, "burst": (700, 650)},
    {"drain_ms": 20, "death_ms": 900},
)


class Weather:
    """A network that delays and loses answers, and is cut for whole spells."""

    def __init__(self, seed: int, loss_percent: int, delay_most_ms: int) -> None:
        self._random = random.Random(seed)
        self._loss_percent = loss_percent
        self._delay_most_ms = delay_most_ms

    def __call__(self, _authority: GateAuthority, _report: Report) -> int | None:
        if self._random.randrange(100) < self._loss_percent:
            return None
        return self._random.randrange(1, self._delay_most_ms)


def check(rig: GateRig, enrolled_ms: int) -> None:
    """No compute pipe was busy after the deadline, nor before a permit beyond the first stop."""
    first_stop_ms = enrolled_ms + 6_000  # watch, drain and enforcement bound after enrolment
    limit_ms = max(rig.deadline_ms, first_stop_ms)
    assert not rig.work_since(limit_ms), (rig.hardware.last_work_ms, limit_ms)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    loss_percent=st.sampled_from((0, 20, 60, 90)),
    delay_most_ms=st.sampled_from((20, 3_000, 25_000)),
    kind=st.sampled_from(KINDS),
    late_ms=st.sampled_from((0, 300)),
    authorities=st.integers(1, 2),
    pauses=st.booleans(),
)
def test_law_1_last_work_ends_within_lifetime_of_the_request(
    *,
    seed: int,
    loss_percent: int,
    delay_most_ms: int,
    kind: dict[str, int],
    late_ms: int,
    authorities: int,
    pauses: bool,
) -> None:
    names = ("home.example", "other.example")[:authorities]
    network = Weather(seed, loss_percent, delay_most_ms)
    rig = GateRig(*(GateAuthority(name) for name in names), network=network)
    rig.lateness_ms = late_ms
    rig.hardware.start(pid=1, **kind)
    rig.enrol()
    rng = random.Random(seed)
    pid = 1
    for _ in range(12):
        rig.run(rng.randrange(500, 9_000))
        check(rig, START_MS)
        if rig.state is LaneState.RUNNING and not rig.hardware.pids(0):
            pid += 1
            rig.hardware.start(pid=pid, **kind)
        if pauses and rng.randrange(4) == 0:
            pause = rig.authority.pause(emergency=rng.randrange(2) == 0)
            rig.order(pause)
            rig.run(rng.randrange(100, 9_000))
            check(rig, START_MS)
            rig.order(rig.authority.resume(pause.digest))
    rig.network = lambda _authority, _report: None
    rig.run(40_000)
    check(rig, START_MS)
    assert rig.state is LaneState.HALTED


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS), emergency=st.booleans())
def test_law_1_a_pushed_pause_ends_work_within_wind_down_drain_and_bound(
    *, seed: int, kind: dict[str, int], emergency: bool
) -> None:
    rig = GateRig()
    rig.hardware.start(pid=1, **kind)
    rig.enrol().run_until(LaneState.RUNNING)
    rig.run(seed % 30_000)
    paused_ms = rig.now_ms
    rig.order(rig.authority.pause(emergency=emergency))
    rig.run(30_000)
    policy = rig.authority.policy
    most_ms = policy.drain_ms + rig.settings.enforcement_bound_ms
    if not emergency:
        most_ms += policy.wind_down_ms
    assert not rig.work_since(paused_ms + most_ms)
    assert rig.state is LaneState.HALTED
