"""The fallback by signals, as any user: somebody wakes what was stopped, the disk is full."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flopgate_agent.clocks import BOOT_ID_PATH
from flopgate_agent.enforcement import FindingId
from flopgate_agent.enforcement.processes import ProcessId, ProcFs
from flopgate_agent.enforcement.signals import Sent, Signaller, pidfd_works
from flopgate_proto.values import Severity
from tests.support.stage import Stage, until_complete
from tests.support.waiting import until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path, use_cgroups=False)
    try:
        yield made
    finally:
        made.close()


def test_capabilities_say_why_there_is_no_cgroup(stage: Stage) -> None:
    capabilities = stage.enforcer().capabilities
    assert capabilities.cgroup_mount is None
    assert not capabilities.cgroup_kill
    assert capabilities.why_no_cgroup == "switched off by configuration"
    assert capabilities.pidfd == pidfd_works()


def test_who_was_continued_by_somebody_else_is_stopped_again(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    os.kill(victim.pid, signal.SIGCONT)
    victim.beats()
    again = until_complete(lambda: enforcer.freeze("lane", []))
    assert [finding.id for finding in again.findings] == [FindingId.PID_RESUMED]
    victim.stands()


def test_who_was_continued_while_held_is_ours_to_continue_in_the_end(stage: Stage) -> None:
    enforcer, victim = stage.enforcer(), stage.start("beat")
    os.kill(victim.pid, signal.SIGSTOP)
    until(lambda: ProcFs().standing(victim.pid), "the victim to stop")
    until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    os.kill(victim.pid, signal.SIGCONT)  # its owner wants it to run
    victim.beats()
    until_complete(lambda: enforcer.freeze("lane", []))
    victim.stands()
    until_complete(lambda: enforcer.thaw("lane"))
    victim.beats()


def test_a_record_that_cannot_be_written_does_not_keep_from_stopping(stage: Stage) -> None:
    (stage.folder / "state").write_text("not a directory")
    enforcer, victim = stage.enforcer(), stage.start("beat")
    frozen = until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    assert [(f.id, f.severity) for f in frozen.findings] == [
        (FindingId.STATE_UNWRITABLE, Severity.ALERT)
    ]
    victim.stands()
    until_complete(lambda: enforcer.thaw("lane"))
    victim.beats()


def test_a_damaged_record_is_reported_and_replaced(stage: Stage) -> None:
    state = stage.folder / "state"
    state.mkdir()
    (state / "lane.lane.json").write_text('{"version": 1}')
    enforcer, victim = stage.enforcer(), stage.start("beat")
    (adopted,) = enforcer.adopt()
    assert adopted.pids == ()
    assert [finding.id for finding in adopted.findings] == [FindingId.STATE_UNREADABLE]
    until_complete(lambda: enforcer.freeze("lane", [victim.pid]))
    (again,) = stage.enforcer().adopt()
    assert again.standing == (victim.pid,)
    assert again.findings == ()


def test_a_record_names_the_boot_as_the_kernel_spells_it(stage: Stage) -> None:
    victim = stage.start("spin")
    stage.enforcer().freeze("lane", [victim.pid])
    record = json.loads((stage.folder / "state" / "lane.lane.json").read_text())
    assert record["boot_id"] == Path(BOOT_ID_PATH).read_text().strip()


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_signal_reaches_its_process_and_no_later_one(stage: Stage, *, pidfd: bool) -> None:
    signaller, victim = Signaller(ProcFs(), pidfd=pidfd), stage.start("listen")
    found = ProcFs().process(victim.pid)
    assert found is not None
    stranger = ProcessId(pid=victim.pid, start_ticks=found.id.start_ticks - 1)
    assert signaller.send(stranger, signal.SIGKILL) is Sent.GONE
    assert signaller.send(found.id, signal.SIGUSR1) is Sent.SENT
    until(lambda: victim.slot(1) == 1, "the signal to arrive")
    victim.process.kill()
    victim.process.wait()
    assert signaller.send(found.id, signal.SIGUSR1) is Sent.GONE
