"""One host whose own people ask its gate for something, while the gate is struck at a write."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Final, Self

from flopgate_agent.gate.faults import LEDGER_FAILED
from flopgate_proto.codec import decode_report
from flopgate_proto.envelope import Envelope
from flopgate_proto.values import LaneState
from tests.support.crash.figures import COULD_NOT, CrashError, check_told
from tests.support.crash.switch import How, Strike, Switch
from tests.support.gate_host import GateHost
from tests.support.gate_license_rig import LICENSES
from tests.support.service_manager import ServiceManager
from tests.support.waiting import until

AGENT: Final = (sys.executable, "-m", "flopgate_agent.cli")
LIFETIME_MS: Final = 600_000
WATCHDOG_MS: Final = 300_000
TRIES_MAX: Final = 6


class TroubleError(Exception):
    """The gate ended, or cannot keep what it must: whoever asked asks again."""


class AskedHost:
    """A gate with a courier and, unless told otherwise, somebody who keeps its permission.

    Use it in a ``with`` statement.

    Args:
        folder: an empty one.
        lanes: GPUs by workload.
        options: lines for the gate's configuration.
        tpm: where the host's TPM is, if it has one.

    Attributes:
        mode: of the courier.
        moves: whether the gate may end by itself, to start again otherwise.
        told: by each gate that has ended.
    """

    def __init__(
        self,
        folder: Path,
        lanes: dict[str, list[int]],
        switch: Switch,
        options: str = "",
        tpm: str | None = None,
    ) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._switch = switch
        self._strike: Strike | None = None
        self._options = options
        self._kept: ServiceManager | None = None
        self._couriers: list[dict[int, Envelope]] = []
        self.mode = "grant"
        self.moves = False
        self.told: list[str] = []
        self._is_reached = False
        self.gate = GateHost(folder, lanes, tpm=tpm, gpus=sum(map(len, lanes.values())))
        authority = self.gate.authority
        authority.policy = replace(
            authority.policy, lifetime_ms=LIFETIME_MS, watchdog_ms=WATCHDOG_MS, **LICENSES
        )

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            (self._folder / "manager").mkdir()
            self._kept = stack.enter_context(ServiceManager(self._folder / "manager"))
            stack.enter_context(self.gate)
            self._stack = stack.pop_all()
        config = self.gate.config.read_text()
        self.gate.config.write_text(self._options + config)
        self.gate.manager = self._kept
        self.gate.env = self._switch.env
        self.gate.watch()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # ------------------------------------------------------------------ the gate

    def strike(self, strike: Strike | None) -> None:
        """From here on."""
        self._strike = strike
        self._switch.arm(strike)

    def up(self) -> None:
        """The gate lives and a courier stands at its door, started where it must be.

        Raises:
            TroubleError: it ended again.
            CrashError: it ended, and nothing had struck it.
        """
        if self.gate.gate is not None and self.gate.gate.poll() is None and self._is_reached:
            return
        self.ended()
        self.gate.launch()
        process = self.gate.gate
        assert process is not None
        until(
            lambda: "gate is up" in self.gate.logged() or process.poll() is not None,
            self.gate.logged,
        )
        try:
            self.gate.reach(self.mode)
        except OSError as error:
            raise TroubleError(str(error)) from error
        self._couriers.append(self.gate.courier.reports)
        self._is_reached = True

    def ended(self, number: int = signal.SIGKILL) -> None:
        """End the gate, or see how it ended.

        Raises:
            CrashError: it ended otherwise than it was struck.
        """
        process = self.gate.gate
        self._is_reached = False
        if process is None:
            return
        status, said, pid = process.poll(), self.gate.logged(), process.pid
        if number == signal.SIGTERM:
            if (code := self.gate.stop_gate()) != 0:
                raise CrashError(f"the gate ended with {code}: {said[-3000:]}")
        else:
            self.gate.kill_gate()
        self.told.append(self.gate.said)
        if "Traceback" in said:
            raise CrashError(f"the gate met an error that it does not know: {said[-3000:]}")
        self._check_chain()
        if status is None or (status == 0 and self.moves):
            return
        strike = self._strike if self._switch.struck else None
        if strike is not None and not strike.how.kills and status in COULD_NOT:
            check_told(said, "the gate")
        elif strike is not None and strike.how is How.FULL and self.gate.locked_down(pid):
            # It had no room to renew its lease.
            return
        elif strike is None or not strike.how.kills or status != -signal.SIGKILL:
            raise CrashError(f"the gate ended with {status}: {said[-3000:]}")

    def step(self, work: Callable[[], None]) -> None:
        """Until it is done: again after each death, and once there is room again.

        Raises:
            CrashError: it never is.
        """
        for _ in range(TRIES_MAX):
            try:
                self.up()
                work()
            except TroubleError as error:
                if not (self._switch.struck or self.moves):
                    raise CrashError(f"nothing has befallen the gate: {error}") from error
                self.ended()
                self._switch.disarm()
            else:
                return
        raise CrashError(f"not done in {TRIES_MAX} tries: {self.gate.logged()[-3000:]}")

    def until(self, condition: Callable[[], object]) -> None:
        """Wait for it.

        Raises:
            TroubleError: the gate ended, or cannot keep anything.
        """

        def over() -> bool:
            process = self.gate.gate
            if process is None or process.poll() is not None or self.failed:
                raise TroubleError(self.gate.logged()[-3000:])
            return bool(condition())

        until(over, lambda: f"{self.gate.courier.snapshot}\n{self.gate.logged()[-3000:]}")

    @property
    def failed(self) -> bool:
        """Whether its ledger did."""
        lanes = self.gate.courier.snapshot.lanes
        return any(lane.stop_reason == LEDGER_FAILED for lane in lanes)

    def until_state(self, workload: str, state: LaneState) -> None:
        """Wait for a lane."""
        self.until(lambda: self.gate.state_of(workload) is state)

    def forget(self) -> None:
        """The gate is killed, and what it left for the next one is gone: no permit is left."""
        self.ended()
        self.gate.manager = None

    # ------------------------------------------------------------------ who asks

    def ask(self, *words: object, cgroup: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Give a command of the agent to the gate; one that fails says why, in words.

        A gate that ends meanwhile is started again, as by a service manager.
        """
        command = [*AGENT, *map(str, words)]
        if cgroup is not None:
            script = f"echo $$ > {cgroup}/cgroup.procs; exec {shlex.join(command)}"
            command = ["sh", "-c", script]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            until(lambda: process.poll() is not None or self._started_again(), "the command")
        finally:
            process.kill()
            stdout, stderr = process.communicate()
        done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        if done.returncode:
            check_told(done.stderr, " ".join(map(str, words[:2])))
        return done

    def _started_again(self) -> bool:
        if self._strike is None or self._strike.how.kills:
            with suppress(TroubleError):
                self.up()
        return False

    def asked(self, *words: object, already: Sequence[str] = ()) -> str:
        """The same, done; what it printed.

        Args:
            words: of the command.
            already: codes of errors that say that there is nothing to do any more.

        Raises:
            TroubleError: it failed, and the gate was struck.
            CrashError: it failed, and the gate was not.
        """
        done = self.ask(*words, "--config", self.gate.config)
        if done.returncode == 0 or any(code in done.stderr for code in already):
            return done.stdout
        if self._switch.struck:
            raise TroubleError(done.stderr)
        raise CrashError(f"{words[:2]} failed: {done.stderr}")

    # ------------------------------------------------------------------ the judge

    def chain(self) -> dict[int, Envelope]:
        """All that left the gate in any run."""
        found: dict[int, Envelope] = {}
        for reports in self._couriers:
            for sequence, report in dict(reports).items():
                if found.setdefault(sequence, report).digest != report.digest:
                    raise CrashError(f"two reports {sequence} left the gate (law 4)")
        return found

    def _check_chain(self) -> None:
        found = self.chain()
        for before, after in pairwise(sorted(found)):
            previous = decode_report(found[after].payload).previous
            if after == before + 1 and previous != found[before].digest:
                raise CrashError(f"report {after} does not follow {before} (law 4)")
