"""What hosts may add to the store: bounded over any time, and no host waits for another."""

from hypothesis import given
from hypothesis import strategies as st

from flopgate_governor.core.allowance import Allowance, Volumes

HOST, OTHER = b"a" * 32, b"b" * 32
EVERY_MS = st.sampled_from([100, 1_000, 7_777, 120_000])
PACE = st.builds(
    Allowance, interval_bytes=st.integers(1_000, 10**6), burst_bytes=st.integers(10_000, 10**8)
)
STEPS = st.lists(st.tuples(st.integers(0, 300_000), st.integers(1, 600_000)), max_size=80)


@given(PACE, EVERY_MS, STEPS)
def test_over_any_time_a_host_adds_its_burst_its_pace_and_one_report(
    allowance: Allowance, every_ms: int, steps: list[tuple[int, int]]
) -> None:
    volumes, now_ms = Volumes(allowance=allowance), 1_000
    taken: list[tuple[int, int]] = []
    for wait_ms, size_bytes in steps:
        now_ms += wait_ms
        if told_ms := volumes.wait_ms(HOST, 0, every_ms, now_ms):
            volumes.hold(HOST, told_ms, now_ms)
        else:
            volumes.charge({HOST: size_bytes}, every_ms, now_ms)
            taken.append((now_ms, size_bytes))
    for first in range(len(taken)):
        total = 0
        for at_ms, size_bytes in taken[first:]:
            total += size_bytes
            earned = (at_ms - taken[first][0]) * allowance.interval_bytes // every_ms
            rounding = len(steps) + 1
            assert total <= allowance.burst_bytes + earned + size_bytes + rounding


@given(PACE, EVERY_MS, STEPS)
def test_who_comes_back_when_told_may_add_an_intervals_worth(
    allowance: Allowance, every_ms: int, steps: list[tuple[int, int]]
) -> None:
    volumes, now_ms = Volumes(allowance=allowance), 1_000
    for pause_ms, size_bytes in steps:
        now_ms += pause_ms
        wait_ms = volumes.wait_ms(HOST, 0, every_ms, now_ms)
        if wait_ms:
            volumes.hold(HOST, wait_ms, now_ms)
            assert volumes.wait_ms(HOST, 0, every_ms, now_ms + wait_ms - 1) == 1
            now_ms += wait_ms
            chunk = max(0, min(allowance.interval_bytes, allowance.burst_bytes) - len(steps) - 1)
            assert volumes.wait_ms(HOST, chunk, every_ms, now_ms) == 0
        volumes.charge({HOST: size_bytes}, every_ms, now_ms)


@given(PACE, EVERY_MS, st.integers(2, 200))
def test_who_keeps_the_pace_never_waits(allowance: Allowance, every_ms: int, count: int) -> None:
    volumes = Volumes(allowance=allowance)
    for number in range(count):
        now_ms = number * every_ms
        assert volumes.wait_ms(HOST, 0, every_ms, now_ms) == 0
        volumes.charge({HOST: min(allowance.interval_bytes, 9_999)}, every_ms, now_ms)


@given(PACE, EVERY_MS, EVERY_MS, st.integers(1, 10**8))
def test_another_pace_leaves_the_burst_what_it_is(
    allowance: Allowance, before_ms: int, after_ms: int, size_bytes: int
) -> None:
    """A policy that has hosts ask more often holds nobody back who was within the burst."""
    volumes, now_ms = Volumes(allowance=allowance), 1_000
    size_bytes = min(size_bytes, allowance.burst_bytes * 9 // 10)
    volumes.charge({HOST: size_bytes}, before_ms, now_ms)
    assert volumes.wait_ms(HOST, 0, before_ms, now_ms) == 0
    assert volumes.wait_ms(HOST, 0, after_ms, now_ms) == 0
    left_bytes = allowance.burst_bytes - size_bytes
    assert volumes.wait_ms(HOST, 2 * left_bytes + 9, after_ms, now_ms) > 0


@given(PACE, EVERY_MS, STEPS)
def test_no_host_waits_for_another(
    allowance: Allowance, every_ms: int, steps: list[tuple[int, int]]
) -> None:
    volumes, now_ms = Volumes(allowance=allowance), 1_000
    for pause_ms, size_bytes in steps:
        now_ms += pause_ms
        volumes.charge({HOST: size_bytes}, every_ms, now_ms)
        assert volumes.wait_ms(OTHER, 0, every_ms, now_ms) == 0


@given(st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 5_000)), max_size=30))
def test_overlapping_waits_count_once(waits: list[tuple[int, int]]) -> None:
    volumes, now_ms, until_ms, total_ms = Volumes(), 0, 0, 0
    for pause_ms, wait_ms in waits:
        now_ms += pause_ms
        volumes.hold(HOST, wait_ms, now_ms)
        total_ms += max(0, now_ms + wait_ms - max(now_ms, until_ms))
        until_ms = max(until_ms, now_ms + wait_ms)
        assert volumes.held_until_ms(HOST) == until_ms
    assert volumes.held_ms.get(HOST, 0) == total_ms


def test_who_is_paid_up_is_forgotten() -> None:
    """What is kept does not grow with all hosts that ever reported."""
    volumes = Volumes()
    for number in range(20_000):
        volumes.charge({number.to_bytes(32): 2_000}, 120_000, number * 1_000)
    assert len(volumes._paid_us) < 3_000  # noqa: SLF001 - what it keeps is what is asked
    assert volumes.wait_ms(HOST, 0, 120_000, 20_000_000) == 0
