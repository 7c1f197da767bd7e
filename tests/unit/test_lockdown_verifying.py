"""Whether what a lock-down stopped stands, and what the next gate tells of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flopgate_agent.counters.sample import ChipSample, PipeCycles
from flopgate_agent.gate.settings import Chip
from flopgate_agent.lockdown.record import (
    findings_of,
    forget_record,
    read_record,
    with_untold,
    write_record,
)
from flopgate_agent.lockdown.verifying import STAND_MS, Stopped, Verifier
from flopgate_proto.chips import spec_for
from flopgate_proto.values import ChipIdentity, Severity

BOOT = "ab" * 16
SPEC = spec_for(0x233010DE, "NVIDIA H100 80GB HBM3")
HZ = SPEC.max_clock_khz * 1000


def chip(index: int) -> Chip:
    identity = ChipIdentity(
        vendor="NVIDIA", uuid=f"GPU-{index}", serial="", pdi=None, name="H100", pci_device_id=1
    )
    return Chip(identity=identity, spec=SPEC)


def sample(index: int, at_ms: int, busy_ms: int, pids: tuple[int, ...] = (7,)) -> ChipSample:
    """A chip that has worked for so long since the beginning."""
    cycles = PipeCycles(
        elapsed=at_ms * HZ // 1000,
        active=busy_ms * HZ // 1000,
        hmma=busy_ms * HZ // 1000,
        mma=busy_ms * HZ // 1000,
        **dict.fromkeys(("dmma", "imma", "dfma", "integer", "fp64", "fp32", "fp16"), 0),
    )
    return ChipSample(
        uuid=f"GPU-{index}",
        taken_ms=at_ms,
        cycles=cycles,
        kernel_active_ms=0,
        sm_clock_mhz=SPEC.max_clock_khz // 1000,
        energy_mj=0,
        pids=pids,
        error=None,
    )


@pytest.fixture
def watched() -> Verifier:
    made = Verifier()
    made.opened([chip(0), chip(1)], 0)
    made.look([sample(0, 1_000, 1_000), sample(1, 1_000, 1_000)])
    made.began("run-7", ["GPU-0", "GPU-1"], 1_500)
    return made


def look(verifier: Verifier, at_ms: int, *busy_ms: int) -> list[Stopped]:
    return verifier.look([sample(index, at_ms, busy) for index, busy in enumerate(busy_ms)])


def test_a_lane_whose_chips_all_rest_is_seen_to_stand(watched: Verifier) -> None:
    assert look(watched, 2_000, 1_500, 1_000) == [], "one of them worked"
    (told,) = look(watched, 3_000, 1_500, 1_000)
    assert told == Stopped(workload="run-7", since_ms=1_500, stood_ms=3_000)
    assert look(watched, 4_000, 1_500, 1_000) == [], "told once"


def test_what_works_on_after_the_bound_computes_without_permission(watched: Verifier) -> None:
    for at_ms in range(2_000, 1_500 + STAND_MS + 1, 500):
        assert look(watched, at_ms, at_ms, 1_000) == []
    (told,) = look(watched, 5_000, 5_000, 1_000)
    assert told.computed_ms == 5_000
    assert look(watched, 6_000, 6_000, 1_000) == [], "told once"
    assert watched.stopped["run-7"].computed_ms == 6_000, "and written down each time"
    (told,) = look(watched, 8_000, 6_000, 1_000)
    assert (told.stood_ms, told.computed_ms) == (8_000, 6_000)


def test_where_pipes_cannot_be_read_a_context_counts_as_work(watched: Verifier) -> None:
    blind = [replace(sample(index, 9_000, 0), cycles=None) for index in (0, 1)]
    (told,) = watched.look(blind)
    assert told.computed_ms == 9_000
    (told,) = watched.look([replace(one, taken_ms=10_000, pids=()) for one in blind])
    assert told.stood_ms == 10_000


def test_a_chip_that_the_driver_does_not_name_is_never_seen_to_stand(watched: Verifier) -> None:
    for at_ms in (2_000, 3_000, 20_000):
        assert watched.look([sample(0, at_ms, 1_000)]) == []
    assert watched.stopped["run-7"].stood_ms is None


@pytest.mark.parametrize("stood_ms", [None, 4_000])
def test_the_record_comes_back_in_its_boot_only(tmp_path: Path, stood_ms: int | None) -> None:
    stopped = (Stopped(workload="run-7", since_ms=1_000, stood_ms=stood_ms, computed_ms=9_000),)
    write_record(tmp_path / "state", BOOT, stopped)
    assert read_record(tmp_path / "state", BOOT) == stopped
    assert read_record(tmp_path / "state", "cd" * 16) == ()
    told = [(one.id, one.severity, one.subject) for one in findings_of(stopped)]
    assert told == [
        ("lockdown.stopped", Severity.WARNING, "run-7"),
        ("lockdown.computing_without_permission", Severity.ALERT, "run-7"),
    ]
    forget_record(tmp_path / "state")
    assert read_record(tmp_path / "state", BOOT) == ()
    forget_record(tmp_path / "state")


def test_what_no_report_has_told_of_yet_stays_beside_what_is_found_now() -> None:
    computed = Stopped(workload="a", since_ms=1, computed_ms=9_000)
    untold = (computed, Stopped(workload="b", since_ms=2), Stopped(workload="c", since_ms=3))
    now = (Stopped(workload="a", since_ms=50, stood_ms=60), Stopped(workload="b", since_ms=51))
    assert with_untold(untold, now) == (replace(computed, stood_ms=60), now[1], untold[2])
    worse = Stopped(workload="a", since_ms=50, computed_ms=70)
    assert with_untold(untold[:1], [worse]) == (worse,)


@given(st.binary(max_size=60), st.integers(0, 150), st.binary(max_size=6))
def test_whatever_lies_there_a_gate_starts(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, put: bytes
) -> None:
    folder = tmp_path_factory.mktemp("state")
    write_record(folder, BOOT, [Stopped(workload="run-7", since_ms=1)])
    good = (folder / "lockdown.json").read_bytes()
    for data in (noise, good[:at] + put + good[at + len(put) :]):
        (folder / "lockdown.json").write_bytes(data)
        assert all(isinstance(one, Stopped) for one in read_record(folder, BOOT))


@pytest.mark.parametrize("field", ["workload", "since_ms", "stood_ms", "computed_ms"])
def test_a_field_of_another_kind_is_no_record(tmp_path: Path, field: str) -> None:
    entry = {"workload": "run-7", "since_ms": 1, "stood_ms": None, "computed_ms": 2, field: [True]}
    document = {"boot_id": BOOT, "stopped": [entry]}
    (tmp_path / "lockdown.json").write_text(json.dumps(document))
    assert read_record(tmp_path, BOOT) == ()
