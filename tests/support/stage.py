"""Real processes for enforcement tests: start them, watch them beat, leave nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from flopgate_agent.enforcement import Enforcer, EnforcerConfig, Outcome
from flopgate_agent.enforcement.cgroups import Cgroup, Hierarchy, find_mount
from tests.support.waiting import WAIT_S, until

SCRIPT = Path(__file__).with_name("victim.py")
STANDSTILL_S = 0.15
_NUMBERS = itertools.count()


def until_complete(call: Callable[[], Outcome]) -> Outcome:
    """Call again, as the gate does, until the outcome is complete."""
    end = time.monotonic() + WAIT_S
    while True:
        outcome = call()
        if outcome.complete:
            return outcome
        assert time.monotonic() < end, f"never complete: {outcome}"


@dataclass(frozen=True, slots=True)
class Victim:
    """A running ``victim.py``."""

    process: subprocess.Popen[bytes]
    file: Path

    @property
    def pid(self) -> int:
        """Pid of its root process."""
        return self.process.pid

    def slot(self, slot: int = 0) -> int:
        """Value of one slot of its file."""
        return int.from_bytes(self.file.read_bytes()[8 * slot : 8 * slot + 8], "little")

    def beats(self, *slots: int) -> None:
        """Each slot moves on."""
        for slot in slots or (0,):
            before = self.slot(slot)
            until(partial(self._moved, slot, before), f"slot {slot} to move")

    def _moved(self, slot: int, before: int) -> bool:
        return self.slot(slot) != before

    def stands(self, *slots: int) -> None:
        """No slot moves for a while."""
        before = self.file.read_bytes()
        time.sleep(STANDSTILL_S)
        after = self.file.read_bytes()
        for slot in slots or (0,):
            part = slice(8 * slot, 8 * slot + 8)
            assert before[part] == after[part], f"slot {slot} moved"

    def living(self) -> set[int]:
        """All living processes that came from it, found by the file they were started with."""
        found = set()
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                with contextlib.suppress(OSError):
                    command = (folder / "cmdline").read_bytes()  # empty for zombies
                    if os.fsencode(self.file) in command.split(b"\0"):
                        found.add(int(folder.name))
        return found


class Stage:
    """All victims of one test, and the enforcers that stop them."""

    def __init__(self, folder: Path, *, use_cgroups: bool) -> None:
        """``folder``: an empty temporary one."""
        self.folder = folder
        self.use_cgroups = use_cgroups
        self.cgroup_base = f"flopgate-test-{os.getpid()}-{next(_NUMBERS)}"
        self._victims: list[Victim] = []
        self._jobs: list[Cgroup] = []

    def enforcer(self, budget_ms: int = 1000) -> Enforcer:
        """A new one over the same state, as after a restart of the gate."""
        return Enforcer(
            EnforcerConfig(
                state_dir=self.folder / "state",
                cgroup_base=self.cgroup_base,
                use_cgroups=self.use_cgroups,
                budget_ms=budget_ms,
                kill_budget_ms=budget_ms,
            )
        )

    def start(self, kind: str, *slots: int, within: Sequence[str] = ()) -> Victim:
        """Start a victim and wait until its slots beat; ``within``: a command that runs it."""
        file = self.folder / f"beat-{len(self._victims)}"
        file.write_bytes(bytes(128))
        process = subprocess.Popen(
            [*within, sys.executable, str(SCRIPT), kind, str(file)], start_new_session=True
        )
        victim = Victim(process, file)
        self._victims.append(victim)
        victim.beats(*slots)
        return victim

    def job(self, *victims: Victim) -> Cgroup:
        """A cgroup as a scheduler makes one, with the given root processes in it."""
        job = Cgroup(f"{mount()}/{self.cgroup_base}-job-{len(self._jobs)}")
        job.create()
        self._jobs.append(job)
        for victim in victims:
            job.add(victim.pid)
        return job

    def lane(self, lane_id: str) -> Cgroup:
        """The own cgroup of a lane."""
        return Cgroup(f"{mount()}/{self.cgroup_base}/{lane_id}")

    def close(self) -> None:
        """End everything that the test started."""
        for victim in self._victims:
            victim.process.kill()
            until(partial(_strike, victim), "victims to die")
            victim.process.wait()
        if self._jobs or self.use_cgroups:
            hierarchy = Hierarchy(mount(), self.cgroup_base)
            until(hierarchy.tidy, f"{hierarchy.base.path} to be empty")
            for job in self._jobs:
                until(job.remove, f"{job.path} to be empty")


def _strike(victim: Victim) -> bool:
    living = victim.living()
    for pid in living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    victim.process.poll()
    return not living


def mount() -> str:
    """Where cgroup v2 is mounted."""
    found = find_mount(Path("/proc/self/mountinfo").read_text())
    assert found is not None, "these tests need a cgroup v2 hierarchy"
    return found
