"""A governor whose wall clock leaps: what it signs meanwhile, what it says, what outlives it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from flopgate_governor import clocks
from flopgate_governor.commands.status import lines_of
from flopgate_governor.commit import Committer
from flopgate_governor.core.governor_time import LOOK_MS, SPAN_MS
from flopgate_governor.orders.accepting import ripen
from flopgate_governor.service import keeping_time
from flopgate_governor.service.overview import overview
from flopgate_governor.state import open_state
from flopgate_governor.store.database import Store
from flopgate_governor.timekeeping import believe
from flopgate_proto.errors import ConfigError
from tests.support.governor import LOG, PERMIT, FakeHost, LocalGovernor, cluster_policy, joined
from tests.support.governor_steps import AMPLE

DAY_MS = 86_400_000


@pytest.fixture
def governor(tmp_path: Path) -> Iterator[LocalGovernor]:
    """It looked at its clocks before, in this boot."""
    made = LocalGovernor.make(tmp_path / "governor.sqlite", cluster_policy(AMPLE))
    yield made
    made.state.store.close()


def signed_ms(governor: LocalGovernor, host: FakeHost) -> int:
    """The time that the host's next answer tells."""
    return host.accept(governor.send(host.report())).answer.governor_unix_ms


def stand(governor: LocalGovernor) -> None:
    """The wall clock stays where it is for long enough, and the governor looks."""
    for _ in range(SPAN_MS // LOOK_MS + 1):
        governor.clock.unix_ms += LOOK_MS
        governor.state.keep_time()


@pytest.mark.parametrize("ahead_ms", [DAY_MS, -DAY_MS, 2_000, -2_000])
def test_a_leap_for_a_moment_moves_nothing(governor: LocalGovernor, ahead_ms: int) -> None:
    (host,) = joined(governor)
    for wait_ms in (1_000, 120_000, 300_000):
        governor.clock.unix_ms += wait_ms
        governor.clock.ahead_ms = ahead_ms
        assert signed_ms(governor, host) == governor.clock.unix_ms
        governor.reopen()
        assert signed_ms(governor, host) == governor.clock.unix_ms
        governor.clock.ahead_ms = 0
        assert signed_ms(governor, host) == governor.clock.unix_ms


def test_a_leap_brings_nothing_into_force_before_its_time(governor: LocalGovernor) -> None:
    waits = replace(cluster_policy(AMPLE, 2), loosening_delay_ms=DAY_MS)
    governor.order(waits)
    governor.order(replace(cluster_policy(2 * AMPLE, 3), loosening_delay_ms=DAY_MS))
    governor.clock.ahead_ms = 2 * DAY_MS
    for _ in range(2):
        ripen(governor.state)
        assert len(governor.state.book.orders.waiting) == 1
        governor.reopen()
    governor.clock.ahead_ms = 0
    governor.clock.unix_ms += DAY_MS
    ripen(governor.state)
    assert not governor.state.book.orders.waiting


def test_what_is_dated_while_the_clock_is_behind_is_not_too_old(governor: LocalGovernor) -> None:
    """A time that stood meanwhile would leap by the whole day when the clock comes back."""
    (host,) = joined(governor)
    governor.clock.ahead_ms = -DAY_MS
    governor.clock.unix_ms += 300_000
    first_ms = signed_ms(governor, host)
    governor.clock.ahead_ms = 0
    governor.clock.unix_ms += 1_000
    assert signed_ms(governor, host) - first_ms == 1_000


def test_a_leap_that_lasts_is_followed_and_a_restart_goes_on_from_there(
    governor: LocalGovernor,
) -> None:
    (host,) = joined(governor)
    governor.clock.ahead_ms = DAY_MS
    stand(governor)
    governor.reopen()
    assert signed_ms(governor, host) == governor.clock()
    # Back again: what was signed stays the least, and time stands until the clock is there.
    governor.clock.ahead_ms = 0
    stand(governor)
    governor.clock.unix_ms += 60_000
    assert signed_ms(governor, host) < governor.clock() + DAY_MS
    governor.clock.unix_ms += DAY_MS
    assert signed_ms(governor, host) == governor.clock()


def test_a_clock_that_drifts_does_not_seem_to_leap_after_a_restart(
    governor: LocalGovernor,
) -> None:
    """By as much as can be slewed, 500 ppm; what of it was not written comes on top."""
    for look in range(200):
        governor.clock.unix_ms += LOOK_MS
        governor.clock.ahead_ms += LOOK_MS // 2_000
        governor.state.keep_time()
        assert governor.state.keeper.time.held_ms == 0
        if look % 33 == 0:
            governor.reopen()


def test_a_boot_believes_the_wall_clock(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    governor.clock.ahead_ms, governor.clock.boot_id = DAY_MS, b"another boot"
    governor.reopen()
    assert signed_ms(governor, host) == governor.clock()


def test_somebody_may_say_that_the_clock_is_right(governor: LocalGovernor) -> None:
    (host,) = joined(governor)
    governor.clock.ahead_ms = DAY_MS
    assert signed_ms(governor, host) == governor.clock.unix_ms
    believe(governor.state.store, governor.clock.machine())
    assert signed_ms(governor, host) == governor.clock.unix_ms
    governor.reopen()
    assert signed_ms(governor, host) == governor.clock()


def test_who_only_reads_keeps_nothing(governor: LocalGovernor) -> None:
    governor.clock.ahead_ms, governor.clock.boot_id = DAY_MS, b"another machine"
    before = governor.state.store.meta("clock")
    beside = open_state(Store(governor.path), PERMIT, LOG, governor.clock.machine(), serves=False)
    assert beside.now_ms() == governor.clock()
    beside.store.close()
    assert governor.state.store.meta("clock") == before


def test_status_tells_how_far_the_clock_is_off_and_until_when(governor: LocalGovernor) -> None:
    def warned() -> list[str]:
        lines = lines_of(overview(governor.state, ()), governor.clock())
        return [line for line in lines if "clock" in line]

    assert warned() == []
    governor.clock.ahead_ms = 3_600_000
    (line,) = warned()
    assert "it is 1h ahead of its time, and is followed in 10m if it stays there" in line
    governor.clock.unix_ms += 45_000
    governor.state.keep_time()
    governor.clock.ahead_ms = -3_600_000
    assert "it is 1h behind its time, and is followed in 10m" in warned()[0]
    governor.clock.ahead_ms = 0
    assert warned() == []
    assert not overview(governor.state, ()).HasField("held_clock")


def test_status_warns_of_a_clock_that_leapt_ahead_of_all_that_follows(
    governor: LocalGovernor,
) -> None:
    """A leap that lasted: time stands still until the clock is there."""
    (host,) = joined(governor)

    def warned(here_ms: int) -> list[str]:
        lines = lines_of(overview(governor.state, ()), here_ms)
        return [line for line in lines if "the clock here" in line]

    governor.clock.ahead_ms = 365 * DAY_MS
    stand(governor)
    signed_ms(governor, host)
    governor.clock.ahead_ms = 0
    stand(governor)
    (line,) = warned(governor.clock() + DAY_MS)
    assert "ahead of the clock here. If its clock leapt ahead" in line
    (line,) = warned(governor.state.now_ms() + 61_500)
    assert line == "  the governor's time is 1m1s behind the clock here: one of them is wrong"


def test_the_log_tells_of_a_leap_once(
    governor: LocalGovernor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_time, "EVERY_S", 0.001)

    async def watched() -> list[tuple[object, object]]:
        committer = Committer(
            lambda: open_state(Store(governor.path), PERMIT, LOG, governor.clock.machine())
        )
        await committer.start()
        with capture_logs() as told:
            keeping = asyncio.create_task(keeping_time.keep_time(committer))
            for ahead_ms in (0, DAY_MS, DAY_MS, 0, 0):
                governor.clock.ahead_ms = ahead_ms
                for _ in range(3):
                    await committer.call(lambda state: state.now_ms())
                    await asyncio.sleep(0.02)
            keeping.cancel()
        await committer.close()
        return [(one["event"], one.get("wall_clock_ahead_ms")) for one in told]

    assert asyncio.run(watched()) == [("clock.held", DAY_MS), ("clock.agrees", None)]


def test_a_boot_that_cannot_be_told_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unreadable = tmp_path / "boot_id"
    monkeypatch.setattr(clocks, "BOOT_ID", unreadable)
    with pytest.raises(ConfigError, match=r"clock\.boot-id"):
        clocks.this_machine()
    unreadable.write_text("no number\n")
    with pytest.raises(ConfigError, match=r"clock\.boot-id"):
        clocks.this_machine()


def test_the_clocks_of_this_machine_go_on() -> None:
    machine = clocks.this_machine()
    assert len(machine.boot_id) == 16
    assert machine.boot_id == clocks.this_machine().boot_id
    first_ms = machine.boot_ms()
    assert machine.boot_ms() >= first_ms > 0
    assert machine.unix_ms() > 1_700_000_000_000
