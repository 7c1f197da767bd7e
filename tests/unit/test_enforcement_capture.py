"""A capture looks again once everybody stands: a fork that had begun still ends with a child."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

from flopgate_agent.enforcement.calls import Deadline, Notes, Tools
from flopgate_agent.enforcement.capture import Capture
from flopgate_agent.enforcement.lanes import Journal, LaneRecord
from flopgate_agent.enforcement.processes import Process, ProcessId, ProcFs
from flopgate_agent.enforcement.signals import Sent, Signaller

PARENT: Final = ProcessId(pid=10, start_ticks=100)
CHILD: Final = ProcessId(pid=11, start_ticks=101)


class ForkingProc(ProcFs):
    """A parent in the middle of a fork: it stops only behind it, some looks after the signal."""

    def __init__(self, looks_to_stop: int) -> None:
        super().__init__()
        self.looks_to_stop = looks_to_stop
        self.table = {PARENT.pid: running(PARENT, parent_pid=1)}
        self.signalled: set[int] = set()

    def process(self, pid: int) -> Process | None:
        return self.table.get(pid)

    def scan(self) -> dict[int, Process]:
        return dict(self.table)

    def cgroup(self, pid: int) -> str | None:  # noqa: ARG002 - one that shows no cgroups
        return None

    def thread_states(self, pid: int) -> str:
        if pid == PARENT.pid and PARENT.pid in self.signalled:
            self.looks_to_stop -= 1
            if self.looks_to_stop == 0:
                self.table[CHILD.pid] = running(CHILD, parent_pid=PARENT.pid)
            return "T" if self.looks_to_stop <= 0 else "R"
        return "T" if pid in self.signalled else "R"


class NotingSignaller(Signaller):
    """Delivers at once to everybody but the parent."""

    def __init__(self, proc: ForkingProc) -> None:
        super().__init__(proc, pidfd=False)
        self.forking = proc

    def send(self, who: ProcessId, signum: signal.Signals) -> Sent:
        assert signum is signal.SIGSTOP
        self.forking.signalled.add(who.pid)
        return Sent.SENT


def running(who: ProcessId, parent_pid: int) -> Process:
    return Process(
        id=who, parent_pid=parent_pid, session=parent_pid, state="R", threads=1, kernel=False
    )


def capture_of(proc: ForkingProc, folder: Path, budget_ms: int) -> Capture:
    tools = Tools(
        proc=proc,
        hierarchy=None,
        signaller=NotingSignaller(proc),
        journal=Journal(folder, "boot"),
    )
    return Capture(tools, LaneRecord(lane_id="lane"), (), Deadline(budget_ms), Notes())


def test_a_child_born_behind_the_signal_is_held_too(tmp_path: Path) -> None:
    proc = ForkingProc(looks_to_stop=3)
    capture = capture_of(proc, tmp_path, budget_ms=60_000)
    assert capture.run([PARENT], frozenset()) == {PARENT, CHILD}
    assert capture.settle() == set()
    assert proc.signalled == {PARENT.pid, CHILD.pid}


def test_who_does_not_stand_in_time_resists_even_if_it_stands_later(tmp_path: Path) -> None:
    proc = ForkingProc(looks_to_stop=10**9)
    capture = capture_of(proc, tmp_path, budget_ms=0)
    capture.run([PARENT], frozenset(), patience_ms=0)
    proc.looks_to_stop = 1
    assert capture.settle() == {PARENT.pid}


def test_a_kill_waits_no_longer_than_its_patience(tmp_path: Path) -> None:
    proc = ForkingProc(looks_to_stop=10**9)
    capture = capture_of(proc, tmp_path, budget_ms=10**9)
    assert capture.run([PARENT], frozenset(), patience_ms=1) == {PARENT}
