"""The TPM's clock against the host's: what is told, and what stops the host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.tpm.watch import ClockWatch, Look
from flopgate_proto.values import Severity, TpmState

BOOT, NEXT = bytes([1] * 16), bytes([2] * 16)


def look(
    clock_ms: int, elapsed_ms: int, *, resets: int = 5, safe: bool = True, boot_id: bytes = BOOT
) -> Look:
    state = TpmState(counter=1, clock_ms=clock_ms, reset_count=resets, restart_count=0, safe=safe)
    return Look(state=state, elapsed_ms=elapsed_ms, boot_id=boot_id)


@given(st.floats(0.67, 1.49), st.integers(1, 40_000), st.integers(1, 300))
def test_a_tpm_that_is_off_by_a_third_is_no_alarm(rate: float, step_ms: int, steps: int) -> None:
    watch = ClockWatch()
    for number in range(steps):
        elapsed_ms = number * step_ms
        assert watch.see(look(int(elapsed_ms * rate), elapsed_ms)) == ((), None)


@given(st.integers(0, 40_000), st.integers(1_000, 40_000))
def test_law_1_a_host_clock_that_stops_is_seen_within_five_minutes(
    before_ms: int, step_ms: int
) -> None:
    """Of true time, however long both ran well before."""
    watch, clock_ms = ClockWatch(), 0
    for number in range(20):
        clock_ms = number * before_ms
        assert watch.see(look(clock_ms, clock_ms))[1] is None
    stopped_ms = clock_ms
    while watch.see(look(clock_ms, stopped_ms))[1] is None:
        clock_ms += step_ms
        assert clock_ms - stopped_ms <= 300_000 + step_ms


def test_a_host_clock_at_half_its_pace_is_seen_within_the_hour() -> None:
    watch, true_ms = ClockWatch(), 0
    while watch.see(look(true_ms, true_ms // 2))[1] is None:
        true_ms += 30_000
        assert true_ms <= 3_600_000


def test_a_look_that_came_late_is_no_alarm() -> None:
    """A host that is busy reads its two clocks some time apart."""
    watch = ClockWatch()
    watch.see(look(0, 0))
    assert watch.see(look(59_000, 0)) == ((), None)


def test_it_is_told_anew_while_it_lasts_and_no_longer() -> None:
    watch = ClockWatch()
    watch.see(look(0, 0))
    assert watch.see(look(70_000, 0))[1] is not None
    assert watch.see(look(71_000, 1_000))[1] is None
    assert watch.see(look(200_000, 1_000))[1] is not None


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (look(2_000, 2_000), {}),
        # A reboot, orderly and not.
        (look(2_000, 10, resets=6, boot_id=NEXT), {}),
        (look(2_000, 10, resets=6, safe=False, boot_id=NEXT), {"tpm.clock.unsafe": Severity.INFO}),
        (
            look(500, 10, resets=6, safe=False, boot_id=NEXT),
            {"tpm.clock.backwards": Severity.WARNING},
        ),
        # What no honest TPM does.
        (look(500, 2_000), {"tpm.clock.backwards": Severity.ALERT}),
        (look(500, 10, resets=6, boot_id=NEXT), {"tpm.clock.backwards": Severity.ALERT}),
        (look(2_000, 2_000, resets=6), {"tpm.reset": Severity.ALERT}),
        (look(2_000, 2_000, resets=4), {"tpm.restored": Severity.ALERT}),
    ],
)
def test_each_oddity_has_its_name(now: Look, told: dict[str, Severity]) -> None:
    watch = ClockWatch()
    watch.see(look(1_000, 1_000))
    findings, hidden = watch.see(now)
    assert {one.id: one.severity for one in findings} == told
    assert hidden is None


def test_a_clock_that_went_back_is_compared_from_there() -> None:
    watch = ClockWatch()
    watch.see(look(10_000_000, 0))
    watch.see(look(0, 1_000))
    assert watch.see(look(1_000, 2_000)) == ((), None)
    assert watch.see(look(100_000, 2_000))[1] is not None
