"""A lock-down, and the child by which it sets chips, struck at each write while they stop a lane.

Its gate is gone: the lease is the test's own, and has run out. A job computes whose kernel never
ends. Whatever is struck, the job ends, the chip is closed, and what became of it is written down;
and whoever comes next finds in the records what the chip was like before, and puts that back.

The same child sets chips for the gate. Not here, for they write nothing that lasts: the children
that read counters and topology, and the TPM's child, which give what they find to a pipe.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from flopgate_agent.clocks import elapsed_ms, read_boot_id
from flopgate_agent.counters.client import child_environment
from flopgate_agent.enforcement import EnforcerConfig
from flopgate_agent.enforcement.chips import Wish, chip_limits
from flopgate_agent.enforcement.jobs import lane_id
from flopgate_agent.enforcement.outcome import Capabilities
from flopgate_agent.enforcement.processes import ProcessId
from flopgate_agent.gate.terms import LaneTerm, Terms
from flopgate_agent.lockdown.lease import Lease, Reach, write_lease
from flopgate_sim.nvml import FakeDriver
from tests.support.crash.figures import CrashError, Figures
from tests.support.crash.switch import How, Strike, Switch
from tests.support.sampler_host import LONG_LOADED
from tests.support.waiting import WAIT_S, until

AGENT: Final = "flopgate_agent.cli"
LANE: Final = "run-7"
VICTIMS: Final = {"lockdown": "", "chip setter": "flopgate_agent.enforcement.chips.child"}
"""By program, the word that its command line has; none for what is started."""
WORDS: Final = {
    How.FULL: os.strerror(errno.ENOSPC),
    How.FAIL: os.strerror(errno.EIO),
}
"""What is told of an error; half of a write is no error."""
OPEN: Final = 0o666
SILENT_MS: Final = 60_000
CAN: Final = Capabilities(
    cgroup_mount=None, cgroup_kill=False, pidfd=True, why_no_cgroup="signals are enough here"
)


class LockdownScene:
    """One chip, one lane, no gate; use it in a ``with`` statement.

    Args:
        folder: an empty one.

    Attributes:
        uuid: of the chip.
    """

    programs: Sequence[str] = tuple(VICTIMS)

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._state = folder / "state"
        self._lease = folder / "door.lease"
        self._log = folder / "log"
        self.figures = Figures("lockdown")
        self.switch = Switch(folder, self._state)
        self._driver = FakeDriver(folder / "driver", gpus=1, counted_cycles=LONG_LOADED)
        self._node = self._driver.device_dir / "nvidia0"
        self._how = EnforcerConfig(
            state_dir=self._state,
            use_cgroups=False,
            nodes=(f"{self._driver.device_dir}/nvidia[0-9]*",),
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.uuid = ""

    def __enter__(self) -> Self:
        self._stack.enter_context(self._driver)
        self.uuid = self._driver.uuid(0)
        self._stack.callback(self._stop, signal.SIGKILL)
        self._node.chmod(OPEN)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def live(self, program: str, strike: Strike | None) -> None:
        """One lane is stopped, whatever befalls the program; then its chip is opened again.

        Raises:
            CrashError: something did not survive.
        """
        shutil.rmtree(self._state, ignore_errors=True)
        self._log.write_bytes(b"")
        job = self._driver.start_workload(gpus=[0], fmt="fp16", persistent=True)
        try:
            until(lambda: self._driver.running(0), "the job to compute")
            self._write_lease()
            self.switch.victim = VICTIMS[program]
            self.switch.arm(strike)
            self._start(self.switch.env)
            self._until_stopped(job, strike)
        finally:
            job.kill()
            job.wait(WAIT_S)
        self.figures.lived(self.switch, strike, program)
        if "Traceback" in (said := self._log.read_text()):
            raise CrashError(f"{program} met an error that it does not know: {said[-3000:]}")
        word = WORDS.get(strike.how) if strike is not None and self.switch.struck else None
        if word is not None and word not in said:
            raise CrashError(f"{program} does not say {word!r}: {said[-3000:]}")
        self._open_again()

    def _until_stopped(self, job: subprocess.Popen[bytes], strike: Strike | None) -> None:
        """The job ends without more room; all else once there is, and by who is started again."""

        def ended() -> bool:
            process = self._process
            if process is not None and process.poll() is not None:
                if process.returncode != -signal.SIGKILL or not self.switch.struck:
                    raise CrashError(f"it ended with {process.returncode}: {self._told()}")
                self._start({})
            return job.poll() is not None

        def done() -> bool:
            return ended() and not self._node.stat().st_mode & 0o777 and self._written()

        until(ended, self._told)
        self._driver.wait_idle(0, WAIT_S)
        failing = strike is not None and not strike.how.kills
        until(lambda: done() or (failing and self.switch.struck), self._told)
        self.switch.disarm()
        until(done, self._told)
        if (status := self._stop(signal.SIGTERM)) != 0:
            raise CrashError(f"it ended with {status}: {self._told()}")

    def _written(self) -> bool:
        """Whether the record for the next gate says that the lane stood; it is never half."""
        path = self._state / "lockdown.json"
        if not path.exists():
            return False
        (stopped,) = json.loads(path.read_text())["stopped"]
        return stopped["stood_ms"] is not None

    def _open_again(self) -> None:
        """As the next gate does, by what the records say."""
        boot_id = read_boot_id().hex()
        env = child_environment({**os.environ, **self._driver.env()})
        limits = chip_limits(self._how, CAN, env, boot_id)
        limits.want((self.uuid,), Wish.FREE)

        def is_free() -> bool:
            limits.handle_timer(elapsed_ms())
            return limits.idle and not list(self._state.glob("*.chip.json"))

        until(is_free, "the chip to be free")
        limits.close()
        mode, access = self._driver.compute_mode(0), self._node.stat().st_mode & 0o777
        if (mode, access) != (0, OPEN):
            raise CrashError(f"the chip is not as it was: compute mode {mode}, access {access:o}")

    # ------------------------------------------------------------------ processes

    def _write_lease(self) -> None:
        now_ms = elapsed_ms()
        lane = LaneTerm(workload=LANE, freeze_at_ms=now_ms, kill_at_ms=now_ms + 200, still=False)
        reach = Reach(
            workload=LANE,
            lane_id=lane_id(LANE),
            globs=(str(self._node),),
            chips=(self.uuid,),
        )
        lease = Lease(
            boot_id=read_boot_id().hex(),
            # Of a process that is gone.
            gate=ProcessId(pid=os.getpid(), start_ticks=1),
            terms=Terms(renewed_ms=now_ms, silent_ms=SILENT_MS, lanes=(lane,)),
            records=str(self._state),
            cgroup_base="flopgate-crash",
            use_cgroups=False,
            reach=(reach,),
            nodes=self._how.nodes,
        )
        write_lease(self._lease, lease)

    def _start(self, env: dict[str, str]) -> None:
        command = [sys.executable, "-m", AGENT, "lockdown", "--lease", str(self._lease)]
        command += ["--boot-lease", str(self._folder / "boot.lease")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._driver.env(), **env},
            )

    def _stop(self, number: int) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(WAIT_S)

    def _told(self) -> str:
        return self._log.read_text()[-3000:]
