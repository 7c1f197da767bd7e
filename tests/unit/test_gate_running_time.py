"""What a gate ran counts, also where it dies or reboots before it could report it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flopgate_agent.gate_process.ran_file import RanFile
from flopgate_proto.codec import decode_report
from flopgate_proto.values import Phase
from tests.support.gate_rig import cut
from tests.unit.test_gate_phases import authority, rule, ruled_by


def test_a_host_that_is_rebooted_before_each_report_grows_old_all_the_same() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE), age_ms=200_000))
    rig.network = cut
    for boot in range(3):
        kept_ms = rig.run(50_000).core.running_ms
        assert rig.core.in_force.phase is Phase.OBSERVE
        rig.restart(boot_id=bytes([20 + boot] * 16), kept_ms=kept_ms)
    rig.run(50_000)
    assert rig.core.in_force.bites
    assert rig.core.running_ms < 210_000, "what no gate ran does not count"


def test_after_a_reboot_no_more_is_believed_than_until_the_next_report() -> None:
    rig = ruled_by(authority(rule(Phase.OBSERVE)))
    last = decode_report(rig.reports[-1].payload)
    rig.restart(boot_id=bytes([9] * 16), kept_ms=10**9)
    assert rig.core.running_ms == last.running_ms + rig.settings.report_interval_ms
    rig.restart(boot_id=bytes([10] * 16), kept_ms=1)
    assert rig.core.running_ms == last.running_ms, "less than a report says is no word"


@pytest.mark.parametrize("bites", [True, False])
def test_running_time_is_on_the_disk_while_the_phase_is_loose(
    tmp_path: Path, *, bites: bool
) -> None:
    path = tmp_path / "running"
    rig = ruled_by(authority(rule(Phase.ENFORCE if bites else Phase.OBSERVE)))
    file, told_ms = RanFile(path), []
    for now_ms in (1_000, 10_999, 11_000):
        file.write(rig.run(4_000).core, now_ms)
        told_ms.append((RanFile(path).ran_ms, rig.core.running_ms))
    (first_ms, ran_ms), (same_ms, _), (last_ms, all_ms) = told_ms
    assert first_ms == same_ms == (0 if bites else ran_ms)
    assert last_ms == (0 if bites else all_ms)


@pytest.mark.parametrize("said", [b"", b"x", b"-1", b"9" * 40, b"\xff"])
def test_a_file_that_is_not_understood_tells_no_running_time(tmp_path: Path, said: bytes) -> None:
    (tmp_path / "running").write_bytes(said)
    assert RanFile(tmp_path / "running").ran_ms == 0
